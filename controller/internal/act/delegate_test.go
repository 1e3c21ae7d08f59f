package act_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/controller/internal/act"
	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// delegated is a decision for a rollout that a webhook is called for, and its workload.
func delegated() (workload.View, decide.Decision) {
	return workload.View{Key: workload.Key{Kind: "Deployment", Namespace: "shop", Name: "web"}, UID: "u"}, decide.Decision{
		Action: decide.Rollout, Reason: decide.FrozenChanged, Message: "Webhook called: ConfigMap conf changed (a)",
		Causes: []decide.Cause{{Ref: source.Ref{Kind: source.ConfigMap, Namespace: "shop", Name: "conf"}}},
	}
}

func TestTheCallSaysWhatChangedAndIsThenRecorded(t *testing.T) {
	t.Parallel()
	view, decision := delegated()
	var got map[string]any
	var version uint64
	record := send(t, config.EnvVars, func(w writer) (err error) {
		delegate := &act.Delegate{Writer: w, Post: func(_ context.Context, body alert.Body) error {
			return json.Unmarshal(body.Bytes, &got)
		}}
		version, err = delegate.Rollout(t.Context(), view, decision, time.Unix(0, 0))
		return err
	})
	if version != 4711 || record.requests != 1 || record.contentType != "application/merge-patch+json" {
		t.Errorf("version %d after %+v, want one patch of the baseline", version, record)
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
	view, decision := delegated()
	refused := errors.New("the answer is 503")
	err := serve(t, config.EnvVars, func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s: the change was recorded", r.Method, r.URL)
	}, func(w writer) error {
		delegate := &act.Delegate{Writer: w, Post: func(context.Context, alert.Body) error { return refused }}
		_, err := delegate.Rollout(t.Context(), view, decision, time.Unix(0, 0))
		return err
	})
	if !errors.Is(err, refused) {
		t.Errorf("error %v, want %v", err, refused)
	}
}
