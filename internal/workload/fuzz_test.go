package workload_test

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

// Whoever may write an object of a kind with a free schema can put anything where the template is. It must not end the
// controller, which has to list all of them.
func FuzzView(f *testing.F) {
	kind := workload.Rollout()
	full := clones(kind, obj.TemplateAnnotation("a", "1"), obj.Mount(obj.CM("a")), obj.Projected(obj.Sec("b"), obj.CM("c")), obj.CSI("d"),
		obj.Env(obj.Sec("b"), "k"), obj.EnvFrom(obj.CM("c")), obj.Var("STAKATER_A_SECRET", "1"), obj.Init("setup"), obj.Sidecar("proxy"))
	for _, seed := range []any{
		full.Object["spec"], nil, "x",
		map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{nil, "x", map[string]any{"env": []any{nil}}}}}},
		map[string]any{"workloadRef": map[string]any{"kind": []any{}}},
	} {
		text, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, spec string) {
		content := &unstructured.Unstructured{}
		text := `{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","metadata":{"name":"web","namespace":"shop","uid":"u"},"spec":` + spec + `}`
		if content.UnmarshalJSON([]byte(text)) != nil {
			return
		}
		view, err := kind.View(content, keepAll)
		if err != nil {
			t.Fatalf("one object keeps all of its kind from being listed: %v", err)
		}
		if view.Shape == nil || len(view.Shape.Env) != len(view.Containers) {
			t.Fatalf("%d containers, shape %+v", len(view.Containers), view.Shape)
		}
		if view.Fault == "" && view.TemplateOwner.Name == "" && len(view.Containers) == 0 {
			t.Fatal("no containers, and no fault")
		}
	})
}
