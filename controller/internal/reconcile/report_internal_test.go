package reconcile

import (
	"errors"
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
		"a rollout":       {action: decide.Rollout, want: "Starting the rolling update failed and will be retried"},
		"a webhook":       {action: decide.Rollout, byWebhook: true, want: "Calling the webhook failed and will be retried"},
		"a paused one":    {action: decide.Resume, want: "Resuming the Deployment failed and will be retried"},
		"a Job":           {action: decide.Recreate, want: "Recreating Job import failed and will be retried; its manifest is kept in Job import-0f3a"},
		"a baseline only": {action: decide.None, want: "Recording the baseline failed and will be retried"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := refusal(view, tc.action, tc.byWebhook, errors.New("quota")); got != tc.want+": quota" {
				t.Errorf("%q, want %q", got, tc.want+": quota")
			}
		})
	}
}
