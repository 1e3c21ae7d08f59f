package observe

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestWhatIsKeptOfAPodStatusOfTheSecretsStoreDriver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		generation  int64
		pod         any
		wantPod     string
		wantIndex   []string
		wantRotated bool
	}{
		"of a pod that has just started": {generation: 1, pod: "web-1", wantPod: "web-1", wantIndex: []string{"shop/web-1"}},
		"that was rotated":               {generation: 2, pod: "web-1", wantPod: "web-1", wantIndex: []string{"shop/web-1"}, wantRotated: true},
		"that names no pod":              {generation: 1},
		"that names something else":      {generation: 1, pod: int64(7)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status := map[string]any{
				"secretProviderClassName": "vault",
				"objects":                 []any{map[string]any{"id": "secret/password", "version": "1"}},
			}
			if c.pod != nil {
				status["podName"] = c.pod
			}
			u := &unstructured.Unstructured{Object: map[string]any{"status": status}}
			u.SetNamespace("shop")
			u.SetName("web-1-shop-vault")
			u.SetGeneration(c.generation)
			reduced, err := reduceStatus(u)
			item, ok := reduced.(*statusItem)
			if err != nil || !ok {
				t.Fatalf("%T, %v", reduced, err)
			}
			index, err := indexByPod(item)
			if diff := cmp.Diff(c.wantIndex, index); diff != "" || err != nil || item.pod != c.wantPod {
				t.Errorf("pod %q, %v, index (-want +got):\n%s", item.pod, err, diff)
			}
			if item.class != classRef("shop", "vault") || item.status.Rotated != c.wantRotated || item.status.Versions["secret/password"] != "1" {
				t.Errorf("%+v", item)
			}
		})
	}
}
