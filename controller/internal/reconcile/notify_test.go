package reconcile_test

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

const (
	pauseKey  = "deployment.reloader.stakater.com/pause-period"
	pausedKey = "deployment.reloader.stakater.com/paused-at"
	settleKey = "inpod.dev/settle"
	notifyKey = "inpod.dev/notify-only"
)

// paced is a cluster with one workload "web" that carries annotations, got a baseline long ago, and uses a and b.
func paced(t *testing.T, annotations map[string]string, change ...func(*reconcile.Options)) *fakeCluster {
	t.Helper()
	w := newFakeCluster(t, change...)
	w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"), web(annotations))
	w.lead()
	time.Sleep(time.Hour)
	w.set(func() { w.writes, w.events, w.start = nil, nil, time.Now() })
	return w
}

func web(annotations map[string]string) metav1.Object {
	d := auto("web", "a", "b")
	all := d.GetAnnotations()
	maps.Copy(all, annotations)
	d.SetAnnotations(all)
	return d
}

// at applies content to the ConfigMap a at a time after the start of the cluster.
func (w *fakeCluster) at(moment time.Duration, content string) {
	time.Sleep(time.Until(w.start.Add(moment)))
	w.apply(objtest.ConfigMap("a", "k", content))
}

func (w *fakeCluster) annotations(name string) map[string]string {
	found, _ := w.Workload(deployment(name))
	return found.View.Annotations
}

func TestChangesWithinThePausePeriodAreOneRolloutAtItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := paced(t, map[string]string{pauseKey: "10m"})
		for i := range 5 {
			w.at(time.Duration(i)*time.Minute, strconv.Itoa(i+1))
		}
		w.apply(objtest.ConfigMap("b", "k", "1"))
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]time.Duration{settle, settle + 10*time.Minute}, w.rolled("web")); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
		if n := strings.Count(strings.Join(w.reported(), "\n"), "PausePeriod web: Rollout delayed until"); n != 2 { // the second with b
			t.Errorf("reported %d times that it is deferred, want 2: %q", n, w.reported())
		}
	})
}

func TestThePausePeriodOutlivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"), web(map[string]string{pauseKey: "10m"}))
		stop := w.lead()
		time.Sleep(time.Hour)
		w.set(func() { w.writes, w.start = nil, time.Now() })
		w.at(0, "1")
		time.Sleep(time.Minute)
		stop()
		w.at(2*time.Minute, "2") // nobody is there
		w.restart().lead()
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]time.Duration{settle, settle + 10*time.Minute}, w.rolled("web")); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
	})
}

// leftBehind is how Reloader leaves a Deployment: paused, with its annotation.
func leftBehind(pausedAt, period string) metav1.Object {
	d := web(map[string]string{pauseKey: period, pausedKey: pausedAt})
	if typed, ok := d.(*appsv1.Deployment); ok {
		typed.Spec.Paused = true
	}
	return d
}

func TestADeploymentThatReloaderLeftPausedIsResumedWhenItsPeriodIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"),
			leftBehind(time.Now().UTC().Format(time.RFC3339), "10m"))
		w.lead()
		time.Sleep(10*time.Minute - time.Second)
		if found, _ := w.Workload(deployment("web")); !found.View.Paused {
			t.Error("resumed before its period was over")
		}
		time.Sleep(2 * time.Second)
		found, _ := w.Workload(deployment("web"))
		if found.View.Paused || found.View.Annotations[pausedKey] != "" {
			t.Errorf("after its period: paused %t, annotation %q", found.View.Paused, found.View.Annotations[pausedKey])
		}
		if reported := strings.Join(w.reported(), "\n"); !strings.Contains(reported, "Normal Resumed web: Resumed: the pause that Reloader began at") {
			t.Errorf("events %s", reported)
		}
	})
}

func TestADeploymentThatSomebodyElsePausedStaysPaused(t *testing.T) {
	t.Parallel()
	for name, hash := range map[string]string{"without an annotation": "", "after a rollout of ours": "2000-01-01T00:00:00.000Z"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t)
				w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"), leftBehind(hash, "10s"))
				w.lead()
				time.Sleep(time.Hour)
				if found, _ := w.Workload(deployment("web")); !found.View.Paused {
					t.Error("resumed")
				}
			})
		})
	}
}

func TestAWorkloadSettlesForItself(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settle string
		edits  []time.Duration
		want   []time.Duration
	}{
		"longer":                           {"30s", []time.Duration{0}, []time.Duration{30 * time.Second}},
		"longer than the longest":          {"30s", []time.Duration{0, 20 * time.Second, 29 * time.Second}, []time.Duration{30 * time.Second}},
		"shorter":                          {"500ms", []time.Duration{0, time.Second}, []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond}},
		"not at all":                       {"0s", []time.Duration{0}, []time.Duration{0}},
		"unreadable means the global time": {"soon", []time.Duration{0}, []time.Duration{settle}},
		"negative means the global time":   {"-1s", []time.Duration{0}, []time.Duration{settle}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := paced(t, map[string]string{settleKey: c.settle})
				for i, moment := range c.edits {
					w.at(moment, strconv.Itoa(i+1))
				}
				time.Sleep(time.Hour)
				if diff := cmp.Diff(c.want, w.rolled("web")); diff != "" {
					t.Errorf("rolled at (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// The global longest time does not cut a settle time short that is longer than it, whoever looks meanwhile.
func TestReconcilingBeforeALongSettleTimeIsOverRollsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := paced(t, map[string]string{settleKey: "30s"})
		w.at(0, "1")
		time.Sleep(15 * time.Second)
		w.queue.Enqueue(deployment("web"), observe.WorkloadChanged)
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]time.Duration{30 * time.Second}, w.rolled("web")); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
	})
}

// reloads are reloads in the pods that have all failed, until they are forgotten.
type reloads struct {
	mu              sync.Mutex
	verdict         decide.Verdict
	pursued, forgot int
}

func (r *reloads) State(workload.View, bool, string) decide.InPlace {
	r.mu.Lock()
	defer r.mu.Unlock()
	return decide.InPlace{Sidecar: true, Verdict: r.verdict, Pod: "web-1", Message: "no answer"}
}

func (r *reloads) StartReload(workload.Key, string, []source.SourceState, []decide.Cause, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pursued++
}

func (r *reloads) CancelReload(workload.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdict = decide.Unknown
	r.forgot++
}

func (r *reloads) Evicted(workload.Key, types.UID) {}

// begin sets the verdict and counts again.
func (r *reloads) begin(verdict decide.Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdict, r.pursued, r.forgot = verdict, 0, 0
}

func (r *reloads) counts() (pursued, forgot int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pursued, r.forgot
}

// live is a workload that sees new content of a in its volume.
func live(annotations map[string]string) metav1.Object {
	d := objtest.Deployment("web", objtest.Annotation("reloader.stakater.com/auto", "true"), objtest.Mount(objtest.CM("a")))
	maps.Copy(d.Annotations, annotations)
	return d
}

// The rollout after a reload that failed, or that does not suffice, waits for its window, and nothing is tried again until then.
func TestAReloadThatFailedIsRememberedWhileItsRolloutWaits(t *testing.T) {
	t.Parallel()
	for _, verdict := range []decide.Verdict{decide.Failed, decide.NeedsRestart} {
		t.Run(string(verdict), func(t *testing.T) {
			t.Parallel()
			remembered(t, verdict)
		})
	}
}

func remembered(t *testing.T, verdict decide.Verdict) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		inPlace := &reloads{}
		w := newFakeCluster(t, func(o *reconcile.Options) { o.InPlace, o.Workers = inPlace, 1 })
		w.apply(objtest.ConfigMap("a", "k", "0"), live(map[string]string{"inpod.dev/window": "Sun 02:00-03:00"}))
		w.lead()
		time.Sleep(time.Hour)
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		inPlace.begin(verdict)
		for range 5 {
			w.queue.Enqueue(deployment("web"), observe.WorkloadChanged)
			time.Sleep(time.Minute)
		}
		if pursued, forgot := inPlace.counts(); pursued > 0 || forgot > 0 {
			t.Errorf("pursued %d times and forgotten %d times while the window is closed", pursued, forgot)
		}
		time.Sleep(48 * time.Hour)
		if diff := cmp.Diff([]time.Duration{26 * time.Hour}, w.rolled("web")); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
	})
}

// A reload replaces nothing, and sidecars reload without being asked as well.
func TestNotifyOnlyHoldsUpNoReload(t *testing.T) {
	t.Parallel()
	for _, only := range []string{"true", "false"} {
		t.Run(only, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inPlace := &reloads{}
				w := newFakeCluster(t, func(o *reconcile.Options) { o.InPlace, o.Workers = inPlace, 1 })
				w.apply(objtest.ConfigMap("a", "k", "0"), live(map[string]string{notifyKey: only}))
				w.lead()
				time.Sleep(time.Hour)
				if _, nudges := (&reconcile.NudgeTexts{Cache: w, Digester: w.digester}).Of(deployment("web"), configMap("a")); !nudges {
					t.Error("the pods are not nudged")
				}
				w.apply(objtest.ConfigMap("a", "k", "1"))
				time.Sleep(time.Minute)
				if pursued, _ := inPlace.counts(); pursued == 0 {
					t.Error("no reload is asked for")
				}
				if got := w.reported(); len(got) > 0 {
					t.Errorf("events %q", got)
				}
			})
		})
	}
}

func TestNotifyOnlyReportsEachContentOnceAndRollsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var alerts []string
		collect := func(o *reconcile.Options) {
			o.Alert = func(m alert.Message) { alerts = append(alerts, m.Action+": "+m.Text) }
		}
		w := newFakeCluster(t, collect)
		w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"), web(map[string]string{notifyKey: "true"}))
		stop := w.lead()
		time.Sleep(time.Hour)
		w.set(func() { w.writes, w.events, w.start = nil, nil, time.Now() })
		w.at(0, "1")
		time.Sleep(time.Minute)
		stop()
		w.restart(collect).lead() // it was reported already
		time.Sleep(time.Minute)
		w.at(time.Hour, "2")
		time.Sleep(time.Minute)
		if got := w.rolled("web"); len(got) > 0 {
			t.Errorf("rolled at %v", got)
		}
		const message = "Notify-only: would start a rollout: ConfigMap a changed (k)"
		if diff := cmp.Diff([]string{"Normal NotifyOnly web: " + message, "Normal NotifyOnly web: " + message}, w.reported()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"not rolled: " + message, "not rolled: " + message}, alerts); diff != "" {
			t.Errorf("alerts (-want +got):\n%s", diff)
		}

		// The change is not lost: it is applied when somebody lets it be.
		w.apply(web(nil))
		time.Sleep(time.Minute)
		if got := w.rolled("web"); len(got) != 1 {
			t.Errorf("rolled at %v after notify-only was taken away, want once", got)
		}
	})
}

func TestNotifyOnlyForAllLeavesOutWhoSaysOtherwise(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{"": 0, "false": 1, "perhaps": 0} {
		t.Run("with "+strconv.Quote(value), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := paced(t, map[string]string{notifyKey: value}, func(o *reconcile.Options) { o.Rules.NotifyOnly = true })
				w.at(0, "1")
				time.Sleep(time.Hour)
				if got := w.rolled("web"); len(got) != want {
					t.Errorf("rolled %d times, want %d", len(got), want)
				}
			})
		})
	}
}

// The clock of a test begins on 2000-01-01, a Saturday, at midnight UTC.
func TestChangesOutsideTheWindowAreOneRolloutWhenItOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"), web(map[string]string{"inpod.dev/window": "Sun 02:00-03:00"}))
		stop := w.lead()
		w.at(time.Hour, "1")
		w.at(2*time.Hour, "2")
		stop()
		w.restart().lead()
		w.at(3*time.Hour, "3")
		w.at(26*time.Hour+30*time.Minute, "4")
		w.at(30*time.Hour, "5")
		time.Sleep(6 * 24 * time.Hour)
		want := []time.Duration{26 * time.Hour, 26*time.Hour + 30*time.Minute + settle} // the next one opens a week later
		if diff := cmp.Diff(want, w.rolled("web")); diff != "" {
			t.Errorf("rolled at (-want +got):\n%s", diff)
		}
		reported := strings.Join(w.reported(), "\n")
		if n := strings.Count(reported, "Normal WindowClosed web: Rollout delayed until 2000-01-02 02:00 UTC"); n != 2 { // once by each loop
			t.Errorf("reported %d times for the first opening, want 2:\n%s", n, reported)
		}
		if !strings.Contains(reported, "until 2000-01-09 02:00 UTC") {
			t.Errorf("the second opening was not reported:\n%s", reported)
		}
	})
}

func TestAWindowThatCannotBeReadIsClosedUntilItCan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := paced(t, map[string]string{"inpod.dev/window": "at night"})
		w.at(0, "1")
		time.Sleep(time.Hour)
		if got := w.rolled("web"); len(got) > 0 {
			t.Errorf("rolled at %v", got)
		}
		w.apply(web(map[string]string{"inpod.dev/window": "always"}))
		time.Sleep(time.Minute)
		if got := w.rolled("web"); len(got) != 1 {
			t.Errorf("rolled at %v after it was corrected, want once", got)
		}
	})
}

// The annotation says what it is for people, and for Reloader should it come back.
func TestTheTimeOfARolloutIsWrittenWithItWherePausesAreAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := paced(t, map[string]string{pauseKey: "10m"})
		w.at(0, "1")
		time.Sleep(time.Minute)
		want := w.start.Add(settle).UTC().Format(annotation.PausedAtLayout)
		if got := w.annotations("web")[pausedKey]; got != want {
			t.Errorf("%s is %q, want %q", pausedKey, got, want)
		}
	})
}

// The clock of the machine is set forward while a workload waits for its window.
func TestAWindowIsNotMissedWhenTheClockIsSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := paced(t, map[string]string{"inpod.dev/window": "06:00-07:00"}) // the bubble begins at midnight
		w.at(0, "1")
		time.Sleep(10 * time.Minute)
		opens := time.Date(2000, 1, 2, 6, 0, 0, 0, time.UTC)
		step := time.Until(opens) - time.Minute
		w.set(func() {
			w.decide = func(in decide.Input) decide.Decision {
				in.Now = in.Now.Add(step)
				return decide.Decide(in)
			}
		})
		time.Sleep(6 * time.Minute)
		if n := len(w.rolled("web")); n != 1 {
			t.Errorf("rolled %d times within six minutes of a window that opened by the new clock, want once", n)
		}
	})
}

func TestTheBackOffCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := paced(t, map[string]string{"inpod.dev/back-off": "off"})
		for i := range 30 {
			w.at(time.Duration(i)*20*time.Second, strconv.Itoa(i+1))
		}
		time.Sleep(time.Minute)
		if n := len(w.rolled("web")); n != 30 {
			t.Errorf("rolled %d times, want at each of 30 changes", n)
		}
	})
}

// A Job that had ended is reported once, however often its source changes.
func TestAFinishedJobIsReportedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		job := objtest.Job("migrate", objtest.Annotation("reloader.stakater.com/auto", "true"), objtest.EnvFrom(objtest.CM("a")))
		w.apply(objtest.ConfigMap("a", "k", "0"), job)
		w.lead()
		time.Sleep(time.Hour)
		w.touch(workload.Key{Kind: "Job", Namespace: objtest.Namespace, Name: "migrate"}, func(v *workload.View) {
			v.Job = &workload.Job{Finished: true, EndedAt: time.Now()}
		})
		time.Sleep(time.Hour)
		w.set(func() { w.writes = nil })
		for i := range 5 {
			w.apply(objtest.ConfigMap("a", "k", strconv.Itoa(i+1)))
			time.Sleep(time.Hour)
		}
		want := []string{"Normal Finished migrate: Job has ended and is not run again: ConfigMap a changed (k). To run it with the new content, delete and create it"}
		if diff := cmp.Diff(want, w.reported()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string(nil), w.done()); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}

// A Job that ends before an edit has settled was running when that came, whatever the quiet time is.
func TestAJobThatEndsBeforeTheEditHasSettledIsRecreated(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		settle string
		ends   time.Duration // after the edit
		want   bool
	}{
		"in the second of the edit, perhaps before it": {"", 0, false},
		"a second after the edit":                      {"", time.Second, true},
		"within the settle time":                       {"", settle / 2, true},
		"within that of its own":                       {"1m", 50 * time.Second, true},
		"before the edit":                              {"1m", -5 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t)
				parts := []objtest.Part{objtest.Annotation("reloader.stakater.com/auto", "true"), objtest.EnvFrom(objtest.CM("a"))}
				if tc.settle != "" {
					parts = append(parts, objtest.Annotation("inpod.dev/settle", tc.settle))
				}
				w.apply(objtest.ConfigMap("a", "k", "0"), objtest.Job("migrate", parts...))
				w.lead()
				time.Sleep(time.Hour)
				w.set(func() { w.writes = nil })
				end := func() {
					w.touch(workload.Key{Kind: "Job", Namespace: objtest.Namespace, Name: "migrate"}, func(v *workload.View) {
						v.Job = &workload.Job{Finished: true, EndedAt: time.Now().Truncate(time.Second)}
					})
				}
				if tc.ends < 0 {
					end()
					time.Sleep(-tc.ends)
				}
				w.apply(objtest.ConfigMap("a", "k", "1"))
				if tc.ends >= 0 {
					time.Sleep(tc.ends)
					end()
				}
				time.Sleep(time.Hour)
				if n := w.rolled("migrate"); (len(n) == 1) != tc.want {
					t.Errorf("recreated %d times, want it: %t; %q", len(n), tc.want, w.reported())
				}
			})
		})
	}
}
