package reconcile_test

import (
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/objtest"
)

func TestStartedIsCalledOnceInEachTerm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		started := make(chan int, 10)
		var w *fakeCluster
		w = newFakeCluster(t, func(o *reconcile.Options) {
			o.Started = func() { started <- len(w.done()) }
		})
		w.apply(objtest.ConfigMap("a", "k", "0"))
		for _, name := range []string{"one", "two", "three"} {
			w.apply(auto(name, "a"))
		}
		for range 2 {
			stop := w.lead()
			time.Sleep(time.Minute)
			w.apply(objtest.ConfigMap("a", "k", time.Now().String()))
			time.Sleep(time.Minute)
			stop()
			if n := len(started); n != 1 {
				t.Fatalf("called %d times", n)
			}
			<-started
		}
	})
}
