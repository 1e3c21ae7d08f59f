package observe

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
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
			reduced, err := reduceStatus(u, newLastSeen[*statusItem]())
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

// The driver updates the status of a pod of the same name, as of a StatefulSet, where that is still there. The pod has read what
// there was when it started: nothing was rotated into it.
func TestARecreatedPodIsNotRotated(t *testing.T) {
	t.Parallel()
	const target = "/var/lib/kubelet/pods/%s/volumes/kubernetes.io~csi/secrets/mount"
	type state struct {
		uid        types.UID // of the status
		owner, pod string
		generation int64
		want       bool
	}
	for name, states := range map[string][]state{
		"rotated":                          {{"u", "1", "1", 1, false}, {"u", "1", "1", 2, true}, {"u", "1", "1", 3, true}},
		"made again":                       {{"u", "1", "1", 1, false}, {"u", "2", "2", 2, false}},
		"made again, and rotated":          {{"u", "1", "1", 1, false}, {"u", "2", "2", 2, false}, {"u", "2", "2", 3, true}},
		"rotated, and made again":          {{"u", "1", "1", 2, true}, {"u", "2", "2", 3, false}},
		"another owner alone":              {{"u", "1", "1", 1, false}, {"u", "2", "1", 2, false}},
		"another path alone":               {{"u", "1", "1", 1, false}, {"u", "1", "2", 2, false}},
		"metadata of the pod that is made": {{"u", "1", "1", 1, false}, {"u", "2", "2", 2, false}, {"u", "2", "2", 2, false}},
		"another status":                   {{"u", "1", "1", 2, true}, {"v", "2", "2", 1, false}, {"v", "2", "2", 2, true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			last := newLastSeen[*statusItem]()
			for i, s := range states {
				u := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{
					"secretProviderClassName": "vault", "podName": "web-0", "targetPath": fmt.Sprintf(target, s.pod),
					"objects": []any{map[string]any{"id": "secret/password", "version": "1"}},
				}}}
				u.SetNamespace("shop")
				u.SetName("web-0-shop-vault")
				u.SetUID(s.uid)
				u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "web-0", UID: types.UID(s.owner)}})
				u.SetGeneration(s.generation)
				reduced, err := reduceStatus(u, last)
				item, ok := reduced.(*statusItem)
				if err != nil || !ok {
					t.Fatalf("%T, %v", reduced, err)
				}
				if item.status.Rotated != s.want {
					t.Errorf("state %d: rotated %t, want %t", i, item.status.Rotated, s.want)
				}
			}
		})
	}
}
