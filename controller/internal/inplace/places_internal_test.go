package inplace

import (
	"context"
	"testing"
	"testing/synctest"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/workload"
)

// A workload with thousands of pods keeps no other one waiting, in its own namespace or in another one, and whoever gives up
// loses no place.
func TestPlacesAreSharedByNamespaceAndWorkload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pod := func(namespace, name string) observe.Pod {
			return observe.Pod{Namespace: namespace, Workload: workload.Key{Kind: "Deployment", Namespace: namespace, Name: name}}
		}
		p := newPlaces(1)
		leave, err := p.admit(t.Context(), pod("shop", "first"))
		if err != nil {
			t.Fatal(err)
		}
		var served []string
		wait := func(ctx context.Context, namespace, name string) {
			go func() {
				leave, err := p.admit(ctx, pod(namespace, name))
				if err != nil {
					return
				}
				served = append(served, namespace+"/"+name)
				leave()
			}()
			synctest.Wait()
		}
		impatient, giveUp := context.WithCancel(t.Context())
		for range 100 {
			wait(t.Context(), "shop", "large")
		}
		wait(impatient, "shop", "impatient")
		wait(t.Context(), "shop", "small")
		wait(t.Context(), "bank", "web")
		giveUp()
		synctest.Wait()
		leave()
		synctest.Wait()
		if len(served) != 102 {
			t.Fatalf("%d were served, want 102", len(served))
		}
		for i, want := range []string{"shop/large", "bank/web", "shop/small", "shop/large"} {
			if served[i] != want {
				t.Errorf("%q is served as number %d, want %q", served[i], i+1, want)
			}
		}
		if p.free != 1 {
			t.Errorf("%d places are free, want 1", p.free)
		}
	})
}
