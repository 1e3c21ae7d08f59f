package annotation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/window"
)

func TestPacing(t *testing.T) {
	t.Parallel()
	const (
		settle = "inpod.dev/settle"
		only   = "inpod.dev/notify-only"
		period = "deployment.reloader.stakater.com/pause-period"
		at     = "deployment.reloader.stakater.com/paused-at"
	)
	ptr := func(d time.Duration) *time.Duration { return &d }
	yes, no := true, false
	nights, err := window.Parse("22:00-04:00")
	if err != nil {
		t.Fatal(err)
	}
	never := window.Closed()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		workload, template map[string]string
		want               annotation.Pacing
		problems           []string // what each says
	}{
		"nothing":            {want: annotation.Pacing{}},
		"on the workload":    {workload: map[string]string{settle: "5s", only: "true", period: "5m"}, want: annotation.Pacing{Settle: ptr(5 * time.Second), NotifyOnly: &yes, PausePeriod: ptr(5 * time.Minute)}},
		"on the template":    {template: map[string]string{settle: "5s", only: "false", period: "5m"}, want: annotation.Pacing{Settle: ptr(5 * time.Second), NotifyOnly: &no, PausePeriod: ptr(5 * time.Minute)}},
		"workload over it":   {workload: map[string]string{period: "1m"}, template: map[string]string{period: "5m"}, want: annotation.Pacing{PausePeriod: ptr(time.Minute)}},
		"empty is not said":  {workload: map[string]string{period: " ", only: ""}, template: map[string]string{period: "5m"}, want: annotation.Pacing{PausePeriod: ptr(5 * time.Minute)}},
		"no settle time":     {workload: map[string]string{settle: "0s"}, want: annotation.Pacing{Settle: ptr(0)}},
		"Reloader's time":    {workload: map[string]string{at: "2026-03-01T12:00:00Z"}, want: annotation.Pacing{PausedAt: noon, PausedByReloader: true}},
		"our time":           {workload: map[string]string{at: noon.Format(annotation.PausedAtLayout)}, want: annotation.Pacing{PausedAt: noon}},
		"a time on the pods": {template: map[string]string{at: "2026-03-01T12:00:00Z"}, want: annotation.Pacing{}},
		"unreadable": {
			workload: map[string]string{settle: "soon", only: "perhaps", period: "5 minutes", at: "yesterday"},
			want:     annotation.Pacing{NotifyOnly: &yes},
			problems: []string{settle + `: "soon"`, only + `: "perhaps"`, period + `: "5 minutes"`, at + `: "yesterday"`},
		},
		"no pause":    {workload: map[string]string{period: "0s"}, want: annotation.Pacing{PausePeriod: ptr(0)}},
		"no back-off": {workload: map[string]string{"inpod.dev/back-off": "off"}, want: annotation.Pacing{NoBackOff: true}},
		"another word for it": {
			template: map[string]string{"inpod.dev/back-off": "none"}, want: annotation.Pacing{},
			problems: []string{`inpod.dev/back-off on the pod template: "none" is not allowed`},
		},
		"a window":                 {workload: map[string]string{"inpod.dev/window": "22:00-04:00"}, want: annotation.Pacing{Windows: &nights}},
		"a window on the template": {template: map[string]string{"inpod.dev/window": "22:00-04:00"}, want: annotation.Pacing{Windows: &nights}},
		"a window that nobody can read": {
			workload: map[string]string{"inpod.dev/window": "at night"}, want: annotation.Pacing{Windows: &never},
			problems: []string{`inpod.dev/window: "at night" is no maintenance window, and nothing is rolled until it is: "at" is not a day`},
		},
		"negative, on the template": {
			template: map[string]string{period: "-5m"},
			want:     annotation.Pacing{}, problems: []string{period + ` on the pod template: "-5m"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy, problems := annotation.Read(annotation.DefaultKeys(), c.workload, c.template)
			if diff := cmp.Diff(c.want, policy.Pacing); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(problems) != len(c.problems) {
				t.Fatalf("problems %v, want %d", problems, len(c.problems))
			}
			for i, part := range c.problems {
				if !strings.Contains(problems[i].String(), part) {
					t.Errorf("problem %q does not say %q", problems[i], part)
				}
			}
		})
	}
}

func TestWhatSaysWhenToRollIsKept(t *testing.T) {
	t.Parallel()
	keys := annotation.DefaultKeys()
	for _, key := range []string{keys.Settle, keys.NotifyOnly, keys.Window, keys.PausePeriod, keys.PausedAt, keys.BackOff, annotation.Notified} {
		if !keys.OnWorkload(key) {
			t.Errorf("%s is dropped on the way in", key)
		}
	}
}

func TestAWorkloadSaysMoreThanItsNamespace(t *testing.T) {
	t.Parallel()
	keys := annotation.DefaultKeys()
	defaults, _ := annotation.ReadDefaults(keys, map[string]string{keys.PausePeriod: "10m"})
	for text, want := range map[string]time.Duration{"0s": 0, "1m": time.Minute, "": 10 * time.Minute, "soon": 10 * time.Minute} {
		policy, _ := annotation.Read(keys, map[string]string{keys.PausePeriod: text}, nil)
		if got := policy.Pacing.Or(defaults).Pause(); got != want {
			t.Errorf("%q: a pause of %s, want %s", text, got, want)
		}
	}
}
