package reconcile_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/telemetry/kubemetrics"
	"inpod.dev/inpod/internal/workload"
)

func TestAFollowerDoesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Hour)
		if w.tried("web") > 0 || len(w.reported()) > 0 {
			t.Errorf("writes %v, events %q; want none", w.done(), w.reported())
		}
	})
}

// The baseline is in the cluster, so that the next leader finds what has changed meanwhile.
func TestAChangeBetweenTwoLeadersIsAppliedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fleet(t, 5)
		stop := w.lead()
		time.Sleep(time.Minute)
		stop()
		w.set(func() { w.writes = nil })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Hour)
		w.apply(objtest.ConfigMap("a", "k", "2"))
		time.Sleep(time.Hour)
		if got := w.done(); len(got) > 0 {
			t.Fatalf("writes without a leader: %v", got)
		}
		w.lead()
		time.Sleep(time.Hour)
		got := w.done()
		slices.Sort(got)
		if diff := cmp.Diff([]string{"rolled web-0", "rolled web-1", "rolled web-2", "rolled web-3", "rolled web-4"}, got); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}

func TestAnotherLeaderInTheMiddleOfABurst(t *testing.T) {
	t.Parallel()
	for name, stopAt := range map[string]time.Duration{
		"before the settle time is over": settle / 2,
		"at its end":                     settle,
		"in the middle of the writes":    settle + 500*time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := fleet(t, 100)
				stop := w.lead()
				time.Sleep(time.Minute)
				w.set(func() { w.takes, w.answers, w.lag = 20*time.Millisecond, 20*time.Millisecond, 10*time.Millisecond })
				w.apply(objtest.ConfigMap("a", "k", "1"))
				time.Sleep(stopAt)
				stop()
				w.restart()
				time.Sleep(2 * time.Second) // until another one has the lease and its watches have caught up
				w.lead()
				time.Sleep(time.Hour)
				for i := range 100 {
					if name := fmt.Sprintf("web-%d", i); len(w.rolled(name)) != 1 {
						t.Errorf("%s was rolled %d times, want once", name, len(w.rolled(name)))
					}
				}
			})
		})
	}
}

// Whoever makes the changes does not know that another replica leads since the first of them.
func TestALeaderThatComesInTheMiddleOfEditsWaitsUntilTheySettle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first         string        // source that is edited first
		before, after time.Duration // from that until it leads, and from then to the second edit
		want          int
	}{
		"right after the first edit":                    {"a", 100 * time.Millisecond, 300 * time.Millisecond, 1},
		"one and a half seconds after it":               {"a", 1500 * time.Millisecond, 300 * time.Millisecond, 1},
		"right after the edit of a named source":        {"named", 100 * time.Millisecond, 300 * time.Millisecond, 1},
		"when it has settled: what comes then is later": {"a", time.Minute, 300 * time.Millisecond, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t)
				w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("named", "k", "0"),
					objtest.Deployment("web", objtest.Annotation("reloader.stakater.com/auto", "true"),
						objtest.Annotation("configmap.reloader.stakater.com/reload", "named"), objtest.EnvFrom(objtest.CM("a"))))
				stop := w.lead()
				time.Sleep(time.Minute)
				stop()
				w.restart()
				w.apply(objtest.ConfigMap(c.first, "k", "1"))
				time.Sleep(c.before)
				w.lead()
				time.Sleep(c.after)
				w.apply(objtest.ConfigMap("a", "k", "2"))
				time.Sleep(time.Hour)
				if got := w.rolled("web"); len(got) != c.want {
					t.Errorf("rolled at %v, want %d times", got, c.want)
				}
			})
		})
	}
}

func TestStoppingWaitsForTheWriteUnderWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes, want time.Duration
		done        []string
	}{
		"that ends soon":   {2 * time.Second, time.Second, []string{"rolled web"}},
		"but not for long": {20 * time.Second, grace, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t)
				w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
				stop := w.lead()
				time.Sleep(time.Minute)
				w.set(func() { w.takes, w.writes = c.takes, nil })
				w.apply(objtest.ConfigMap("a", "k", "1"))
				time.Sleep(settle + time.Second)
				begin := time.Now()
				stop()
				if took := time.Since(begin); took != c.want {
					t.Errorf("stopping took %s, want %s", took, c.want)
				}
				if diff := cmp.Diff(c.done, w.done()); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
				if c.done == nil && len(w.reported()) > 0 {
					t.Errorf("a write that was cut off at the end is reported: %q", w.reported())
				}
			})
		})
	}
}

func TestNothingBeginsAfterTheStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fleet(t, 100)
		stop := w.lead()
		time.Sleep(time.Minute)
		w.set(func() { w.takes, w.tries = time.Second, map[string]int{} })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(settle + 500*time.Millisecond)
		stop()
		tries := 0
		for i := range 100 {
			tries += w.tried(fmt.Sprintf("web-%d", i))
		}
		if tries != 15 { // as many as one namespace may have under way
			t.Errorf("%d writes, want the 15 that were under way", tries)
		}
	})
}

func TestASecondTermBeginsWithNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := fleet(t, 40, slowly, func(o *reconcile.Options) {
			o.Queue = reconcile.NewQueue(reconcile.QueueOptions{Settle: settle, SettleMax: settleMax, Metrics: kubemetrics.NewQueueProvider(o.Registerer)})
		})
		stop := w.lead()
		time.Sleep(5 * time.Second)
		if n := w.metric("inpod_baselines_pending"); n == 0 {
			t.Fatal("nothing is pending in the first term")
		}
		stop()
		if n := w.metric("inpod_baselines_pending"); n != 0 {
			t.Errorf("%v are pending without a leader", n)
		}
		w.lead()
		time.Sleep(time.Hour)
		if n := w.metric("inpod_baselines_pending"); n != 0 {
			t.Errorf("%v are pending in the end", n)
		}
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Hour)
		for i := range 40 {
			if name := fmt.Sprintf("web-%d", i); len(w.rolled(name)) != 1 {
				t.Errorf("%s was rolled %d times, want once", name, len(w.rolled(name)))
			}
		}
		if n := len(w.done()); n != 80 {
			t.Errorf("%d writes, want 40 new baselines and 40 rollouts", n)
		}
	})
}

// Stopping in the middle of a back-off does not wait for it.
func TestStoppingDoesNotWaitForRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
		w.set(func() { w.refuse = only("web", errors.New("away")) })
		stop := w.lead()
		time.Sleep(5 * time.Minute)
		begin := time.Now()
		stop()
		if took := time.Since(begin); took > 0 {
			t.Errorf("stopping took %s", took)
		}
	})
}

func TestAReloadInPlaceIsReportedWhenEveryPodHasConfirmed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		verdict decide.Verdict
		writes  []string
		events  []string
	}{
		"not before": {decide.Unknown, nil, nil},
		"confirmed": {
			decide.Confirmed,
			[]string{"recorded web"},
			[]string{"Normal ReloadedInPlace web: Reloaded in place: ConfigMap a changed (k); not proven"},
		},
		"rejected": {decide.Rejected, nil, []string{"Warning ReloadRejected web: Reload rejected, no rollout started: the application in " +
			"pod web-1 keeps the old content: because (ConfigMap a changed (k))"}},
		"out of reach": {decide.Unreachable, nil, []string{"Warning SidecarUnreachable web: Reload not confirmed, no rollout started: no sidecar of the pods " +
			"can be reached, such as that of pod web-1 because inpod keeps asking (ConfigMap a changed (k)); set --unreachable=rollout to start a rollout instead"}},
		"not understood": {decide.NotUnderstood, nil, []string{"Warning SidecarNotUnderstood web: Reload not confirmed, no rollout started: pod web-1: because " +
			"inpod keeps asking (ConfigMap a changed (k)); set --unreachable=rollout to start a rollout instead"}},
		"needs a restart": {
			decide.NeedsRestart,
			[]string{"rolled web"},
			[]string{"Normal Reloaded web: Rolling update started: ConfigMap a changed (k); the application in pod web-1 needs a restart " +
				"to use the new content: because"},
		},
		"failed": {
			decide.Failed,
			[]string{"rolled web"},
			[]string{"Normal Reloaded web: Rolling update started: ConfigMap a changed (k); reload in pod web-1 failed: because"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pods := &sidecars{}
				w := newFakeCluster(t, func(o *reconcile.Options) { o.InPlace = pods })
				w.apply(objtest.ConfigMap("a", "k", "0"), mounting("web", "a"))
				w.lead()
				time.Sleep(time.Minute)
				w.set(func() { w.writes = nil })
				w.apply(objtest.ConfigMap("a", "k", "1"))
				time.Sleep(time.Minute)
				if n := len(pods.pursued()); n != 1 {
					t.Fatalf("%d reloads are pursued, want 1", n)
				}
				pods.say(c.verdict)
				w.queue.Enqueue(deployment("web"), "WorkloadChanged")
				time.Sleep(time.Hour)
				if diff := cmp.Diff(c.writes, w.done()); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(c.events, w.reported()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if over := len(c.writes) > 0; over != (len(pods.pursued()) == 0) {
					t.Errorf("reloads that are pursued: %v", pods.pursued())
				}
			})
		})
	}
}

// The pod that the warning names may go, and others be named: one event for each content is enough, and another one after a restart.
func TestThatNobodyCanBeAskedIsReportedOnce(t *testing.T) {
	t.Parallel()
	for _, verdict := range []decide.Verdict{decide.Unreachable, decide.NotUnderstood} {
		t.Run(string(verdict), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pods := &sidecars{}
				var alerts []string
				w := newFakeCluster(t, func(o *reconcile.Options) {
					o.InPlace = pods
					o.Alert = func(m alert.Message) { alerts = append(alerts, m.Reason) }
				})
				w.apply(objtest.ConfigMap("a", "k", "0"), mounting("web", "a"))
				stop := w.lead()
				time.Sleep(time.Minute)
				w.apply(objtest.ConfigMap("a", "k", "1"))
				time.Sleep(time.Minute)
				pods.say(verdict)
				for i := range 20 {
					pods.because(fmt.Sprintf("other words %d", i))
					w.queue.Enqueue(deployment("web"), "WorkloadChanged")
					time.Sleep(time.Minute)
				}
				if n := len(w.reported()); n != 1 || len(alerts) != 1 {
					t.Errorf("%d events and %d alerts, want one of each:\n%s", n, len(alerts), strings.Join(w.reported(), "\n"))
				}
				stop()
				pods.forget()
				w.lead()
				time.Sleep(time.Minute)
				if n := len(pods.pursued()); n != 1 {
					t.Errorf("the next leader pursues %d reloads, want 1: what was asked stays open", n)
				}
				w.queue.Enqueue(deployment("web"), "WorkloadChanged")
				time.Sleep(time.Minute)
				if n := len(w.reported()); n != 2 {
					t.Errorf("%d events after the next leader has come to the same, want 2", n)
				}
				pods.say(decide.Confirmed)
				w.queue.Enqueue(deployment("web"), "WorkloadChanged")
				time.Sleep(time.Hour)
				if diff := cmp.Diff([]string{"recorded web", "recorded web"}, w.done()); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// The words of an application may hold a time or the number of a process, and a reload is tried every 30 s.
func TestABadReloadIsReportedOnceForEachContent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		verdict decide.Verdict
		parts   []objtest.Part
	}{
		"rejected":                       {decide.Rejected, nil},
		"failed, and to be left alone":   {decide.Failed, []objtest.Part{objtest.TemplateAnnotation("inpod.dev/on-failure", "none")}},
		"too late, and to be left alone": {decide.Overdue, []objtest.Part{objtest.TemplateAnnotation("inpod.dev/on-failure", "none")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pods := &sidecars{}
				var alerts []string
				w := newFakeCluster(t, func(o *reconcile.Options) {
					o.InPlace = pods
					o.Alert = func(m alert.Message) { alerts = append(alerts, m.Reason) }
				})
				parts := append(slices.Clone(c.parts), objtest.TemplateAnnotation("inpod.dev/inject", "enabled"), objtest.Mount(objtest.CM("a")))
				web := objtest.Deployment("web", parts...)
				w.apply(objtest.ConfigMap("a", "k", "0"), web)
				w.lead()
				time.Sleep(time.Minute)
				for edit := range 2 {
					pods.say(decide.Unknown)
					w.apply(objtest.ConfigMap("a", "k", fmt.Sprint("bad ", edit)))
					time.Sleep(time.Minute)
					for i := range 10 {
						pods.say([]decide.Verdict{c.verdict, c.verdict, decide.Unknown}[i%3])
						pods.because(fmt.Sprintf("PID %d", i))
						w.queue.Enqueue(deployment("web"), "WorkloadChanged")
						time.Sleep(time.Minute)
					}
					if n, want := len(w.reported()), edit+1; n != want || len(alerts) != want {
						t.Errorf("%d events and %d alerts after %d edits of the same key:\n%s", n, len(alerts), want, strings.Join(w.reported(), "\n"))
					}
				}
			})
		})
	}
}

func TestAReloadEndsWithItsWorkload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pods := &sidecars{}
		w := newFakeCluster(t, func(o *reconcile.Options) { o.InPlace = pods })
		w.apply(objtest.ConfigMap("a", "k", "0"), mounting("web", "a"))
		w.lead()
		time.Sleep(time.Minute)
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		w.removeWorkload("web")
		synctest.Wait()
		if diff := cmp.Diff(map[workload.Key]string{}, pods.pursued()); diff != "" {
			t.Errorf("reloads that are pursued (-want +got):\n%s", diff)
		}
	})
}

// Nobody waits any more for what the pods were to have.
func TestAReloadEndsWhenTheEditIsTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pods := &sidecars{}
		w := newFakeCluster(t, func(o *reconcile.Options) { o.InPlace = pods })
		w.apply(objtest.ConfigMap("a", "k", "0"), mounting("web", "a"))
		w.lead()
		time.Sleep(time.Minute)
		for _, verdict := range []decide.Verdict{decide.Unknown, decide.Rejected} {
			w.apply(objtest.ConfigMap("a", "k", "1"))
			time.Sleep(time.Minute)
			pods.say(verdict)
			w.queue.Enqueue(deployment("web"), "WorkloadChanged")
			time.Sleep(time.Minute)
			if n := len(pods.pursued()); n != 1 {
				t.Fatalf("%q: %d reloads are pursued, want 1", verdict, n)
			}
			w.apply(objtest.ConfigMap("a", "k", "0"))
			time.Sleep(time.Minute)
			if n := len(pods.pursued()); n != 0 {
				t.Errorf("%q: %d reloads are pursued after the edit was taken back", verdict, n)
			}
		}
	})
}

func TestMetricsArePromLintClean(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		families, err := w.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
			t.Errorf("%v %v", problems, err)
		}
	})
}
