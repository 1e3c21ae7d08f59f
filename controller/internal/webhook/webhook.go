// Package webhook replaces rollouts by a call to somebody else's address, who
// then does what is to be done: Reloader's --webhook-url. It decides nothing.
//
// Unlike Reloader's, a call says what changed, follows the same annotations as
// a rollout would, and counts only when it was answered with a 2xx status; until
// then it is tried again for that workload alone.
package webhook

import (
	"context"
	"fmt"
	"time"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/decide"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// timeout bounds one call with its repetitions, so that an address that is away does not keep those who wait for others.
const timeout = 15 * time.Second

// Cluster is what is still written to the cluster: [act.Writer].
type Cluster interface {
	Rollout(ctx context.Context, view workload.View, decision decide.Decision, now time.Time) (uint64, error)
	Record(ctx context.Context, view workload.View, baseline source.Baseline) (uint64, error)
	Note(ctx context.Context, view workload.View, key, content string) (uint64, error)
	Resume(ctx context.Context, view workload.View) (uint64, error)
	Recreate(ctx context.Context, view workload.View, decision decide.Decision) (done bool, err error)
}

// Post sends a body: [alert.Poster.Post].
type Post func(ctx context.Context, body alert.Body) error

// Writer calls the webhook where a rollout was decided, and writes everything else.
type Writer struct {
	Cluster

	Post Post
}

// Rollout posts what changed and then records that the workload has taken it up. When the record cannot be written the
// call is repeated: the receiver gets it at least once.
func (w *Writer) Rollout(ctx context.Context, view workload.View, decision decide.Decision, now time.Time) (uint64, error) {
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
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := w.Post(bounded, body); err != nil {
		return 0, fmt.Errorf("calling the webhook for %s: %w", view.Key, err)
	}
	return w.Record(ctx, view, decision.Baseline)
}
