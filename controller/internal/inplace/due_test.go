package inplace_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/internal/decide"
)

// Pods may come while no sidecar of their workload can be reached, and their nudges may wait.
func TestPodsComeWhileNoSidecarCanBeReached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(4, 0.05, 2*time.Second) // one nudge in twenty seconds
		for _, p := range w.pods {
			p.closed = true
		}
		w.pursue(t, "t1")
		after(deadline + 2*lastClosedNudge)
		if verdict := w.state("t1").Verdict; verdict != decide.Unreachable {
			t.Fatalf("the verdict is %q", verdict)
		}
		w.change(func() {
			for i := range 20 {
				w.admit(fmt.Sprint("web-late-", i)).closed = true
			}
			w.size += 20
		})
		w.early.Add(web, use().Usages.Ref)
		after(time.Minute)
		w.change(func() {
			for _, p := range w.pods {
				p.closed, p.has = false, newContent
			}
		})
		after(2 * time.Minute)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
	})
}

// lastClosedNudge is how long after the deadline a pod is asked whose nudge waits.
const lastClosedNudge = 30 * time.Second
