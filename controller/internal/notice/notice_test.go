package notice_test

import (
	"strings"
	"testing"
	"time"

	"inpod.dev/inpod/controller/internal/notice"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/workload"
)

func web(refused time.Time, injected bool) *observe.Workload {
	return &observe.Workload{
		View:   workload.View{Key: workload.Key{Kind: "Deployment", Namespace: "shop", Name: "web"}, UID: "u1", Refused: refused},
		Policy: annotation.Policy{Injected: injected},
	}
}

// described is what notices say in one line.
func described(notices []notice.Notice) string {
	var all []string
	for _, n := range notices {
		text := n.Reason
		if n.Early {
			text += " early"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func TestWhatIsSaidOfPodsThatAreRefusedOrCrash(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	crash := observe.Crash{Ends: 4, Shared: true}
	crashing := observe.Pod{Name: "web-1", Container: "web", Crash: crash}
	runs := func(lasting time.Duration, crash observe.Crash) observe.Pod {
		return observe.Pod{Name: "web-3", Container: "web", Started: now.Add(-lasting), Crash: crash}
	}
	alone := observe.Pod{Name: "web-2", Container: "web", Crash: observe.Crash{Ends: 9}}
	running, coming := runs(time.Hour, observe.Crash{}), observe.Pod{Name: "web-5", Container: "web"}
	over := observe.Pod{Name: "web-4", Container: "web", Over: true}
	for name, tc := range map[string]struct {
		workload *observe.Workload
		pods     []observe.Pod
		want     string
		texts    []string // all of them in the message
	}{
		"all is well":            {workload: web(time.Time{}, true), pods: []observe.Pod{running}},
		"refused for a while":    {workload: web(now.Add(-time.Minute), true), want: "PodsRefused", texts: []string{"ReplicaFailure", "inpod.dev/sidecar-capabilities", "inpod.dev/inject: disabled"}},
		"refused for a moment":   {workload: web(now.Add(-time.Second), true), want: "PodsRefused early"},
		"refused, without inpod": {workload: web(now.Add(-time.Minute), false)},
		"every pod with the sidecar crashes": {
			workload: web(time.Time{}, true), pods: []observe.Pod{crashing, over}, want: "InjectedPodsCrash",
			texts: []string{"Container web", "4 times", "pod web-1", "shareProcessNamespace: false"},
		},
		"it runs between two crashes":                   {workload: web(time.Time{}, true), pods: []observe.Pod{runs(5*time.Minute, crash)}, want: "InjectedPodsCrash"},
		"it runs since it has crashed":                  {workload: web(time.Time{}, true), pods: []observe.Pod{runs(11*time.Minute, crash)}},
		"one of them has just started":                  {workload: web(time.Time{}, true), pods: []observe.Pod{crashing, runs(5*time.Second, observe.Crash{})}, want: "InjectedPodsCrash early"},
		"one of them has not started":                   {workload: web(time.Time{}, true), pods: []observe.Pod{crashing, coming}, want: "InjectedPodsCrash"},
		"one of them crashes by itself":                 {workload: web(time.Time{}, true), pods: []observe.Pod{crashing, alone}},
		"one of them has run for two minutes":           {workload: web(time.Time{}, true), pods: []observe.Pod{crashing, runs(2*time.Minute, observe.Crash{})}},
		"one of them runs":                              {workload: web(time.Time{}, true), pods: []observe.Pod{crashing, running}},
		"the process namespace is nobody's but its own": {workload: web(time.Time{}, true), pods: []observe.Pod{alone}},
		"a pod of an unknown workload crashes":          {pods: []observe.Pod{crashing}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			notices := notice.About(notice.Facts{Workload: tc.workload, Pods: tc.pods, Now: now})
			if got := described(notices); got != tc.want {
				t.Fatalf("%q, want %q", got, tc.want)
			}
			for _, text := range tc.texts {
				if !strings.Contains(notices[0].Message, text) {
					t.Errorf("%q does not say %q", notices[0].Message, text)
				}
			}
			for _, n := range notices {
				if len(n.Message) > 1024 || !n.Warning {
					t.Errorf("%d bytes, a warning: %v", len(n.Message), n.Warning)
				}
			}
		})
	}
}
