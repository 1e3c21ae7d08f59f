package inplace_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
)

// askedIn counts the questions that are asked while time passes.
func (w *ward) askedIn(d time.Duration) (n int) {
	w.change(func() { n = w.asked })
	after(d)
	w.change(func() { n = w.asked - n })
	return n
}

// readsIn counts how often the pods of a workload are read while time passes.
func (w *ward) readsIn(d time.Duration) (n int) {
	w.change(func() { n = w.reads })
	after(d)
	w.change(func() { n = w.reads - n })
	return n
}

// A kubelet does not look at an annotation that stays as it is.
func TestEachNudgeOfAPodIsAnotherText(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]bool{"of an early nudge": true, "of a nudge of the task": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWardAt(12, 1, 2*time.Second) // some nudges wait, and later ones do not
				for _, p := range w.pods {
					p.takes = -1
				}
				w.lead(t)
				if early {
					w.early.Add(web, use().Usages.Ref)
				}
				w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
				after(3 * time.Minute)
				seen := map[string]bool{}
				w.change(func() {
					for _, nudge := range w.nudges {
						if seen[nudge] {
							t.Errorf("nudge %q was sent twice", nudge)
						}
						seen[nudge] = true
					}
				})
			})
		})
	}
}

// Its kubelet is at it: another nudge makes it no faster.
func TestAPodIsNotNudgedAgainRightAfterItsEarlyNudge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(10, 1000, 500*time.Millisecond)
		for _, p := range w.pods {
			p.takes = -1
		}
		w.lead(t)
		w.early.Add(web, use().Usages.Ref)
		after(500 * time.Millisecond)
		w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
		after(500 * time.Millisecond)
		w.change(func() {
			for _, p := range w.pods {
				p.has = newContent
			}
		})
		after(time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
		if n := w.nudgesOf(""); n != 10 {
			t.Errorf("%d nudges of 10 pods, whose kubelets take a second", n)
		}
	})
}

// What is known of a bad verdict may change half a minute later. Nudges that are sent meanwhile are no reason to ask all pods.
func TestABadVerdictDoesNotHaveAllPodsAskedForEachNudge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(600, 20, 2*time.Second) // half a minute of nudges
		w.pods["web-0"].result, w.pods["web-0"].has = sidecarapi.Rejected, newContent
		w.lead(t)
		w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
		after(time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Rejected, Pod: "web-0", Message: "said by web-0"})
		if n := w.askedIn(20 * time.Second); n > 600*8 {
			t.Errorf("%d questions to 600 pods in 20 s, want one in five seconds and two for each nudge", n)
		}
	})
}

// A round reads each pod of the workload, and there may be thousands.
func TestNudgesDoNotHaveAllPodsReadEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(4000, 400, 2*time.Second)
		w.lead(t)
		w.early.Add(web, use().Usages.Ref)
		w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
		after(time.Second)
		if n := w.readsIn(5 * time.Second); n > 22 {
			t.Errorf("the pods were read %d times in 5 s, want once in 250 ms at most", n)
		}
		after(20 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
	})
}

// What a task that is replaced had asked comes back as an error: it must not take the nudges away that the pods need.
func TestATaskThatIsReplacedLeavesTheNudgesAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(40, 10, 2*time.Second)
		w.takes = time.Second
		w.lead(t)
		w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
		after(500 * time.Millisecond) // sixteen questions are under way
		w.early.Add(web, use().Usages.Ref)
		after(100 * time.Millisecond)
		w.reloader.StartReload(web, "t2", []source.SourceState{use()}, changes(), time.Now())
		after(500 * time.Millisecond)
		w.change(func() { w.takes = 0 })
		after(5 * time.Second)
		w.states(t, "t2", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
		if n := w.nudgesOf(""); n != 40 {
			t.Errorf("%d nudges within six seconds, want one for each of 40 pods", n)
		}
	})
}

// One pod whose sidecar cannot be reached says nothing of the others: it is enough that one of them answers.
func TestAClosedPodDoesNotHaveTheOthersAskedEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(300, 1, 2*time.Second)
		for _, p := range w.pods {
			p.takes = -1
		}
		for i := range 20 { // each is due at another time
			w.pods[fmt.Sprintf("web-%d", i)].closed = true
		}
		w.lead(t)
		w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
		after(30 * time.Second)
		if n := w.askedIn(time.Minute); n > 300*13*3/2 {
			t.Errorf("%d questions to 300 pods in a minute, want one in five seconds for each", n)
		}
		w.states(t, "t1", decide.InPlace{Sidecar: true})
	})
}

// That a nudge waited for long, and its pod was asked now and then, is no reason to ask the pod late after the nudge.
func TestAPodIsAskedSoonAfterANudgeThatWaitedForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(60, 1, 2*time.Second) // the last nudge waits for a minute
		w.brings = 700 * time.Millisecond
		w.lead(t)
		w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
		for w.state("t1").Verdict != decide.Confirmed {
			after(50 * time.Millisecond)
		}
		w.change(func() {
			if took := time.Since(w.at[len(w.at)-1]); took > 2*time.Second {
				t.Errorf("the last pod was found to have the content %s after its nudge, want about a second", took)
			}
		})
	})
}

// Pods that never take the content up are asked, and read, at a pace that does not grow.
func TestPodsThatDoNotConfirmAreAskedAtASteadyPace(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(p *patient, i int){
		"their kubelets bring nothing":      func(p *patient, _ int) { p.takes = -1 },
		"their sidecars cannot be reached":  func(p *patient, _ int) { p.closed = true },
		"a third of them cannot be reached": func(p *patient, i int) { p.takes, p.closed = -1, i%3 == 0 },
		"their applications do not finish":  func(p *patient, _ int) { p.result = sidecarapi.Pending },
		"they do not run":                   func(p *patient, _ int) { p.pod.Running = false },
		"one rejects":                       func(p *patient, i int) { p.takes = -1; setRejected(p, i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const n = 200
				w := newWardAt(n, 20, 2*time.Second)
				i := 0
				for _, p := range w.pods {
					set(p, i)
					i++
				}
				w.lead(t)
				w.early.Add(web, use().Usages.Ref)
				after(2 * time.Second)
				w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
				for minute := range 10 {
					nudges := w.nudgesOf("")
					asked := w.askedIn(30 * time.Second)
					reads := w.readsIn(30 * time.Second)
					if reads > 601 {
						t.Errorf("minute %d: the pods were read %d times in 30 s", minute, reads)
					}
					if asked > 30*n {
						t.Errorf("minute %d: %d questions in 30 s", minute, asked)
					}
					t.Logf("minute %d: %d questions and %d reads in 30 s, %d nudges", minute, asked, reads, w.nudgesOf("")-nudges)
				}
			})
		})
	}
}

func setRejected(p *patient, _ int) {
	if strings.HasSuffix(p.pod.Name, "-0") {
		p.result, p.has = sidecarapi.Rejected, newContent
	}
}

// When an application has probably reloaded is not known of a pod any more whose node is lost.
func TestALostPodIsNotDueAllTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(5, 0.01, 2*time.Second) // nudges wait
		w.took = 2 * time.Second
		for _, p := range w.pods {
			p.takes = -1
		}
		w.pods["web-0"].has = newContent
		w.pods["web-1"].has, w.pods["web-1"].result = newContent, sidecarapi.Pending
		w.lead(t)
		w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
		after(10 * time.Second)
		w.change(func() { w.pods["web-1"].pod.Lost = true })
		after(5 * time.Second)
		if n := w.readsIn(30 * time.Second); n > 60 {
			t.Errorf("the pods were read %d times in 30 s", n)
		}
	})
}

// Pods may come while no sidecar of their workload can be reached, and their nudges may wait.
func TestPodsComeWhileNoSidecarCanBeReached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(4, 0.05, 2*time.Second) // one nudge in twenty seconds
		for _, p := range w.pods {
			p.closed = true
		}
		w.pursue(t, "t1")
		after(deadline + 2*lastClosedNudge)
		if verdict := w.state("t1").Verdict; verdict != decide.Unreachable {
			t.Fatalf("the verdict is %q", verdict)
		}
		w.change(func() {
			for i := range 20 {
				w.admit(fmt.Sprint("web-late-", i)).closed = true
			}
			w.size += 20
		})
		w.early.Add(web, use().Usages.Ref)
		after(time.Minute)
		w.change(func() {
			for _, p := range w.pods {
				p.closed, p.has = false, newContent
			}
		})
		after(2 * time.Minute)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
	})
}

// lastClosedNudge is how long after the deadline a pod is asked whose nudge waits.
const lastClosedNudge = 30 * time.Second
