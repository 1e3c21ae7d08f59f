package act

import (
	"context"
	"fmt"
	"time"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/workload"
)

// callTimeout bounds one call with its repetitions. An address that is away is not called each time: [alert.Poster] sees to that.
const callTimeout = 15 * time.Second

// Post sends a body: [alert.Poster.Post].
type Post func(ctx context.Context, body alert.Body) error

// Delegate calls a webhook where a rollout was decided: Reloader's --webhook-url. It writes everything else. Unlike Reloader's, a call says what changed, and counts only when it was answered with a 2xx status; until then it is tried again for that workload alone.
type Delegate struct {
	*Writer

	Post Post
}

// Rollout posts what changed and then records that the workload has taken it up. When the record cannot be written the
// call is repeated: the receiver gets it at least once.
func (w *Delegate) Rollout(ctx context.Context, view workload.View, decision decide.Decision, now time.Time) (uint64, error) {
	var sources []string
	for _, cause := range decision.Causes {
		sources = append(sources, cause.Ref.String())
	}
	body, err := alert.JSONBody(alert.Message{
		Workload: view.Key, Action: "to be rolled", Success: true, Reason: string(decision.Reason), Text: decision.Message,
		Sources: sources, Time: now,
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", view.Key, err)
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := w.Post(bounded, body); err != nil {
		return 0, fmt.Errorf("calling the webhook for %s: %w", view.Key, err)
	}
	return w.Record(ctx, view, decision.Baseline)
}
