package inplace

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// Whatever comes in whatever order: no pod is nudged twice within its interval, each is nudged with its newest text in
// the end, and no namespace has more under way than its share.
func TestPropertyOfPendingNudges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, seed))
				const interval = time.Second
				q := newPendingNudges(rate.NewLimiter(200, 10), newMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
				ctx, stop := context.WithCancel(t.Context())
				var mu sync.Mutex
				sent, at, under := map[types.UID]string{}, map[types.UID]time.Time{}, map[string]int{}
				var running sync.WaitGroup
				running.Go(func() {
					q.run(ctx, func(_ context.Context, n *pendingNudge) error {
						mu.Lock()
						if last, ok := at[n.pod.UID]; ok && time.Since(last) < interval-time.Millisecond {
							t.Errorf("%s is nudged twice within %s", n.pod.UID, time.Since(last))
						}
						sent[n.pod.UID], at[n.pod.UID] = n.text, time.Now()
						if under[n.pod.Namespace]++; under[n.pod.Namespace] > nudgesOfOne {
							t.Errorf("%d nudges under way in one namespace", under[n.pod.Namespace])
						}
						mu.Unlock()
						time.Sleep(time.Duration(len(n.pod.Namespace)) * 20 * time.Millisecond) // some namespaces are slow
						mu.Lock()
						under[n.pod.Namespace]--
						mu.Unlock()
						return nil
					})
				})
				wanted := map[types.UID]string{}
				for i := range 500 {
					namespace := []string{"a", "bb", "ccc"}[random.IntN(3)]
					name := fmt.Sprintf("%s-%d", namespace, random.IntN(30))
					n := pendingNudge{
						pod: observe.Pod{Namespace: namespace, Name: name, UID: types.UID(name)}, text: strconv.Itoa(i), asked: time.Now(),
						key:    workload.Key{Kind: "Deployment", Namespace: namespace, Name: strconv.Itoa(random.IntN(5))},
						ref:    source.Ref{Kind: source.ConfigMap, Namespace: namespace, Name: strconv.Itoa(random.IntN(5))},
						needed: func(context.Context, bool) bool { return true },
					}
					wanted[n.pod.UID] = n.text
					q.add(n, interval)
					time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
				}
				time.Sleep(30 * time.Second)
				stop()
				running.Wait()
				for pod, text := range wanted {
					if sent[pod] != text {
						t.Errorf("the last nudge of %s is %q, want %q", pod, sent[pod], text)
					}
				}
			})
		})
	}
}

// Nobody waits for all the nudges of somebody else.
func TestFairQueueServesEveryName(t *testing.T) {
	t.Parallel()
	all := &fairQueue[*pendingNudge]{}
	for i := range 100 {
		all.push([]string{"shop", "bundle", fmt.Sprint("web-", i)}, &pendingNudge{text: "bundle"})
	}
	all.push([]string{"shop", "own", "small"}, &pendingNudge{text: "own"})
	all.push([]string{"bank", "conf", "web"}, &pendingNudge{text: "bank"})
	var got []string
	for range 4 {
		n, _ := all.pop(everybody)
		got = append(got, n.text)
	}
	if want := "[bundle bank own bundle]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %v", got, want)
	}
	if n, ok := all.pop(func(name string) bool { return name == "bank" }); ok {
		t.Errorf("%v of a namespace with nothing", n.text)
	}
	for range 98 {
		all.pop(everybody)
	}
	if n, ok := all.pop(everybody); ok || all.any(everybody) || len(all.next) > 0 {
		t.Errorf("something is left: %v", n)
	}
}
