package reconcile_test

import (
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/objtest"
)

// withBaseline is a cluster with workloads that got a baseline long ago, and a loop that runs.
func withBaseline(t *testing.T, names ...string) *fakeCluster {
	t.Helper()
	w := newFakeCluster(t)
	w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"))
	for _, name := range names {
		w.apply(auto(name, "a", "b"))
	}
	w.lead()
	time.Sleep(time.Minute)
	if n := len(w.done()); n != len(names) {
		t.Fatalf("%d writes for the baselines of %d workloads: %v", n, len(names), w.done())
	}
	w.set(func() { w.writes, w.start = nil, time.Now() })
	return w
}

func TestAChangeRollsOnceAfterTheSettleTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]time.Duration{settle}, w.rolled("web")); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"rolled web"}, w.done()); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"Normal Reloaded web: Rolling update started: ConfigMap a changed (k)"}, w.reported()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// After an outage the watch of one kind of source may be back long before that of another.
func TestWhatWasChangedTogetherIsOneRolloutAlsoAfterAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() { w.unsteady = time.Second })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(5 * time.Second)
		w.apply(objtest.ConfigMap("b", "k", "1"))
		w.set(func() { w.unsteady = 0 })
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]time.Duration{7 * time.Second}, w.rolled("web")); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
	})
}

func TestEditsInARowAreOneRollout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edits []time.Duration // of a and b in turn
		want  []time.Duration
	}{
		"both at once":                       {[]time.Duration{0, 0}, []time.Duration{2 * time.Second}},
		"the second one restarts the window": {[]time.Duration{0, 1500 * time.Millisecond}, []time.Duration{3500 * time.Millisecond}},
		"the window is used up":              {[]time.Duration{0, 3 * time.Second}, []time.Duration{2 * time.Second, 5 * time.Second}},
		"each time again": {
			[]time.Duration{0, time.Hour, time.Hour + 1500*time.Millisecond},
			[]time.Duration{2 * time.Second, time.Hour + 3500*time.Millisecond},
		},
		"no longer than the longest": {
			[]time.Duration{0, 1 * time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second, 6 * time.Second, 7 * time.Second, 8 * time.Second, 9 * time.Second, 9500 * time.Millisecond},
			[]time.Duration{10 * time.Second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := withBaseline(t, "web")
				for i, at := range c.edits {
					time.Sleep(time.Until(w.start.Add(at)))
					w.apply(objtest.ConfigMap([]string{"a", "b"}[i%2], "k", strconv.Itoa(i+1)))
				}
				time.Sleep(time.Hour)
				if diff := cmp.Diff(c.want, w.rolled("web")); diff != "" {
					t.Errorf("rolled at (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// An edit of the workload does not cut the settle time short.
func TestAnEditOfTheWorkloadWaitsForTheSourcesToSettle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Second)
		w.apply(objtest.Deployment("web", objtest.Annotation("reloader.stakater.com/auto", "1"),
			objtest.EnvFrom(objtest.CM("a")), objtest.EnvFrom(objtest.CM("b"))))
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]time.Duration{settle}, w.rolled("web")); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
	})
}

func TestATemplateThatWasEditedAfterTheSourceIsNotRolledAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.apply(objtest.ConfigMap("a", "k", "1"), objtest.Deployment("web", objtest.Annotation("reloader.stakater.com/auto", "true"),
			objtest.EnvFrom(objtest.CM("a")), objtest.EnvFrom(objtest.CM("b")), objtest.Var("VERSION", "2")))
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]string{"recorded web"}, w.done()); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}

// The pods of the edit may have started with what the new source was before.
func TestAUsageThatCameWithAnEditWhoseSourceChangedAtOnceIsRolled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		apply func(*fakeCluster, metav1.Object)
		want  []string
	}{
		"edited after the template": {func(w *fakeCluster, edited metav1.Object) {
			w.apply(edited, objtest.ConfigMap("c", "k", "1"))
		}, []string{"recorded web", "rolled web"}},
		"edited before the template": {func(w *fakeCluster, edited metav1.Object) {
			w.apply(objtest.ConfigMap("c", "k", "1"), edited)
		}, []string{"recorded web"}},
		"made after the template": {func(w *fakeCluster, edited metav1.Object) {
			w.remove(configMap("c"))
			w.apply(edited, objtest.ConfigMap("c", "k", "1"))
		}, []string{"recorded web"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := withBaseline(t, "web")
				w.apply(objtest.ConfigMap("c", "k", "0"))
				time.Sleep(time.Minute)
				c.apply(w, auto("web", "a", "b", "c"))
				time.Sleep(time.Hour)
				if diff := cmp.Diff(c.want, w.done()); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestOneSourceRollsAllWhoUseIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range 200 {
			names = append(names, "web-"+strconv.Itoa(i))
		}
		w := withBaseline(t, names...)
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Hour)
		got := w.done()
		slices.Sort(got)
		var want []string
		for _, name := range names {
			want = append(want, "rolled "+name)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}

// Two changes that undo each other within the settle time are none.
func TestAChangeThatIsTakenBackRollsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Second)
		w.apply(objtest.ConfigMap("a", "k", "0"))
		time.Sleep(time.Hour)
		if got := w.done(); len(got) > 0 {
			t.Errorf("writes %v, want none", got)
		}
	})
}

// What a source is for a moment, between two writes of one change, is not concluded from.
func TestNothingIsConcludedBeforeSourcesHaveSettled(t *testing.T) {
	t.Parallel()
	const search, match = "reloader.stakater.com/search", "reloader.stakater.com/match"
	matching := func(value string) metav1.Object {
		return objtest.Annotated(objtest.ConfigMap("a", "k", value), match, "true")
	}
	followsNothingElse := objtest.Deployment("web", objtest.Annotation(search, "true"), objtest.EnvFrom(objtest.CM("a")))
	for name, tc := range map[string]struct {
		web    metav1.Object
		before []metav1.Object
		edits  []metav1.Object
		want   []string
	}{
		"a source that is replaced, and annotated again": {
			followsNothingElse, []metav1.Object{matching("0")}, []metav1.Object{objtest.ConfigMap("a", "k", "1"), matching("1")}, []string{"rolled web"},
		},
		"a source that appears, and is filled": {
			objtest.Deployment("web", objtest.Annotation("reloader.stakater.com/auto", "true"), objtest.EnvFrom(objtest.CM("a").Optional())),
			nil,
			[]metav1.Object{objtest.ConfigMap("a"), objtest.ConfigMap("a", "k", "1")},
			[]string{"recorded web"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t, func(o *reconcile.Options) { o.Rules.OnCreate = false })
				w.apply(append(tc.before, tc.web)...)
				w.lead()
				time.Sleep(time.Hour)
				begun := len(w.done())
				for _, edit := range tc.edits {
					w.apply(edit)
					time.Sleep(settle / 2)
				}
				time.Sleep(time.Hour)
				if diff := cmp.Diff(tc.want, w.done()[begun:]); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A change that arrives after a PATCH was done and before its answer is here is not lost.
func TestAChangeDuringAWriteIsSeenAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() { w.answers = 5 * time.Second })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(settle + time.Second)
		w.apply(objtest.ConfigMap("a", "k", "2"))
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]time.Duration{2 * time.Second, 7 * time.Second}, w.rolled("web")); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
	})
}

// A change that is there before a slow PATCH is done is carried by the pods that it makes.
func TestAChangeThatASlowWriteCarriesIsRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() { w.takes = 5 * time.Second })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(settle + time.Second)
		w.apply(objtest.ConfigMap("a", "k", "2"))
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]string{"rolled web", "recorded web"}, w.done()); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}

// The cache shows our own write later than the answer to it: what is decided meanwhile would be decided again.
func TestWhatIsNotInTheCacheYetIsNotWrittenTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() { w.lag = 7 * time.Second })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(settle + time.Second)
		w.queue.Enqueue(deployment("web"), "WorkloadChanged") // somebody edits its status or its labels
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]string{"rolled web"}, w.done()); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}

// A change that comes while our own write is not cached yet is handled when it is.
func TestAChangeWhileTheCacheIsBehindIsNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() { w.lag = 7 * time.Second })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(settle + time.Second)
		w.apply(objtest.ConfigMap("a", "k", "2"))
		time.Sleep(time.Hour)
		if n := len(w.rolled("web")); n != 2 {
			t.Errorf("%d rollouts, want 2: %v", n, w.wrote())
		}
	})
}

// After a cluster was restored from a backup its resource versions are lower than the one of our last write.
func TestALowerResourceVersionDoesNotStopAWorkloadForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() { w.version = 1_000_000 })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Hour)
		w.set(func() { w.version = 10 })
		w.apply(auto("web", "a", "b"))
		w.apply(objtest.ConfigMap("a", "k", "2"))
		time.Sleep(2 * time.Minute)
		if n := len(w.rolled("web")); n != 2 {
			t.Errorf("%d rollouts, want 2", n)
		}
	})
}

func TestNothingIsDoneForAWorkloadThatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.apply(objtest.ConfigMap("a", "k", "1"))
		w.removeWorkload("web")
		time.Sleep(time.Hour)
		if got := w.done(); len(got) > 0 {
			t.Errorf("writes %v, want none", got)
		}
	})
}

func TestASettleTimeOfZeroRollsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t, func(o *reconcile.Options) { o.Queue = reconcile.NewQueue(reconcile.QueueOptions{}) })
		w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
		w.lead()
		time.Sleep(time.Minute)
		at := time.Since(w.start)
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]time.Duration{at}, w.rolled("web")); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
	})
}
