package reconcile_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

// A write that waits for a slow admission webhook keeps neither decisions nor the writes of other namespaces waiting.
func TestSlowWritesOfOthersDelayNoWrite(t *testing.T) {
	t.Parallel()
	const tolerated = settle + 5*time.Second
	for name, namespaces := range map[string]int{"200 workloads of one namespace": 1, "200 workloads of 50 namespaces": 50} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t)
				w.apply(in("ours", objtest.ConfigMap("ours", "k", "0")), in("ours", auto("ours", "ours")))
				for i := range 200 {
					w.apply(in(fmt.Sprintf("theirs-%d", i%namespaces), auto(fmt.Sprintf("theirs-%d", i), "theirs")))
				}
				for i := range namespaces {
					w.apply(in(fmt.Sprintf("theirs-%d", i), objtest.ConfigMap("theirs", "k", "0")))
				}
				w.lead()
				time.Sleep(time.Hour)
				theirs := func(key workload.Key) bool { return strings.HasPrefix(key.Name, "theirs") }
				w.set(func() {
					w.slow = func(key workload.Key) time.Duration {
						if theirs(key) {
							return 30 * time.Second
						}
						return 0
					}
					w.refuse = func(key workload.Key) error {
						if theirs(key) {
							return errors.New(`failed calling webhook "policy.theirs": context deadline exceeded`)
						}
						return nil
					}
				})
				for i := range namespaces {
					w.apply(in(fmt.Sprintf("theirs-%d", i), objtest.ConfigMap("theirs", "k", "1")))
				}
				for i := range 8 { // more rollouts than that have a back-off
					time.Sleep(31 * time.Second)
					edited := time.Since(w.start)
					w.apply(in("ours", objtest.ConfigMap("ours", "k", strconv.Itoa(i+1))))
					time.Sleep(tolerated)
					rolled := w.rolled("ours")
					if len(rolled) != i+1 || rolled[i]-edited > tolerated {
						t.Fatalf("edit %d: rollouts at %v, want %d, the last one by %s", i, rolled, i+1, edited+tolerated)
					}
				}
				time.Sleep(10 * time.Minute)
				for i := range 200 {
					if name := fmt.Sprintf("theirs-%d", i); w.tried(name) < 2 {
						t.Errorf("%s was not tried", name)
					}
				}
			})
		})
	}
}
