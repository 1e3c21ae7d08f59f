package act_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/controller/internal/act"
	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/workload"
)

const pausedAt = "deployment.reloader.stakater.com/paused-at"

// noted are the annotations in the metadata of a patch; one without text is removed.
func noted(t *testing.T, body []byte) map[string]any {
	t.Helper()
	var patch struct {
		Metadata struct {
			UID         string         `json:"uid"`
			Annotations map[string]any `json:"annotations"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(body, &patch); err != nil {
		t.Fatal(err)
	}
	if patch.Metadata.UID == "" {
		t.Errorf("the patch does not say which object it is about: %s", body)
	}
	return patch.Metadata.Annotations
}

func TestTheTimeOfARolloutIsInItsPatch(t *testing.T) {
	t.Parallel()
	view, decision := rollout(t, rich(), conf())
	for pause, want := range map[bool]any{true: "2026-01-02T12:00:00.000Z", false: nil} {
		decision.Pause = pause
		got := send(t, config.EnvVars, func(w writer) error {
			w.PausedAt = pausedAt
			_, err := w.Rollout(t.Context(), view, decision, noon)
			return err
		})
		if at, has := noted(t, got.body)[pausedAt]; at != want || has != pause || got.requests != 1 {
			t.Errorf("pause %t: %s is %v in %d requests, want %v in one", pause, pausedAt, at, got.requests, want)
		}
	}
}

func TestTheTimeOfARolloutIsInItsPatchByPositions(t *testing.T) {
	t.Parallel()
	kind := workload.Rollout()
	for name, annotated := range map[string]bool{"with annotations": true, "without": false} {
		view := workload.View{
			Key: workload.Key{Kind: kind.Name, Namespace: "shop", Name: "web"}, UID: "u", Containers: []string{"app"},
			Shape: &workload.Shape{Annotated: annotated, Env: []workload.Env{{}}},
		}
		decision := decide.Decision{Action: decide.Rollout, Pause: true, ConfigHashes: []decide.ConfigHash{{Container: "app", Variable: "STAKATER_A_CONFIGMAP", Hash: "h"}}}
		got := send(t, config.EnvVars, func(w writer) error {
			w.PausedAt = pausedAt
			_, err := w.Rollout(t.Context(), view, decision, noon)
			return err
		})
		var ops []struct {
			Path  string `json:"path"`
			Value any    `json:"value"`
		}
		if err := json.Unmarshal(got.body, &ops); err != nil {
			t.Fatal(err)
		}
		found := map[string]any{}
		for _, op := range ops {
			switch op.Path {
			case "/metadata/annotations/deployment.reloader.stakater.com~1paused-at":
				found[pausedAt] = op.Value
			case "/metadata/annotations":
				found, _ = op.Value.(map[string]any)
			}
		}
		if found[pausedAt] != "2026-01-02T12:00:00.000Z" {
			t.Errorf("%s: no time of the rollout in %s", name, got.body)
		}
	}
}

func TestResumingTakesBackWhatReloaderWrote(t *testing.T) {
	t.Parallel()
	view, _ := rollout(t, rich(), conf())
	got := send(t, config.EnvVars, func(w writer) error {
		w.PausedAt = pausedAt
		_, err := w.Resume(t.Context(), view)
		return err
	})
	if got.method != http.MethodPatch || got.contentType != "application/merge-patch+json" || got.fieldManager != act.FieldManager {
		t.Errorf("%s as %s by %s", got.method, got.contentType, got.fieldManager)
	}
	if diff := cmp.Diff(map[string]any{pausedAt: nil}, noted(t, got.body)); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	var patch map[string]any
	if err := json.Unmarshal(got.body, &patch); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"paused": nil}, patch["spec"]); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

func TestWhatWasReportedIsOneAnnotation(t *testing.T) {
	t.Parallel()
	view, _ := rollout(t, rich(), conf())
	for content, want := range map[string]any{"0123456789ab": "0123456789ab", "": nil} {
		got := send(t, config.EnvVars, func(w writer) error {
			_, err := w.RecordNotified(t.Context(), view, "inpod.dev/notified", content)
			return err
		})
		if diff := cmp.Diff(map[string]any{"inpod.dev/notified": want}, noted(t, got.body)); diff != "" {
			t.Errorf("annotations (-want +got):\n%s", diff)
		}
	}
}
