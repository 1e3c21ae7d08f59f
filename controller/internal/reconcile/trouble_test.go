package reconcile_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

var deployments = schema.GroupResource{Group: "apps", Resource: "deployments"}

// only lets the writes of one workload fail.
func only(name string, err error) func(workload.Key) error {
	return func(key workload.Key) error {
		if key.Name == name {
			return err
		}
		return nil
	}
}

func TestARefusalConcernsOneWorkload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "bad", "good")
		w.set(func() {
			w.refuse = only("bad", apierrors.NewForbidden(deployments, "bad", errors.New(`admission webhook "policy" denied the request`)))
			w.tries = map[string]int{}
		})
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(settle + time.Millisecond)
		if len(w.rolled("good")) != 1 {
			t.Error("the other workload was not rolled at once")
		}
		time.Sleep(10 * time.Minute)
		// 0.5 s, 1 s, 2 s … 2 min: about 12 attempts in 10 minutes.
		if n := w.tried("bad"); n < 8 || n > 15 {
			t.Errorf("%d attempts in 10 minutes", n)
		}
		reported := slices.Compact(w.reported())
		want := `Warning ReloadFail bad: Starting the rolling update failed and will be retried: `
		if !slices.ContainsFunc(reported, func(e string) bool {
			return strings.HasPrefix(e, want) && strings.Contains(e, `admission webhook "policy" denied the request`)
		}) {
			t.Errorf("the refusal is not reported: %q", reported)
		}
		w.set(func() { w.refuse = nil })
		time.Sleep(2 * time.Minute)
		if len(w.rolled("bad")) != 1 {
			t.Error("the workload was not rolled after the refusal had ended")
		}
	})
}

// What is written after a time of failures is the content of then, not of the first attempt.
func TestARetryDecidesAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		then string
		want []string
	}{
		"with the newest content":          {"2", []string{"rolled web"}},
		"nothing, if it was taken back":    {"0", nil},
		"once, if nothing changed further": {"1", []string{"rolled web"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := withBaseline(t, "web")
				w.set(func() { w.refuse = only("web", apierrors.NewInternalError(errors.New("away"))) })
				w.apply(objtest.ConfigMap("a", "k", "1"))
				time.Sleep(time.Minute)
				w.apply(objtest.ConfigMap("a", "k", c.then))
				w.set(func() { w.refuse = nil })
				time.Sleep(time.Hour)
				if diff := cmp.Diff(c.want, w.done()); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A workload that keeps being refused does not start its back-off again with each edit of a source.
func TestEditsDoNotResetTheBackOffOfAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() { w.refuse = only("web", apierrors.NewInternalError(errors.New("away"))) })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(10 * time.Minute)
		before := w.tried("web")
		w.apply(objtest.ConfigMap("a", "k", "2"))
		time.Sleep(time.Second)
		w.apply(objtest.ConfigMap("a", "k", "3")) // the first decision finds that it is too early
		time.Sleep(time.Minute)
		if more := w.tried("web") - before; more > 2 {
			t.Errorf("%d attempts in the minute after an edit, although the last ten minutes of attempts failed", more)
		}
	})
}

// A workload that never is as the watch says would wait in silence.
func TestConflictsWithoutEndAreReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() {
			w.refuse = only("web", apierrors.NewConflict(deployments, "web", errors.New("it is never what it was")))
		})
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(5 * time.Minute)
		const want = "Warning ReloadFail web: Starting the rolling update failed and will be retried: "
		if !slices.ContainsFunc(w.reported(), func(e string) bool { return strings.HasPrefix(e, want) && strings.Contains(e, "never what it was") }) {
			t.Errorf("reported %q", w.reported())
		}
		w.set(func() { w.refuse = nil })
		time.Sleep(5 * time.Minute)
		if len(w.rolled("web")) != 1 {
			t.Errorf("rolled %d times", len(w.rolled("web")))
		}
	})
}

func TestAConflictIsRetriedAndNotReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() {
			w.refuse = func(workload.Key) error {
				w.refuse = nil
				return apierrors.NewConflict(deployments, "web", errors.New("the UID in the precondition does not match"))
			}
		})
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"Normal Reloaded web: Rolling update started: ConfigMap a changed (k)"}, w.reported()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestAWorkloadThatIsNotThereAnyMoreIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() { w.refuse, w.tries = only("web", apierrors.NewNotFound(deployments, "web")), map[string]int{} })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Hour)
		if n := w.tried("web"); n != 1 || len(w.reported()) > 0 {
			t.Errorf("%d attempts, events %q; want one and none", n, w.reported())
		}
	})
}

func TestAPanicConcernsOneWorkload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "bad", "good")
		w.set(func() {
			w.decide = func(in decide.Input) decide.Decision {
				if in.Workload.Key.Name == "bad" {
					panic("a fault")
				}
				return decide.Decide(in)
			}
		})
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		if len(w.rolled("good")) != 1 {
			t.Error("the other workload was not rolled")
		}
		if n := w.metric("inpod_panics_total"); n < 3 || n > 10 {
			t.Errorf("%v panics were counted in a minute", n)
		}
		w.set(func() { w.decide = decide.Decide })
		time.Sleep(5 * time.Minute)
		if len(w.rolled("bad")) != 1 {
			t.Error("the workload was not rolled after the fault had gone")
		}
	})
}

// Two writers that fight over one source do not get a rollout for each of their writes.
func TestAFlappingSourceIsRolledLessAndLess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web", "calm")
		w.apply(auto("calm", "b"))
		stop := time.Now().Add(6 * time.Hour)
		for i := 0; time.Now().Before(stop); i++ {
			w.apply(objtest.ConfigMap("a", "k", string(rune('1'+i%2))))
			time.Sleep(5 * time.Second)
		}
		if n := len(w.rolled("web")); n < 15 || n > 45 {
			t.Errorf("%d rollouts in 6 hours of a change each 5 s", n)
		}
		if n := len(w.rolled("calm")); n > 0 {
			t.Errorf("%d rollouts of a workload that does not use the source", n)
		}
		if !slices.ContainsFunc(w.reported(), func(e string) bool { return strings.HasPrefix(e, "Warning BackOff web: Rollout delayed until") }) {
			t.Errorf("the back-off is not reported: %q", w.reported())
		}
		// The last content is rolled when the time has come.
		w.apply(objtest.ConfigMap("a", "k", "last"))
		time.Sleep(16 * time.Minute)
		before := len(w.rolled("web"))
		time.Sleep(time.Hour)
		if n := len(w.rolled("web")); n != before {
			t.Errorf("rolled %d times after the last change had been rolled", n-before)
		}
		for i := range 5 {
			w.apply(objtest.ConfigMap("a", "k", "calm again "+string(rune('1'+i))))
			time.Sleep(settle)
			synctest.Wait()
			if n := len(w.rolled("web")); n != before+1+i {
				t.Errorf("after an hour of calm change %d is still deferred", i+1)
			}
		}
	})
}

func TestWarningsAreReportedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), objtest.Deployment("web", objtest.Annotation("reloader.stakater.com/auto", "maybe"),
			objtest.Annotation("configmap.reloader.stakater.com/reload", "a,[")))
		w.lead()
		time.Sleep(time.Minute)
		for i := range 3 {
			w.apply(objtest.ConfigMap("a", "k", string(rune('1'+i))))
			w.queue.Enqueue(deployment("web"), "SourceChanged")
			time.Sleep(time.Minute)
		}
		reported := w.reported()
		for _, what := range []string{"auto", "reload: "} {
			n := 0
			for _, e := range reported {
				if strings.HasPrefix(e, "Warning InvalidAnnotation web") && strings.Contains(e, what) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("the problem of %s was reported %d times, want once: %q", what, n, reported)
			}
		}
		if n := len(w.rolled("web")); n != 3 {
			t.Errorf("%d rollouts, want 3: a faulty annotation keeps the others from nothing", n)
		}
	})
}

func TestAMissingSourceIsReportedWhenItStaysAway(t *testing.T) {
	t.Parallel()
	missing := "Warning SourceMissing web: Rollout blocked: new pods need ConfigMap c, which does not exist. Create it, or set optional on its use"
	for name, c := range map[string]struct {
		after time.Duration
		want  []string
	}{
		"not if it comes with the workload": {time.Second, nil},
		"if it stays away":                  {time.Hour, []string{missing}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := withBaseline(t)
				w.apply(auto("web", "c"))
				time.Sleep(c.after)
				w.apply(objtest.ConfigMap("c", "k", "1"))
				time.Sleep(time.Hour)
				if diff := cmp.Diff(c.want, w.reported()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]string{"recorded web"}, w.done()); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A source that is deleted and recreated with other content rolls once, and nothing is rolled while it is away.
func TestASourceThatComesBackRollsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.remove(configMap("a"))
		time.Sleep(time.Hour)
		if got := w.done(); len(got) > 0 {
			t.Errorf("writes while the source is away: %v", got)
		}
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]string{"rolled web"}, w.done()); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}

func TestLongMessagesFitIntoAnEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for i, long := range []string{strings.Repeat("ä", 2000), "x" + strings.Repeat("ä", 2000)} {
			w := withBaseline(t, "web")
			w.set(func() { w.events, w.refuse = nil, only("web", errors.New(long)) })
			w.apply(objtest.ConfigMap("a", "k", string(rune('1'+i))))
			time.Sleep(settle + time.Millisecond)
			reported := w.reported()
			if len(reported) != 1 {
				t.Fatalf("%d events, want 1", len(reported))
			}
			if _, message, _ := strings.Cut(reported[0], "web: "); len(message) > 1024 || !strings.HasSuffix(message, "ä…") {
				t.Errorf("a message of %d bytes that ends with %q", len(message), message[len(message)-10:])
			}
		}
	})
}

func TestAlerts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []string
		w := newFakeCluster(t, func(o *reconcile.Options) {
			o.Alert = func(m alert.Message) {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, fmt.Sprintf("%s %s %t %s %v", m.Workload.Name, m.Action, m.Success, m.Reason, m.Sources))
			}
		})
		w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
		w.lead()
		synctest.Wait()
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		w.set(func() { w.refuse = func(workload.Key) error { return errors.New("denied") } })
		w.apply(objtest.ConfigMap("a", "k", "2"))
		time.Sleep(settle + firstTry)
		synctest.Wait()
		source := "[ConfigMap " + objtest.Namespace + "/a]"
		want := []string{"web rolled true Reloaded " + source, "web rolled false ReloadFail " + source}
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("alerts (-want +got):\n%s", diff)
		}
	})
}

// firstTry is time for the first try of a write, and not for the second.
const firstTry = 300 * time.Millisecond
