package decide_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/window"
)

// failedPods are so many pods.
func failedPods(n int) []decide.FailedPod {
	var pods []decide.FailedPod
	for i := range n {
		pods = append(pods, decide.FailedPod{Name: fmt.Sprintf("web-%d", i), UID: types.UID(fmt.Sprintf("uid-%d", i))})
	}
	return pods
}

func TestWhatFollowsAFailedReload(t *testing.T) {
	t.Parallel()
	type state struct {
		says             string // on-failure
		verdict          decide.Verdict
		failed, replaced int
		unavailable      int
		again            int // the failed pod, counted from 1, that is younger than the content
		never, undated   bool
		change           func(*decide.Input)
		parts            []obj.Part
	}
	for name, c := range map[string]struct {
		state
		want decide.Action
		pods int
		why  decide.Reason
	}{
		"one pod failed, and two may be unavailable": {state{failed: 1}, decide.Replace, 1, decide.ReloadFailed},
		"two pods failed":                                  {state{failed: 2}, decide.Replace, 2, decide.ReloadFailed},
		"three pods failed":                                {state{failed: 3}, decide.Rollout, 0, decide.ReloadFailed},
		"one more after two were replaced":                 {state{failed: 1, replaced: 2}, decide.Rollout, 0, decide.ReloadFailed},
		"one more while another one is not ready":          {state{failed: 1, replaced: 1, unavailable: 1}, decide.Replace, 1, decide.ReloadFailed},
		"one more while two others are not ready":          {state{failed: 1, unavailable: 2}, decide.Reload, 0, decide.LiveChanged},
		"two more while another one is not ready":          {state{failed: 2, unavailable: 1}, decide.Replace, 1, decide.ReloadFailed},
		"one fails that has replaced another one":          {state{failed: 1, again: 1}, decide.None, 0, decide.ReloadFailed},
		"one of two that fail has replaced another one":    {state{failed: 2, again: 2}, decide.None, 0, decide.ReloadFailed},
		"one of too many that fail has":                    {state{failed: 3, again: 2}, decide.Rollout, 0, decide.ReloadFailed},
		"evict, and one of too many that fail has":         {state{says: "evict", failed: 8, again: 3}, decide.None, 0, decide.ReloadFailed},
		"rollout, and one fails that has replaced another": {state{says: "rollout", failed: 1, again: 1}, decide.Rollout, 0, decide.ReloadFailed},
		"nobody knows which pods are younger":              {state{failed: 1, undated: true}, decide.Rollout, 0, decide.ReloadFailed},
		"evict, and nobody knows which pods are younger":   {state{says: "evict", failed: 1, undated: true}, decide.Rollout, 0, decide.ReloadFailed},
		"none follows in a closed window": {state{failed: 1, again: 1, change: func(in *decide.Input) {
			closed := window.Closed()
			in.Policy.Pacing.Windows = &closed
		}}, decide.None, 0, decide.ReloadFailed},
		"one is late":                                      {state{failed: 1, verdict: decide.Overdue}, decide.Replace, 1, decide.ReloadFailed},
		"evictions are switched off":                       {state{failed: 1, never: true}, decide.Rollout, 0, decide.ReloadFailed},
		"evict, and evictions are switched off":            {state{says: "evict", failed: 1, never: true}, decide.Rollout, 0, decide.ReloadFailed},
		"evict, and all failed: so many at a time":         {state{says: "evict", failed: 8}, decide.Replace, 2, decide.ReloadFailed},
		"evict, and those that were evicted are replaced":  {state{says: "evict", failed: 6, replaced: 2, unavailable: 2}, decide.Reload, 0, decide.LiveChanged},
		"evict, and those that were evicted have new ones": {state{says: "evict", failed: 6, replaced: 2}, decide.Replace, 2, decide.ReloadFailed},
		"rollout": {state{says: "rollout", failed: 1}, decide.Rollout, 0, decide.ReloadFailed},
		"none":    {state{says: "none", failed: 1}, decide.None, 0, decide.ReloadFailed},
		"no pod may be unavailable": {state{failed: 1, change: func(in *decide.Input) {
			in.Workload.MaxUnavailable = 0
		}}, decide.Rollout, 0, decide.ReloadFailed},
		"evict, and no pod may be unavailable": {state{says: "evict", failed: 3, change: func(in *decide.Input) {
			in.Workload.MaxUnavailable = 0
		}}, decide.Replace, 1, decide.ReloadFailed},
		"a pod needs a restart":     {state{verdict: decide.NeedsRestart}, decide.Rollout, 0, decide.RestartNeeded},
		"a pod does not accept it":  {state{verdict: decide.Rejected}, decide.None, 0, decide.ReloadRejected},
		"a webhook is asked":        {state{failed: 1, change: func(in *decide.Input) { in.Options.Webhook = true }}, decide.Rollout, 0, decide.ReloadFailed},
		"the window is closed":      {state{failed: 1, change: func(in *decide.Input) { closed := window.Closed(); in.Policy.Pacing.Windows = &closed }}, decide.None, 0, decide.WindowClosed},
		"it was rolled too often":   {state{failed: 1, change: func(in *decide.Input) { in.NotBefore = in.Now.Add(time.Minute) }}, decide.None, 0, decide.BackOff},
		"a frozen key changed, too": {state{failed: 1, parts: []obj.Part{obj.Env(obj.CM("a"), "k")}}, decide.Rollout, 0, decide.FrozenChanged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parts := append(injected(obj.Mount(obj.CM("a"))), c.parts...)
			if c.says != "" {
				parts = append(parts, obj.Annotation(onFailure, c.says))
			}
			w := withBaseline(t, parts, cm("a", "k", "1"))
			w.deployment.Spec.Replicas = new(int32(8))
			w.deployment.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: new(intstr.FromInt32(2))}
			w.set(cm("a", "k", "2"))
			verdict := c.verdict
			if verdict == decide.Unknown {
				verdict = decide.Failed
			}
			w.input.Options.Evict = !c.never
			w.input.InPlace = decide.InPlace{
				Sidecar: true, Verdict: verdict, Pod: "web-0", Message: "no", Failed: failedPods(c.failed), Failing: c.failed,
				Replaced: c.replaced, Unavailable: c.unavailable, Undated: c.undated,
			}
			if c.again > 0 {
				w.input.InPlace.Failed[c.again-1].Younger = true
			}
			w.inputs = c.change
			d := w.decide()
			if d.Action != c.want || d.Reason != c.why {
				t.Fatalf("%s (%s): %s; want %s (%s)", d.Action, d.Reason, d.Message, c.want, c.why)
			}
			if diff := cmp.Diff(failedPods(c.pods), d.Pods); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if held := c.again > 0 && c.want == decide.None; held && (!d.Warning || !strings.HasPrefix(d.Message, fmt.Sprintf("No pod evicted: pod web-%d is younger than the change and failed as well", c.again-1))) {
				t.Errorf("warning %t, message %q", d.Warning, d.Message)
			}
			if blocked := c.want == decide.Reload; blocked != (d.Blocked != "") {
				t.Errorf("blocked: %q", d.Blocked)
			}
			if c.want == decide.Replace && (d.Record || d.Warning || d.Message != "ConfigMap a changed (k); reload in pod web-0 failed: no") {
				t.Errorf("record %t, warning %t, message %q", d.Record, d.Warning, d.Message)
			}
		})
	}
}
