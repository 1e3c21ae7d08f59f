package reconcile_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

// crowd is a cluster of workloads web-0, web-1, … that got a baseline long ago and use a. A rollout of each takes so
// long.
func crowd(t *testing.T, n int, rolls time.Duration, limits reconcile.Limits) *fakeCluster {
	t.Helper()
	if limits.Timeout == 0 {
		limits.Timeout = 10 * time.Minute
	}
	w := newFakeCluster(t, limited(limits))
	w.rolls = map[string]time.Duration{}
	w.apply(objtest.ConfigMap("a", "k", "0"))
	for i := range n {
		name := fmt.Sprintf("web-%d", i)
		w.rolls[name] = rolls
		w.apply(auto(name, "a"))
	}
	return w
}

func limited(limits reconcile.Limits) func(*reconcile.Options) {
	return func(o *reconcile.Options) { o.Limits, o.Workers = limits, 1 }
}

// settled lets the loop run until everything gets a baseline.
func (w *fakeCluster) settled() (stop func()) {
	stop = w.lead()
	time.Sleep(time.Hour)
	w.set(func() { w.writes, w.start = nil, time.Now() })
	return stop
}

// starts are when rollouts began.
func (w *fakeCluster) starts() []time.Duration {
	var at []time.Duration
	for _, one := range w.wrote() {
		if one.rollout {
			at = append(at, one.at)
		}
	}
	return at
}

func TestNoMoreThanTheLimitIsUnderWay(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]reconcile.Limits{"of all": {Total: 2}, "of one namespace": {PerNamespace: 2}, "of both": {Total: 3, PerNamespace: 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := crowd(t, 5, time.Minute, limits)
				w.settled()
				w.at(0, "1")
				time.Sleep(settle + time.Second)
				if under, waiting := w.metric("inpod_rollouts_in_progress"), w.metric("inpod_rollouts_waiting"); under != 2 || waiting != 3 {
					t.Errorf("%v under way and %v waiting, want 2 and 3", under, waiting)
				}
				time.Sleep(time.Hour)
				want := []time.Duration{settle, settle, settle + time.Minute, settle + time.Minute, settle + 2*time.Minute}
				if diff := cmp.Diff(want, w.starts()); diff != "" {
					t.Errorf("rolled at (-want +got):\n%s", diff)
				}
				if under, waiting := w.metric("inpod_rollouts_in_progress"), w.metric("inpod_rollouts_waiting"); under != 0 || waiting != 0 {
					t.Errorf("in the end %v under way and %v waiting", under, waiting)
				}
			})
		})
	}
}

// The first to come is the first to be rolled.
func TestWhoWaitsIsServedInTheOrderOfArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t, limited(reconcile.Limits{Total: 1, Timeout: time.Hour}))
		w.rolls = map[string]time.Duration{}
		names := []string{"e", "c", "a", "d", "b"}
		for _, name := range names {
			w.rolls[name] = time.Minute
			w.apply(objtest.ConfigMap(name, "k", "0"), auto(name, name))
		}
		w.settled()
		for i, name := range names {
			time.Sleep(time.Until(w.start.Add(time.Duration(i) * time.Second)))
			w.apply(objtest.ConfigMap(name, "k", "1"))
		}
		time.Sleep(time.Hour)
		var got []string
		for _, one := range w.wrote() {
			got = append(got, one.name)
		}
		if diff := cmp.Diff(names, got); diff != "" {
			t.Errorf("rolled (-want +got):\n%s", diff)
		}
	})
}

func TestANamespaceAtItsLimitDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := crowd(t, 3, time.Hour, reconcile.Limits{Total: 5, PerNamespace: 1, Timeout: 2 * time.Hour})
		other := func(content string) *corev1.ConfigMap {
			c := objtest.ConfigMap("a", "k", content)
			c.SetNamespace("elsewhere")
			return c
		}
		elsewhere := auto("elsewhere", "a")
		elsewhere.SetNamespace("elsewhere")
		w.apply(other("0"), elsewhere)
		w.settled()
		w.at(0, "1")
		time.Sleep(time.Minute)
		w.apply(other("1"))
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]time.Duration{settle, time.Minute + settle}, w.starts()); diff != "" || len(w.rolled("elsewhere")) != 1 {
			t.Errorf("rolled %v (-want +got):\n%s", w.done(), diff)
		}
	})
}

func TestAStuckRolloutCountsUntilTheTimeOutOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := crowd(t, 3, -1, reconcile.Limits{Total: 1, Timeout: 10 * time.Minute})
		w.settled()
		w.at(0, "1")
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]time.Duration{settle, settle + 10*time.Minute, settle + 20*time.Minute}, w.starts()); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
	})
}

func TestARefusedWriteReleasesItsSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := crowd(t, 3, 0, reconcile.Limits{Total: 1})
		w.settled()
		w.set(func() {
			w.refuse = func(key workload.Key) error {
				if key.Name == "web-1" {
					return errors.New("not until Monday")
				}
				return nil
			}
		})
		w.at(0, "1")
		time.Sleep(time.Minute)
		got := w.done()
		slices.Sort(got)
		if diff := cmp.Diff([]string{"rolled web-0", "rolled web-2"}, got); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
		w.set(func() { w.refuse = nil })
		time.Sleep(10 * time.Minute)
		if n := len(w.rolled("web-1")); n != 1 {
			t.Errorf("rolled %d times when it was allowed, want once", n)
		}
	})
}

// The change was taken back while the workload waited, or the workload is gone: nobody waits for it.
func TestWhoHasNothingToDoAnyMoreLeavesTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := crowd(t, 4, time.Hour, reconcile.Limits{Total: 1, Timeout: 2 * time.Hour})
		w.settled()
		w.at(0, "1")
		time.Sleep(time.Minute)
		first := w.wrote()[0].name
		for i := range 4 {
			name := fmt.Sprintf("web-%d", i)
			if name == first {
				continue
			}
			w.removeWorkload(name)
			break
		}
		w.at(2*time.Minute, "0") // taken back, which is a change for the one that was rolled
		time.Sleep(3 * time.Hour)
		if waiting := w.metric("inpod_rollouts_waiting"); waiting != 0 || w.metric("inpod_rollouts_in_progress") != 0 {
			t.Errorf("%v waiting in the end", waiting)
		}
		if n := len(w.starts()); n != 2 || len(w.rolled(first)) != 2 {
			t.Errorf("%d rollouts, want two of %s: %v", n, first, w.done())
		}
	})
}

func TestRolloutsBeginAtTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := crowd(t, 5, 0, reconcile.Limits{Rate: 0.5})
		w.settled()
		w.at(0, "1")
		time.Sleep(time.Hour)
		var want []time.Duration
		for i := range 5 {
			want = append(want, settle+time.Duration(i)*2*time.Second)
		}
		if diff := cmp.Diff(want, w.starts()); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
	})
}

// A new leader goes on where the former one was: what that has rolled counts.
func TestRolloutsOfAFormerLeaderCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := reconcile.Limits{Total: 2, Timeout: 10 * time.Minute}
		w := crowd(t, 4, 5*time.Minute, limits)
		stop := w.settled()
		w.at(0, "1")
		time.Sleep(time.Minute)
		stop()
		w.restart(limited(limits)).lead()
		time.Sleep(time.Minute)
		if n := len(w.starts()); n != 2 {
			t.Errorf("%d rollouts while those of the former leader are under way, want none but these two", n)
		}
		time.Sleep(time.Hour)
		if n := len(w.starts()); n != 4 {
			t.Errorf("%d rollouts in the end, want 4", n)
		}
	})
}

// What never becomes ready, and what somebody else rolls, is no rollout of ours.
func TestOnlyOurOwnRecentRolloutsCountForANewLeader(t *testing.T) {
	t.Parallel()
	for name, since := range map[string]time.Duration{
		"never asked for":           0,
		"asked for long ago, stuck": time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				limits := reconcile.Limits{Total: 5, Timeout: 10 * time.Minute}
				w := crowd(t, 5, 0, limits)
				w.apply(in("ours", objtest.ConfigMap("b", "k", "0")), in("ours", auto("ours", "b")))
				stop := w.settled()
				stop()
				for i := range 5 {
					key := deployment(fmt.Sprintf("web-%d", i))
					w.touch(key, func(v *workload.View) { v.Rolling = true })
					w.set(func() {
						stuck := w.workloads[key]
						if since > 0 {
							stuck.AskedAt = time.Now().Add(-since)
						}
						w.workloads[key] = stuck
					})
				}
				w.restart(limited(limits)).lead()
				time.Sleep(time.Minute)
				w.apply(in("ours", objtest.ConfigMap("b", "k", "1")))
				time.Sleep(settle + time.Second)
				if n := len(w.rolled("ours")); n != 1 {
					t.Errorf("rolled %d times, want once: nothing else is rolled", n)
				}
			})
		})
	}
}

// A rollout of a former leader counts from the time when it began, and not from the change of leader.
func TestAStuckRolloutOfAFormerLeaderKeepsItsTimeOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := reconcile.Limits{Total: 1, Timeout: 10 * time.Minute}
		w := crowd(t, 2, -1, limits)
		stop := w.settled()
		w.at(0, "1")
		for range 3 {
			time.Sleep(3 * time.Minute)
			stop()
			stop = w.restart(limited(limits)).lead()
		}
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]time.Duration{settle, settle + 10*time.Minute}, w.starts()); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
	})
}

// A namespace with many rollouts, or whose writes take as long as its admission webhook, does not hold all slots.
func TestSlotsAreSharedBetweenNamespaces(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rolls, slow time.Duration
		tolerated   time.Duration
	}{
		"many rollouts":                      {rolls: 10 * time.Second, tolerated: 10 * time.Second},
		"writes that are refused after 30 s": {slow: 30 * time.Second, tolerated: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := crowd(t, 100, c.rolls, reconcile.Limits{Total: 4})
				w.apply(in("ours", objtest.ConfigMap("b", "k", "0")), in("ours", auto("ours", "b")))
				w.settled()
				if c.slow > 0 {
					w.set(func() {
						w.slow = func(key workload.Key) time.Duration {
							if key.Namespace == "ours" {
								return 0
							}
							return c.slow
						}
						w.refuse = func(key workload.Key) error {
							if key.Namespace == "ours" {
								return nil
							}
							return errors.New("context deadline exceeded")
						}
					})
				}
				w.at(0, "1")
				time.Sleep(20 * time.Second)
				edited := time.Since(w.start)
				w.apply(in("ours", objtest.ConfigMap("b", "k", "1")))
				time.Sleep(time.Minute)
				if rolled := w.rolled("ours"); len(rolled) != 1 || rolled[0]-edited > settle+c.tolerated {
					t.Errorf("edited at %s, rolled at %v", edited, rolled)
				}
			})
		})
	}
}

func TestWithoutLimitsNothingWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := crowd(t, 50, -1, reconcile.Limits{})
		w.settled()
		w.at(0, "1")
		time.Sleep(settle)
		synctest.Wait()
		if n := len(w.starts()); n != 50 {
			t.Errorf("%d rollouts at once, want 50", n)
		}
	})
}
