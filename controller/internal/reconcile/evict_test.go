package reconcile_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

// onePod is a reload that failed in one pod.
type onePod struct {
	*reloads

	mu   sync.Mutex
	gone bool
}

func (p *onePod) State(workload.View, bool, string) decide.InPlace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true}
	}
	return decide.InPlace{
		Sidecar: true, Verdict: decide.Failed, Pod: "web-1", Message: "no answer", Failing: 1, Failed: []decide.FailedPod{{Name: "web-1", UID: "u"}},
	}
}

func (p *onePod) Evicted(workload.Key, types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
}

func TestAPodThatFailedIsEvicted(t *testing.T) {
	t.Parallel()
	const changed = "ConfigMap a changed (k); reload in pod web-1 failed: no answer"
	for name, c := range map[string]struct {
		refuses error
		until   time.Duration // when the budget allows it
		want    []string
		most    int
	}{
		"at once": {nil, 0, []string{
			"Normal PodEvicted Evicted pod web-1, so that a new one has the content: " + changed,
			"Normal ReloadedInPlace Reloaded in place: ConfigMap a changed (k)",
		}, 1},
		"as soon as its budget allows it": {apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0), time.Hour, []string{
			"Warning EvictionBlocked Eviction of pod web-1 refused and will be retried: Cannot evict pod as it would violate the pod's disruption budget. " +
				"Set inpod.dev/on-failure: rollout to start a rollout instead",
			"Normal PodEvicted Evicted pod web-1, so that a new one has the content: " + changed + "; it had been refused for 1h0m10s",
			"Normal ReloadedInPlace Reloaded in place: ConfigMap a changed (k)",
		}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pods := &onePod{reloads: &reloads{}}
				w := newFakeCluster(t, func(o *reconcile.Options) { o.InPlace, o.Rules.Evict = pods, true })
				w.apply(objtest.ConfigMap("a", "k", "0"), live(map[string]string{"inpod.dev/on-failure": "evict"}))
				w.lead()
				time.Sleep(time.Minute)
				w.set(func() { w.refuses = c.refuses })
				w.apply(objtest.ConfigMap("a", "k", "1"))
				for range 60 {
					time.Sleep(c.until / 60)
					w.queue.Enqueue(deployment("web"), observe.WorkloadChanged) // whatever else happens to it
				}
				w.set(func() { w.refuses = nil })
				time.Sleep(10 * time.Minute)
				w.queue.Enqueue(deployment("web"), observe.WorkloadChanged)
				time.Sleep(time.Minute)
				if diff := cmp.Diff([]string{"web-1"}, w.evictions); diff != "" {
					t.Errorf("evictions (-want +got):\n%s", diff)
				}
				got := w.reported()
				for i := range got {
					got[i] = strings.ReplaceAll(got[i], " web: ", " ")
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if w.evictionTries > c.most {
					t.Errorf("it was tried %d times", w.evictionTries)
				}
				if rolled := w.rolled("web"); len(rolled) > 0 {
					t.Errorf("rolled at %s", rolled)
				}
			})
		})
	}
}

// An installation may lack the right, or somebody forbids it for this pod.
func TestAWorkloadIsRolledWhosePodsMayNotBeEvicted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pods := &onePod{reloads: &reloads{}}
		w := newFakeCluster(t, func(o *reconcile.Options) { o.InPlace, o.Rules.Evict = pods, true })
		w.apply(objtest.ConfigMap("a", "k", "0"), live(map[string]string{"inpod.dev/on-failure": "evict"}))
		w.lead()
		time.Sleep(time.Minute)
		w.set(func() { w.refuses = apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web-1", nil) })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		if rolled := w.rolled("web"); len(rolled) != 1 {
			t.Errorf("rolled at %s, want once", rolled)
		}
		if w.evictionTries != 1 || !strings.Contains(strings.Join(w.reported(), "\n"), "reload in pod web-1 failed: no answer") {
			t.Errorf("tried %d times, and said %q", w.evictionTries, w.reported())
		}
	})
}

// failingPods are workloads with a pod that fails each time, until it is evicted and another one is ready.
type failingPods struct {
	*reloads

	enqueue func(workload.Key)
	takes   time.Duration // until another one is ready
	idle    int           // pods that are not ready whatever is evicted

	mu      sync.Mutex
	targets map[workload.Key]string // for which it is done
	current map[workload.Key]string
	away    map[workload.Key]bool
}

func (p *failingPods) State(view workload.View, _ bool, target string) decide.InPlace {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current[view.Key] = target
	switch state := (decide.InPlace{Sidecar: true, Unavailable: p.idle}); {
	case p.away[view.Key]:
		state.Unavailable++
		return state
	case p.targets[view.Key] == target:
		state.Verdict, state.Proven = decide.Confirmed, true
		return state
	default:
		state.Verdict, state.Pod, state.Message = decide.Failed, view.Key.Name+"-1", "no answer"
		state.Failing, state.Failed = 1, []decide.FailedPod{{Name: view.Key.Name + "-1", UID: "u"}}
		return state
	}
}

func (p *failingPods) Evicted(key workload.Key, _ types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets[key], p.away[key] = p.current[key], true
	time.AfterFunc(p.takes/2, func() { p.enqueue(key) }) // whatever else happens to it
	time.AfterFunc(p.takes, func() {
		p.mu.Lock()
		p.away[key] = false
		p.mu.Unlock()
		p.enqueue(key)
	})
}

func (p *failingPods) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// newFailingPods has so many workloads web-N whose pods are evicted when they fail.
func newFailingPods(t *testing.T, n int, limits reconcile.Limits) (*fakeCluster, *failingPods) {
	t.Helper()
	pods := &failingPods{
		reloads: &reloads{}, targets: map[workload.Key]string{}, current: map[workload.Key]string{}, away: map[workload.Key]bool{}, takes: time.Minute,
	}
	w := newFakeCluster(t, func(o *reconcile.Options) { o.InPlace, o.Rules.Evict, o.Limits = pods, true, limits })
	pods.enqueue = func(key workload.Key) { w.queue.Enqueue(key, observe.WorkloadChanged) }
	w.apply(objtest.ConfigMap("a", "k", "0"))
	for i := range n {
		d := live(map[string]string{"inpod.dev/on-failure": "evict"})
		d.SetName(fmt.Sprintf("web-%d", i))
		w.apply(d)
	}
	w.lead()
	time.Sleep(time.Minute)
	return w, pods
}

func TestEvictionsHaveTheSlotsOfRollouts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _ := newFailingPods(t, 5, reconcile.Limits{Total: 2, Timeout: time.Hour})
		w.apply(objtest.ConfigMap("a", "k", "1"))
		for _, want := range []int{2, 4, 5} {
			time.Sleep(50 * time.Second)
			if n := w.evictionsSoFar(); n != want {
				t.Errorf("%d pods evicted, want %d", n, want)
			}
			if under := w.metric("inpod_rollouts_in_progress"); under != float64(min(2, want)) && want < 5 {
				t.Errorf("%v slots in use, want 2", under)
			}
			time.Sleep(15 * time.Second)
		}
		time.Sleep(time.Minute)
		if under, waiting := w.metric("inpod_rollouts_in_progress"), w.metric("inpod_rollouts_waiting"); under != 0 || waiting != 0 {
			t.Errorf("in the end %v under way and %v waiting", under, waiting)
		}
	})
}

// Who waits for a budget holds no slot.
func TestAnEvictionThatABudgetRefusesHoldsNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _ := newFailingPods(t, 1, reconcile.Limits{Total: 1, Timeout: time.Hour})
		w.apply(objtest.ConfigMap("b", "k", "0"), auto("other", "b"))
		time.Sleep(time.Minute)
		w.set(func() { w.refuses = apierrors.NewTooManyRequests("the budget", 0) })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		w.apply(objtest.ConfigMap("b", "k", "1"))
		time.Sleep(settle + time.Second)
		if len(w.rolled("other")) != 1 {
			t.Errorf("the other one was rolled at %s", w.rolled("other"))
		}
	})
}

// Ten in a row are free, as with rollouts; and a budget that refuses costs none of them.
func TestEvictionsCountForTheBackOff(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]bool{"accepted": false, "refused at first": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, pods := newFailingPods(t, 1, reconcile.Limits{Timeout: time.Hour})
				pods.set(func() { pods.takes = time.Second })
				if refused {
					w.set(func() { w.refuses = apierrors.NewTooManyRequests("the budget", 0) })
					w.apply(objtest.ConfigMap("a", "k", "refused"))
					time.Sleep(2 * time.Hour)
					w.set(func() { w.refuses = nil })
					w.apply(objtest.ConfigMap("a", "k", "0"))
					time.Sleep(time.Hour)
				}
				before := w.evictionsSoFar()
				for i := range 11 {
					w.apply(objtest.ConfigMap("a", "k", strconv.Itoa(i+1)))
					time.Sleep(settle + 4*time.Second)
				}
				if n := w.evictionsSoFar() - before; n != 10 {
					t.Errorf("%d evictions without a wait, want 10", n)
				}
				if said := strings.Join(w.reported(), "\n"); !strings.Contains(said, "Eviction delayed until") || !strings.Contains(said, "too many rollouts and evictions") {
					t.Errorf("reported:\n%s", said)
				}
				time.Sleep(30 * time.Second)
				if n := w.evictionsSoFar() - before; n != 11 {
					t.Errorf("%d evictions after a wait, want 11", n)
				}
			})
		})
	}
}

func TestAnEvictionThatWaitsForOtherPodsIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, pods := newFailingPods(t, 1, reconcile.Limits{Timeout: time.Hour})
		pods.set(func() { pods.idle = 1 })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		if said := w.reported(); len(said) > 0 {
			t.Errorf("reported at once: %q", said)
		}
		time.Sleep(time.Hour)
		want := []string{"Warning EvictionBlocked web-0: Eviction of pod web-0-1 waits: 1 other pod is not ready, and no more than 1 may be unavailable"}
		if diff := cmp.Diff(want, w.reported()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// evictionsSoFar is how many pods were evicted.
func (w *fakeCluster) evictionsSoFar() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.evictions)
}
