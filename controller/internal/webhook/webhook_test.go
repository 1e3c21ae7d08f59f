package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/decide"
	"inpod.dev/inpod/controller/internal/webhook"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// recorder counts the baselines that were written.
type recorder struct {
	webhook.Cluster

	records int
}

func (r *recorder) Record(context.Context, workload.View, source.Baseline) (uint64, error) {
	r.records++
	return 7, nil
}

func decision() decide.Decision {
	return decide.Decision{
		Action: decide.Rollout, Reason: decide.FrozenChanged, Message: "Webhook called: ConfigMap conf changed (a)",
		Causes: []decide.Cause{{Ref: source.Ref{Kind: source.ConfigMap, Namespace: "shop", Name: "conf"}}},
	}
}

func view() workload.View {
	return workload.View{Key: workload.Key{Kind: "Deployment", Namespace: "shop", Name: "web"}}
}

func TestTheCallSaysWhatChangedAndIsThenRecorded(t *testing.T) {
	t.Parallel()
	var got map[string]any
	r := &recorder{}
	w := &webhook.Writer{Cluster: r, Post: func(_ context.Context, body alert.Body) error {
		return json.Unmarshal(body.Bytes, &got)
	}}
	version, err := w.Rollout(t.Context(), view(), decision(), time.Unix(0, 0))
	if err != nil || version != 7 || r.records != 1 {
		t.Fatalf("version %d, %d records, %v", version, r.records, err)
	}
	want := map[string]any{
		"kind": "Deployment", "namespace": "shop", "name": "web", "action": "to be rolled", "success": true,
		"reason": "FrozenChanged", "message": "Webhook called: ConfigMap conf changed (a)",
		"sources": []any{"ConfigMap shop/conf"}, "time": "1970-01-01T00:00:00Z",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestACallThatIsRefusedIsNotRecorded(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	refused := errors.New("the answer is 503")
	w := &webhook.Writer{Cluster: r, Post: func(context.Context, alert.Body) error { return refused }}
	if _, err := w.Rollout(t.Context(), view(), decision(), time.Unix(0, 0)); !errors.Is(err, refused) || r.records != 0 {
		t.Errorf("%d records, error %v", r.records, err)
	}
}
