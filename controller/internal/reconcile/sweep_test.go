package reconcile_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/window"
	"inpod.dev/inpod/internal/workload"
)

// found is what the sweeps have found, by what was lost.
func (w *fakeCluster) found() map[string]float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "inpod_sweep_found_total" {
			continue
		}
		for _, one := range family.GetMetric() {
			all[one.GetLabel()[0].GetValue()] = one.GetCounter().GetValue()
		}
	}
	return all
}

// wantFound checks what the sweeps have found; every label is there from the start.
func (w *fakeCluster) wantFound(lost string, n float64) {
	w.t.Helper()
	all := w.found()
	if len(all) != 5 {
		w.t.Errorf("labels of inpod_sweep_found_total are %v", all)
	}
	for label, is := range all {
		want := 0.0
		if label == lost {
			want = n
		}
		if is != want {
			w.t.Errorf("%v found as %q, want %v", is, label, want)
		}
	}
}

// silently changes a ConfigMap in the cache, and nobody wakes its workloads.
func (w *fakeCluster) silently(name, value string) {
	ref := configMap(name)
	snapshot := source.OfConfigMap(objtest.ConfigMap(name, "k", value))
	w.set(func() {
		w.version++
		snapshot.Changed = source.Moment{Version: w.version, Time: time.Now()}
		snapshot.Edited = true
		w.sources[ref] = &snapshot
	})
}

func TestSweepFindsALostWakeUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web", "other")
		time.Sleep(time.Hour)
		w.set(func() { w.start = time.Now() })
		w.silently("a", "1")
		time.Sleep(20 * time.Minute)
		for _, name := range []string{"web", "other"} {
			if at := w.rolled(name); len(at) != 1 || at[0] > 6*time.Minute {
				t.Errorf("%s rolled at %v, want once within six minutes", name, at)
			}
		}
		w.wantFound("change", 2)
	})
}

func TestSweepFindsALostWakeUpWhileATimerWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() { w.rolls = map[string]time.Duration{"web": -1} }) // its slot ends after ten minutes
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(10 * time.Second)
		w.silently("a", "2")
		time.Sleep(time.Hour)
		if at := w.rolled("web"); len(at) != 2 {
			t.Errorf("rolled at %v, want twice", at)
		}
		w.wantFound("change", 1)
	})
}

func TestSweepFindsAWorkloadThatNobodyHasSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		queue := w.queue
		w.set(func() { w.queue = reconcile.NewQueue(reconcile.QueueOptions{}) }) // what is added is dropped
		w.apply(auto("new", "a"))
		w.removeWorkload("web")
		w.set(func() { w.queue = queue })
		time.Sleep(20 * time.Minute)
		if done := w.done(); !slices.Contains(done, "recorded new") {
			t.Errorf("writes: %v, want a baseline of new", done)
		}
		w.wantFound("change", 2)
	})
}

func TestSweepFindsWhatIsDecidedOtherwise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() {
			w.decide = func(in decide.Input) decide.Decision {
				return decide.Decision{Action: decide.None, Reason: decide.CarriedByTemplate, Record: true, Baseline: in.Baseline}
			}
		})
		time.Sleep(20 * time.Minute)
		if len(w.done()) == 0 {
			t.Error("nothing was written")
		}
		w.wantFound("decision", 1)
	})
}

// What waits for a known reason is no find, however long it takes.
func TestSweepFindsNothingWhereAllIsWell(t *testing.T) {
	t.Parallel()
	closed, err := window.Parse("Sun 02:00-03:00")
	if err != nil {
		t.Fatal(err)
	}
	refused := func(workload.Key) error { return errors.New("refused") }
	for name, c := range map[string]struct {
		options func(*reconcile.Options)
		prepare func(*fakeCluster)
		during  func(*fakeCluster)
	}{
		"at rest":       {},
		"edits":         {during: func(w *fakeCluster) { edits(w, 40, time.Minute) }},
		"edits settle":  {during: func(w *fakeCluster) { edits(w, 300, time.Second) }},
		"back-off":      {during: func(w *fakeCluster) { edits(w, 60, 10*time.Second) }},
		"refused":       {prepare: func(w *fakeCluster) { w.refuse = refused }, during: func(w *fakeCluster) { edits(w, 10, time.Minute) }},
		"a slow write":  {prepare: func(w *fakeCluster) { w.takes = 34 * time.Second }, during: func(w *fakeCluster) { edits(w, 20, time.Minute) }},
		"a slow watch":  {prepare: func(w *fakeCluster) { w.lag = 50 * time.Second }, during: func(w *fakeCluster) { edits(w, 20, time.Minute) }},
		"a stale watch": {prepare: func(w *fakeCluster) { w.unsteady = time.Second }, during: func(w *fakeCluster) { edits(w, 20, time.Minute) }},
		"rollout slots": {
			options: func(o *reconcile.Options) { o.Limits = reconcile.Limits{Total: 1, Timeout: time.Hour} },
			prepare: func(w *fakeCluster) { w.rolls = map[string]time.Duration{"web0": -1, "web1": time.Minute, "web2": -1} },
			during:  func(w *fakeCluster) { edits(w, 20, time.Minute) },
		},
		"a rate of rollouts": {
			options: func(o *reconcile.Options) { o.Limits = reconcile.Limits{Rate: 0.01, Timeout: time.Hour} },
			during:  func(w *fakeCluster) { edits(w, 20, time.Minute) },
		},
		"notify only": {
			options: func(o *reconcile.Options) { o.Rules.NotifyOnly = true },
			during:  func(w *fakeCluster) { edits(w, 5, time.Minute) },
		},
		"a window": {
			options: func(o *reconcile.Options) { o.Rules.Windows = closed },
			during:  func(w *fakeCluster) { edits(w, 5, time.Minute) },
		},
		"a pause": {during: func(w *fakeCluster) {
			w.apply(objtest.Deployment("web0", objtest.Annotation("reloader.stakater.com/auto", "true"),
				objtest.Annotation("deployment.reloader.stakater.com/pause-period", "20m"), objtest.EnvFrom(objtest.CM("a"))))
			edits(w, 5, time.Minute)
		}},
		"a missing source": {during: func(w *fakeCluster) { w.remove(configMap("a")); edits(w, 5, time.Minute) }},
		"slow baselines":   {options: func(o *reconcile.Options) { o.BaselineRate = 0.001 }},
		"a template": {during: func(w *fakeCluster) {
			for i := range 20 {
				w.apply(objtest.Deployment("web0", objtest.Annotation("reloader.stakater.com/auto", "true"),
					objtest.EnvFrom(objtest.CM("a")), objtest.TemplateAnnotation("n", strconv.Itoa(i))))
				time.Sleep(30 * time.Second)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t, func(o *reconcile.Options) {
					if c.options != nil {
						c.options(o)
					}
				})
				w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"))
				for i := range 3 {
					w.apply(auto(fmt.Sprint("web", i), "a", "b"))
				}
				stop := w.lead()
				time.Sleep(time.Minute)
				if c.prepare != nil {
					w.set(func() { c.prepare(w) })
				}
				if c.during != nil {
					c.during(w)
				}
				time.Sleep(30 * time.Minute)
				lists, done := w.lists, len(w.wrote())
				w.wantFound("", 0)
				time.Sleep(30 * time.Minute)
				if c.prepare == nil && c.options == nil && (w.lists != lists || len(w.wrote()) != done) {
					t.Errorf("%d lists and %d writes at rest", w.lists-lists, len(w.wrote())-done)
				}
				stop()
				if log := w.log.String(); strings.Contains(log, "sweep") {
					t.Errorf("log: %s", log)
				}
			})
		})
	}
}

// edits changes a ConfigMap again and again.
func edits(w *fakeCluster, n int, pause time.Duration) {
	for i := range n {
		w.apply(objtest.ConfigMap("a", "k", fmt.Sprint("edit ", i)))
		time.Sleep(pause)
	}
}
