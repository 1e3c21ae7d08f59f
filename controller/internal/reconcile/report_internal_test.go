package reconcile

import (
	"testing"

	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/workload"
)

func TestARefusalIsASentence(t *testing.T) {
	t.Parallel()
	view := workload.View{
		Key: workload.Key{Kind: "Job", Namespace: "shop", Name: "import-0f3a"},
		Job: &workload.Job{Placeholder: &workload.Placeholder{Name: "import"}},
	}
	for name, tc := range map[string]struct {
		action    decide.Action
		byWebhook bool
		want      string
	}{
		"a rollout":       {action: decide.Rollout, want: "The rolling update could not be started and will be tried again"},
		"a webhook":       {action: decide.Rollout, byWebhook: true, want: "The webhook could not be called and will be tried again"},
		"a paused one":    {action: decide.Resume, want: "The workload could not be resumed and will be tried again"},
		"a Job":           {action: decide.Recreate, want: "Job import could not be created again and will be tried again; Job import-0f3a keeps its manifest"},
		"a baseline only": {action: decide.None, want: "The baseline could not be written and will be tried again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := refusal(view, tc.action, tc.byWebhook); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
