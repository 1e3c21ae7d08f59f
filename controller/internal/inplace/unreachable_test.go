package inplace_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// outOfReach is the state in which nothing is known of a workload whose pods are named web-N.
func outOfReach(pod string) decide.InPlace {
	return decide.InPlace{
		Sidecar: true, Verdict: decide.Unreachable, Pod: pod, Message: "at 10.0.0.1: no answer in time. Open it.",
	}
}

// closes makes pods closed or open.
func (w *ward) closes(closed bool, names ...string) {
	w.change(func() {
		for name, p := range w.pods {
			for _, one := range names {
				if name == one {
					p.closed = closed
				}
			}
			if len(names) == 0 {
				p.closed = closed
			}
		}
	})
}

func TestAWorkloadWhoseSidecarsCannotBeReached(t *testing.T) {
	t.Parallel()
	overdue := decide.InPlace{
		Sidecar: true, Verdict: decide.Overdue, Pod: "web-1", Message: "at 10.0.0.1: no answer in time. Open it.",
	}
	for name, c := range map[string]struct {
		change func(w *ward)
		want   decide.InPlace
	}{
		"none can be reached": {func(w *ward) { w.closes(true) }, outOfReach("web-0")},
		"one can be reached, and has not confirmed": {func(w *ward) {
			w.closes(true, "web-1", "web-2")
			w.pods["web-0"].result = sidecarapi.Pending
		}, decide.InPlace{Sidecar: true, Verdict: decide.Overdue, Pod: "web-0", Message: "said by web-0"}},
		"one cannot be reached, and the others have confirmed": {func(w *ward) { w.closes(true, "web-1") }, overdue},
		"the sidecar of one does not run, and the others cannot be reached": {func(w *ward) {
			w.closes(true)
			w.pods["web-1"].pod.SidecarDown = true
		}, decide.InPlace{Sidecar: true, Verdict: decide.Overdue, Pod: "web-0", Message: "at 10.0.0.1: no answer in time. Open it."}},
		"none runs by its kubelet's word": {func(w *ward) {
			w.closes(true)
			for _, p := range w.pods {
				p.pod.SidecarDown = true
			}
		}, decide.InPlace{Sidecar: true, Verdict: decide.Overdue, Pod: "web-0", Message: "its sidecar does not run"}},
		"the node of one is lost, and the others have confirmed": {func(w *ward) {
			w.closes(true, "web-1")
			w.pods["web-1"].pod.Lost = true
		}, decide.InPlace{
			Sidecar: true, Verdict: decide.Confirmed, Pod: "web-0", Message: "1 pod could not be asked (its node does not report)",
		}},
		"the nodes of all are lost": {func(w *ward) {
			w.closes(true)
			for _, p := range w.pods {
				p.pod.Lost = true
			}
		}, decide.InPlace{Sidecar: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWard(3)
				c.change(w)
				w.pursue(t, "t1")
				after(deadline - 10*time.Second)
				if c.want.Verdict != decide.Confirmed {
					w.states(t, "t1", decide.InPlace{Sidecar: true})
				}
				after(30 * time.Second)
				w.states(t, "t1", c.want)
			})
		})
	}
}

// One dead node is no failure of the workload, and the pods of the others do not wait for it.
func TestALostNodeHoldsNobody(t *testing.T) {
	t.Parallel()
	partly := decide.InPlace{
		Sidecar: true, Verdict: decide.Confirmed, Pod: "web-0", Message: "1 pod could not be asked (its node does not report)",
	}
	lost := func(w *ward) { w.pods["web-1"].pod.Lost, w.pods["web-1"].closed = true, true }
	for name, c := range map[string]struct {
		change func(w *ward)
		later  func(w *ward) // after ten seconds
		kind   string
		wait   time.Duration
		want   decide.InPlace
	}{
		"the others confirm at once":       {lost, nil, "Deployment", 10 * time.Second, partly},
		"it failed before it was lost":     {func(w *ward) { w.pods["web-1"].result = sidecarapi.Died }, lost, "Deployment", time.Hour, partly},
		"it was late before it was lost":   {func(w *ward) { w.closes(true, "web-1") }, lost, "Deployment", time.Hour, partly},
		"it did not accept it before that": {func(w *ward) { w.pods["web-1"].result = sidecarapi.Rejected }, lost, "Deployment", time.Hour, partly},
		"a StatefulSet counts it while it is deleted, and nobody ends it": {func(w *ward) {
			lost(w)
			w.pods["web-1"].pod.Over = true
		}, nil, "StatefulSet", time.Hour, decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true}},
		"a Deployment does not count it, and has another pod without the sidecar": {func(w *ward) {
			lost(w)
			w.pods["web-1"].pod.Over = true
		}, nil, "Deployment", time.Hour, decide.InPlace{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, key := newWard(3), workload.Key{Kind: c.kind, Namespace: "shop", Name: "web"}
				c.change(w)
				w.lead(t)
				w.reloader.StartReload(key, "t1", []source.SourceState{use()}, changes(), time.Now())
				after(10 * time.Second)
				if c.later != nil {
					w.change(func() { c.later(w) })
				}
				after(c.wait)
				got := w.reloader.State(workload.View{Key: key}, true, "t1")
				if got.Proven {
					got.Pod = ""
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// The pods that failed are named, and the one that takes the place of one that is evicted ends the matter.
func TestAPodThatFailedIsNamedUntilAnotherTakesItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(3)
		w.change(func() { w.pods["web-1"].result = sidecarapi.Died })
		w.pursue(t, "t1")
		after(40 * time.Second)
		failed := []decide.FailedPod{{Name: "web-1", UID: "uid-web-1"}}
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Failed, Pod: "web-1", Message: "said by web-1", Failed: failed, Failing: 1})
		w.reloader.Evicted(web, "uid-web-1")
		w.isUnavailable(t, 1) // at once, so that nobody evicts it twice
		after(time.Second)
		w.isUnavailable(t, 1) // it does not count any more, though it is still there
		w.change(func() {
			delete(w.pods, "web-1")
			p := w.admit("web-3")
			p.pod.Running, p.pod.Ready = false, false
		})
		after(10 * time.Second)
		w.isUnavailable(t, 1) // until the other one is ready
		w.change(func() {
			p := w.pods["web-3"]
			p.has, p.pod.Running, p.pod.Ready = newContent, true, true
		})
		after(10 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
	})
}

func (w *ward) isUnavailable(t *testing.T, n int) {
	t.Helper()
	if got := w.state("t1"); got.Verdict != decide.Unknown || len(got.Failed)+got.Failing > 0 || got.Unavailable != n {
		t.Errorf("%+v, want %d unavailable, and no verdict", got, n)
	}
}

// Another process knows as much of what became of an eviction as the one that had it done: the pods say when they were
// made.
func TestAnotherProcessKnowsThePodsThatReplacedOthers(t *testing.T) {
	t.Parallel()
	failed := func(name string, younger bool) decide.FailedPod {
		return decide.FailedPod{Name: name, UID: types.UID("uid-" + name), Younger: younger}
	}
	for name, c := range map[string]struct {
		change func(*ward)
		undate bool
		want   decide.InPlace
	}{
		"none was replaced": {nil, false, decide.InPlace{Pod: "web-1", Failed: []decide.FailedPod{failed("web-1", false)}, Failing: 1}},
		"one was, and works": {func(w *ward) { w.admit("web-3").has = newContent }, false, decide.InPlace{
			Pod: "web-1", Failed: []decide.FailedPod{failed("web-1", false)}, Failing: 1, Replaced: 1,
		}},
		"one was, and fails as well": {func(w *ward) { w.admit("web-3").result = sidecarapi.Died }, false, decide.InPlace{
			Pod: "web-1", Failed: []decide.FailedPod{failed("web-1", false), failed("web-3", true)}, Failing: 2,
		}},
		"one was, and is not ready": {func(w *ward) { p := w.admit("web-3"); p.has, p.pod.Ready = newContent, false }, false, decide.InPlace{
			Pod: "web-1", Failed: []decide.FailedPod{failed("web-1", false)}, Failing: 1, Replaced: 1, Unavailable: 1,
		}},
		"one ends": {func(w *ward) { w.admit("web-3").pod.Over = true }, false, decide.InPlace{
			Pod: "web-1", Failed: []decide.FailedPod{failed("web-1", false)}, Failing: 1, Unavailable: 1,
		}},
		"nobody knows when the content changed": {func(w *ward) { w.admit("web-3").has = newContent }, true, decide.InPlace{
			Pod: "web-1", Failed: []decide.FailedPod{failed("web-1", false)}, Failing: 1, Undated: true,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWard(3)
				w.pods["web-1"].result = sidecarapi.Died
				time.Sleep(time.Minute) // then the other process begins
				if c.change != nil {
					delete(w.pods, "web-2")
					c.change(w)
				}
				w.lead(t)
				uses := []source.SourceState{use()}
				if c.undate {
					uses[0].Snapshot.ContentAt = 0
				}
				w.reloader.StartReload(web, "t1", uses, changes(), time.Time{})
				after(40 * time.Second)
				want := c.want
				want.Sidecar, want.Verdict, want.Message = true, decide.Failed, "said by web-1"
				w.states(t, "t1", want)
			})
		})
	}
}

// Of many that fail, one that is younger than the content is asked again first: an eviction has not helped there.
func TestAYoungerPodThatFailsIsAskedAgainFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(40)
		time.Sleep(time.Minute)
		delete(w.pods, "web-0")
		w.admit("web-z")
		for _, p := range w.pods {
			p.result, p.has = sidecarapi.Died, newContent
		}
		w.takes = 2 * time.Second // a round takes longer than an answer counts
		w.pursue(t, "t1")
		after(3 * time.Minute)
		if got := w.state("t1"); !slices.ContainsFunc(got.Failed, func(p decide.FailedPod) bool { return p.Name == "web-z" && p.Younger }) {
			t.Errorf("failed: %v", got.Failed)
		}
	})
}

// Nobody knows what the pods have, whatever else is late.
func TestASidecarThatIsNotUnderstoodHoldsTheRollout(t *testing.T) {
	t.Parallel()
	unclear := func(pod string) decide.InPlace {
		return decide.InPlace{
			Sidecar: true, Verdict: decide.NotUnderstood, Pod: pod,
			Message: "the answer at 10.0.0.1 is not understood: it has the unknown result; the sidecar has version v9. Upgrade.",
		}
	}
	for name, c := range map[string]struct {
		change func(w *ward)
		want   decide.InPlace
	}{
		"none is understood":                              {func(w *ward) { w.pods["web-0"].later, w.pods["web-1"].later = true, true }, unclear("web-0")},
		"one is not, and the other has confirmed":         {func(w *ward) { w.pods["web-1"].later = true }, unclear("web-1")},
		"one is not, and the other cannot be reached":     {func(w *ward) { w.pods["web-1"].later = true; w.pods["web-0"].closed = true }, unclear("web-1")},
		"one is not, and the other has not finished":      {func(w *ward) { w.pods["web-1"].later = true; w.pods["web-0"].result = sidecarapi.Late }, unclear("web-1")},
		"one is not, though its kubelet says it is down":  {func(w *ward) { w.pods["web-1"].later, w.pods["web-1"].pod.SidecarDown = true, true }, unclear("web-1")},
		"one is not, and the other accepts it not":        {func(w *ward) { w.pods["web-1"].later = true; w.pods["web-0"].result = sidecarapi.Rejected }, decide.InPlace{Sidecar: true, Verdict: decide.Rejected, Pod: "web-0", Message: "said by web-0"}},
		"one is not, and the other could not be reloaded": {func(w *ward) { w.pods["web-1"].later = true; w.pods["web-0"].result = sidecarapi.Failed }, decide.InPlace{Sidecar: true, Verdict: decide.Failed, Pod: "web-0", Message: "said by web-0"}},
		"one is not, has just started, and the other is closed": {func(w *ward) {
			w.pods["web-1"].later, w.pods["web-1"].pod.Running, w.pods["web-0"].closed = true, false, true
			time.AfterFunc(deadline-15*time.Second, func() { w.change(func() { w.pods["web-1"].pod.Running = true }) })
		}, outOfReach("web-0")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWard(2)
				c.change(w)
				w.pursue(t, "t1")
				after(deadline + 30*time.Second)
				w.states(t, "t1", c.want)
				if got := w.state("t1").AsksForRollout(decide.Options{}); got != (c.want.Verdict == decide.Failed) {
					t.Errorf("%s asks for a rollout: %t", c.want.Verdict, got)
				}
			})
		})
	}
}

// It may go on until somebody upgrades the controller.
func TestWhatIsNotUnderstoodCostsLittleAndIsConfirmedOnceItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(3)
		w.pods["web-1"].later = true
		w.pursue(t, "t1")
		after(deadline + 30*time.Second)
		w.change(func() { w.notified = 0 })
		after(24 * time.Hour)
		w.change(func() {
			nudges := 0
			for _, nudge := range w.nudges {
				if strings.HasPrefix(nudge, "web-1 ") {
					nudges++
				}
			}
			if nudges > 3 || w.notified > 0 || w.asked > 2*60*24+40 {
				t.Errorf("%d nudges of a pod that is not understood, %d decisions with nothing new, %d questions in a day", nudges, w.notified, w.asked)
			}
			w.pods["web-1"].later, w.pods["web-1"].result = false, sidecarapi.Late
		})
		after(deadline - 10*time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true}) // it has its whole time
		w.change(func() { w.pods["web-1"].result = sidecarapi.Applied })
		after(31 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
	})
}

// It may go on for days, and costs little.
func TestWhatCannotBeReachedIsAskedAgainAndConfirmedWhenThePortOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(100)
		w.closes(true)
		w.pursue(t, "t1")
		after(deadline + 30*time.Second)
		w.states(t, "t1", outOfReach("web-0"))
		var asked, nudges int
		w.change(func() { asked, nudges, w.notified = w.asked, len(w.nudges), 0 })
		after(24 * time.Hour)
		w.states(t, "t1", outOfReach("web-0"))
		w.change(func() {
			if n := w.asked - asked; n > 3*2*60*24+20 {
				t.Errorf("%d questions in a day, want at most three in half a minute", n)
			}
			if n := len(w.nudges) - nudges; n > 0 {
				t.Errorf("%d nudges in a day of pods that cannot be reached", n)
			}
			if w.notified > 0 {
				t.Errorf("%d decisions were asked for, with nothing new", w.notified)
			}
		})
		w.closes(false)
		after(31 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
	})
}

// Pods that were out of reach have not been late.
func TestThePodsHaveTheirTimeOnceThePortOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(5)
		w.closes(true)
		w.change(func() { w.pods["web-1"].result = sidecarapi.Late })
		w.pursue(t, "t1")
		after(time.Hour)
		w.states(t, "t1", outOfReach("web-0"))
		w.closes(false)
		after(deadline - 10*time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true})
		after(time.Minute)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Overdue, Pod: "web-1", Message: "said by web-1"})
	})
}

// What was heard before the port was closed is in the memory of one process only, and changes nothing.
func TestAnotherProcessComesToTheSameVerdict(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *ward){
		"two have confirmed before the port was closed": func(w *ward) { w.closes(true) },
		"one cannot be reached":                         func(w *ward) { w.closes(true, "web-0") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWard(3)
				w.change(func() { w.pods["web-0"].result = sidecarapi.Pending })
				stop := w.lead(t)
				pursue := func() decide.InPlace {
					w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
					after(20 * time.Second)
					change(w)
					after(deadline + time.Minute)
					return w.state("t1")
				}
				first := pursue()
				stop()
				w.lead(t)
				if second := pursue(); !first.Same(second) || first.Verdict == decide.Unknown {
					t.Errorf("one process says %+v, and the next %+v", first, second)
				}
			})
		})
	}
}

func TestAConfirmationSaysHowMuchIsKnown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(w *ward)
		want   decide.InPlace
	}{
		"one of many is not proven": {func(w *ward) {
			for i := range 3 {
				p := w.pods[fmt.Sprintf("web-%d", i)]
				p.trigger, p.proof, p.unproven = fmt.Sprintf("SIGHUP to bash (PID %d)", i), "alive", i == 1
			}
		}, decide.InPlace{
			Sidecar: true, Verdict: decide.Confirmed, Pod: "web-1", Container: "app", Trigger: "SIGHUP to bash (PID 1)", Proof: "alive",
		}},
		"an older sidecar says nothing of proofs": {func(w *ward) {
			for _, p := range w.pods {
				p.unproven = true
			}
		}, decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Pod: "web-0", Container: "app"}},
		"what one sidecar only supposes is not proven": {func(w *ward) {
			p := w.pods["web-1"]
			p.has, p.result, p.assumed = newContent, sidecarapi.None, true
		}, decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Pod: "web-0", Container: "app"}},
		"that they have it since they started is proven": {func(w *ward) {
			for _, p := range w.pods {
				p.has, p.result = newContent, sidecarapi.None
			}
		}, decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWard(3)
				for _, p := range w.pods {
					p.pod.Container = "app"
				}
				c.change(w)
				w.pursue(t, "t1")
				after(10 * time.Second)
				w.states(t, "t1", c.want)
			})
		})
	}
}

func TestWhatAReloadNeverReReadsNeedsARestart(t *testing.T) {
	t.Parallel()
	outdated := decide.InPlace{Sidecar: true, Verdict: decide.NeedsRestart, Pod: "web-1", Message: "said by web-1"}
	for name, c := range map[string]struct {
		other sidecarapi.Result // of web-0
		after time.Duration
		want  decide.InPlace
	}{
		"the other one has confirmed":       {sidecarapi.Applied, 5 * time.Second, outdated},
		"the other one may still reject it": {sidecarapi.Pending, 10 * time.Second, decide.InPlace{Sidecar: true}},
		"the other one has had its time":    {sidecarapi.Pending, 40 * time.Second, outdated},
		"the other one rejects it, and a restart would break it": {sidecarapi.Rejected, time.Minute, decide.InPlace{
			Sidecar: true, Verdict: decide.Rejected, Pod: "web-0", Message: "said by web-0",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWard(2)
				w.pods["web-0"].result, w.pods["web-1"].result = c.other, sidecarapi.NeedsRestart
				w.pursue(t, "t1")
				after(c.after)
				w.states(t, "t1", c.want)
			})
		})
	}
}

func TestWhatIsLateIsWaitedForUntilTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(1)
		w.pods["web-0"].result = sidecarapi.Late
		w.pursue(t, "t1")
		after(deadline - 10*time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true})
		after(30 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Overdue, Pod: "web-0", Message: "said by web-0"})
		w.change(func() { w.pods["web-0"].result = sidecarapi.Applied })
		after(31 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
	})
}
