package reconcile_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/objtest"
)

// It rests after the start, and again only after many workloads have waited.
func TestRestedIsCalledAfterManyWorkloads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rested := make(chan struct{}, 100)
		w := newFakeCluster(t, func(o *reconcile.Options) { o.Rested = func() { rested <- struct{}{} } })
		w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("all", "k", "0"))
		w.apply(auto("one", "a"))
		for i := range 1100 {
			w.apply(auto(fmt.Sprint("web", i), "all"))
		}
		for range 2 {
			stop := w.lead()
			for _, c := range []struct{ name, after string }{{"", "the start"}, {"a", "an edit for one workload"}, {"all", "an edit for many"}} {
				if c.name != "" {
					w.apply(objtest.ConfigMap(c.name, "k", time.Now().String()))
				}
				time.Sleep(10 * time.Minute)
				want := 1
				if c.name == "a" {
					want = 0
				}
				if n := len(rested); n != want {
					t.Fatalf("called %d times after %s, want %d", n, c.after, want)
				}
				for range want {
					<-rested
				}
			}
			stop()
		}
	})
}
