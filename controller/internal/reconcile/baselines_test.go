package reconcile_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// slowly records the baseline of one workload per second after the first ten.
func slowly(o *reconcile.Options) { o.BaselineRate = 1 }

// fleet is a cluster with so many workloads without a baseline: web-0, web-1, …
func fleet(t *testing.T, n int, change ...func(*reconcile.Options)) *fakeCluster {
	t.Helper()
	w := newFakeCluster(t, change...)
	w.apply(objtest.ConfigMap("a", "k", "0"))
	for i := range n {
		w.apply(auto(fmt.Sprintf("web-%d", i), "a"))
	}
	return w
}

func TestNewBaselinesArePacedAndRollNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fleet(t, 40, slowly)
		w.lead()
		for _, c := range []struct {
			after time.Duration
			want  int
		}{{0, 10}, {10 * time.Second, 20}, {29 * time.Second, 39}, {time.Hour, 40}} {
			time.Sleep(time.Until(w.start.Add(c.after)))
			synctest.Wait()
			if n := len(w.done()); n != c.want {
				t.Errorf("%d writes after %s, want %d", n, c.after, c.want)
			}
			if n := w.metric("inpod_baselines_pending"); int(n) != 40-c.want {
				t.Errorf("%v are pending after %s, want %d", n, c.after, 40-c.want)
			}
		}
		for _, one := range w.wrote() {
			if one.rollout {
				t.Errorf("%s", one)
			}
		}
		if n := w.metric("inpod_baselines_created_total"); n != 40 {
			t.Errorf("%v new baselines were counted, want 40", n)
		}
	})
}

// Leaders that come and go leave no reservations behind: the baselines of the last term take what they take.
func TestReservationsOfBaselinesEndWithTheTerm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fleet(t, 1000, func(o *reconcile.Options) { o.BaselineRate = 20 })
		for range 5 {
			stop := w.lead()
			time.Sleep(2 * time.Second)
			stop()
		}
		w.lead()
		begin := time.Now()
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if n := len(w.wrote()); n != 1000 {
			t.Errorf("%d of 1000 baselines %s after the last change of leader, want all", n, time.Since(begin))
		}
	})
}

// In the memory of the leader the baseline is there at once.
func TestAChangeBeforeTheBaselineIsWrittenIsNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fleet(t, 200, slowly)
		w.lead()
		time.Sleep(5 * time.Second)
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(settle)
		synctest.Wait()
		for i := range 200 {
			if name := fmt.Sprintf("web-%d", i); len(w.rolled(name)) != 1 {
				t.Fatalf("%s was rolled %d times, want once", name, len(w.rolled(name)))
			}
		}
		before := len(w.done())
		time.Sleep(time.Hour)
		if after := len(w.done()); after != before {
			t.Errorf("%d more writes: a rollout writes the baseline as well", after-before)
		}
		if n := w.metric("inpod_baselines_pending"); n != 0 {
			t.Errorf("%v are pending", n)
		}
	})
}

// Reloads wait for their pods, and a rejected one for the user. What the pods have is written all the same, and at the
// baseline rate.
func TestWhatThePodsHaveIsWrittenWhileAReloadGoesOn(t *testing.T) {
	t.Parallel()
	for _, verdict := range []decide.Verdict{decide.Unknown, decide.Rejected} {
		t.Run("verdict "+string(verdict), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pods := &sidecars{verdict: verdict}
				w := newFakeCluster(t, slowly, func(o *reconcile.Options) { o.InPlace = pods })
				w.apply(objtest.ConfigMap("a", "k", "0"))
				for i := range 20 {
					w.apply(mounting(fmt.Sprintf("web-%d", i), "a"))
				}
				stop := w.lead()
				time.Sleep(5 * time.Second)
				w.apply(objtest.ConfigMap("a", "k", "1"))
				time.Sleep(time.Hour)
				if got := len(w.done()); got != 20 {
					t.Fatalf("%d writes, want 20 baselines", got)
				}
				stop()
				pods.forget()
				w.lead()
				time.Sleep(time.Minute)
				if got := pods.pursued(); verdict == decide.Unknown && len(got) != 20 {
					t.Errorf("the next leader starts the reload of %d workloads, want 20: the change was taken for recorded", len(got))
				}
				for _, one := range w.wrote() {
					if one.rollout {
						t.Fatalf("%s", one)
					}
				}
			})
		})
	}
}

func TestRestartingWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fleet(t, 20)
		stop := w.lead()
		time.Sleep(time.Minute)
		stop()
		before := len(w.done())
		w.lead()
		time.Sleep(time.Hour)
		if after := len(w.done()); before != 20 || after != before {
			t.Errorf("%d writes by the first leader, want 20, and %d by the second, want none", before, after-before)
		}
	})
}

// A key that is replaced rolls nothing, and every baseline is written again.
func TestAnotherKeyCreatesNewBaselines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fleet(t, 3)
		stop := w.lead()
		time.Sleep(time.Minute)
		stop()
		other, err := source.NewDigester(bytes.Repeat([]byte{8}, 32))
		if err != nil {
			t.Fatal(err)
		}
		w.set(func() { w.writes, w.digester = nil, other })
		again := w.restart(func(o *reconcile.Options) { o.Digester = other })
		again.lead()
		time.Sleep(time.Hour)
		for _, one := range w.wrote() {
			if one.rollout || !strings.Contains(one.text, other.ID()) {
				t.Errorf("%s: %s", one, one.text)
			}
		}
		if len(w.wrote()) != 3 {
			t.Errorf("%d writes, want 3", len(w.wrote()))
		}
	})
}

func TestOptingOutDropsTheBaseline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.apply(objtest.Deployment("web", objtest.EnvFrom(objtest.CM("a")), objtest.EnvFrom(objtest.CM("b"))))
		time.Sleep(time.Minute)
		if len(w.wrote()) != 1 || w.wrote()[0].text != "" {
			t.Fatalf("want the baseline removed, got %v", w.wrote())
		}
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		w.apply(auto("web", "a", "b"))
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]string{"recorded web", "recorded web"}, w.done()); diff != "" {
			t.Errorf("following again starts from the content of then (-want +got):\n%s", diff)
		}
	})
}

// A workload that leaves before its baseline is written leaves nothing behind.
func TestAPendingBaselineEndsWithItsWorkload(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(w *fakeCluster){
		"deleted":   func(w *fakeCluster) { w.removeWorkload("web-0") },
		"opted out": func(w *fakeCluster) { w.apply(objtest.Deployment("web-0", objtest.EnvFrom(objtest.CM("a")))) },
		"made again under the same name": func(w *fakeCluster) {
			again := auto("web-0")
			again.SetUID("another")
			w.apply(again)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t, func(o *reconcile.Options) { o.BaselineRate = 1e-9 })
				w.apply(objtest.ConfigMap("a", "k", "0"))
				for i := range 10 { // they use up what may be written at once
					w.apply(auto(fmt.Sprintf("more-%d", i), "a"))
				}
				w.lead()
				time.Sleep(time.Second)
				w.apply(auto("web-0", "a"))
				synctest.Wait()
				if n := w.metric("inpod_baselines_pending"); n != 1 {
					t.Fatalf("%v are pending, want 1", n)
				}
				leave(w)
				synctest.Wait()
				if n := w.metric("inpod_baselines_pending"); n != 0 {
					t.Errorf("%v are pending, want none", n)
				}
			})
		})
	}
}

// mounting is a Deployment with the sidecar that mounts ConfigMaps.
func mounting(name string, configMaps ...string) metav1.Object {
	parts := []objtest.Part{objtest.TemplateAnnotation("inpod.dev/inject", "enabled")}
	for _, cm := range configMaps {
		parts = append(parts, objtest.Mount(objtest.CM(cm)))
	}
	return objtest.Deployment(name, parts...)
}

// sidecars are in every pod, and all say the same.
type sidecars struct {
	mu      sync.Mutex
	verdict decide.Verdict
	words   string // what is said after "because"
	wanted  map[workload.Key]string
	dropped []workload.Key
}

func (s *sidecars) State(view workload.View, _ bool, target string) decide.InPlace {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := decide.InPlace{Sidecar: true}
	if s.wanted[view.Key] == target {
		state.Verdict, state.Pod, state.Message = s.verdict, view.Key.Name+"-1", "because"+s.words
		if s.verdict == decide.Confirmed {
			state.Message = "" // every pod was asked
		}
	}
	return state
}

func (s *sidecars) StartReload(key workload.Key, target string, _ []source.SourceState, _ []decide.Cause, _ time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted == nil {
		s.wanted = map[workload.Key]string{}
	}
	s.wanted[key] = target
}

func (s *sidecars) Evicted(workload.Key, types.UID) {}

func (s *sidecars) CancelReload(key workload.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = append(s.dropped, key)
	delete(s.wanted, key)
}

func (s *sidecars) pursued() map[workload.Key]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted
}

func (s *sidecars) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = nil
}

func (s *sidecars) because(words string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = words
}

func (s *sidecars) say(verdict decide.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verdict = verdict
}

// Two installations with different keys cannot read each other's baselines. Without an end to it each would record what
// the other has just written, many times a second.
func TestTwoInstallationsDoNotOverwriteEachOtherForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
		w.lead()
		synctest.Wait()
		const theirs = `{"v":1,"key":"other","sources":{}}`
		for range 3 {
			other := auto("web", "a")
			other.SetAnnotations(with(other.GetAnnotations(), annotation.Baseline, theirs))
			w.apply(other)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if got := w.done(); len(got) != 1 {
			t.Errorf("writes: %v, want one new baseline and no answer to the other installation", got)
		}
		if got := strings.Join(w.reported(), "\n"); strings.Count(got, "ConflictingInstallation") != 1 {
			t.Errorf("events:\n%s\nwant one about the other installation", got)
		}
		// Changes are found all the same.
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.done(); len(got) != 2 || got[1] != "rolled web" {
			t.Errorf("writes: %v, want the change rolled", got)
		}
	})
}
