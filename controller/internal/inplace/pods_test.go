package inplace_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
)

func TestAPodThatDoesNotRunYetIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(2)
		w.pods["web-1"].pod.Running = false
		w.pursue(t, "t1")
		after(deadline / 2)
		w.states(t, "t1", decide.InPlace{Sidecar: true})
		w.change(func() { w.pods["web-1"].pod.Running, w.pods["web-1"].takes = true, 1000 })
		after(deadline - 10*time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true}) // its time begins when it runs
		after(20 * time.Second)
		w.states(t, "t1", decide.InPlace{
			Sidecar: true, Verdict: decide.Overdue, Pod: "web-1", Message: "its kubelet has not brought the new content",
		})
	})
}

// There may be no place for it for days, and when it starts it reads the content.
func TestAPodThatNeverStartsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(2)
		w.pods["web-1"].pod.Running = false
		w.pursue(t, "t1")
		after(deadline - 10*time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true})
		after(20 * time.Second)
		w.states(t, "t1", decide.InPlace{
			Sidecar: true, Verdict: decide.Confirmed, Pod: "web-0", Message: "1 pod could not be asked (it does not run)",
		})
	})
}

func TestAContainerThatTheSidecarDoesNotWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(2)
		w.pods["web-1"].pod.Beyond = []source.Ref{use().Usages.Ref}
		w.pursue(t, "t1")
		w.states(t, "t1", decide.InPlace{
			Sidecar: true, Verdict: decide.Failed, Pod: "web-1", Message: "its sidecar does not watch ConfigMap conf, which a container mounts",
		})
	})
}

// It is no reason to roll where all containers have started with the content.
func TestAContainerThatTheSidecarDoesNotWatchInAYoungerPod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(2)
		time.Sleep(time.Minute)
		delete(w.pods, "web-1")
		w.admit("web-2").pod.Beyond = []source.Ref{use().Usages.Ref}
		w.pursue(t, "t1")
		after(time.Minute)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
	})
}

func TestAPodWithNothingOfTheChangeIsNotAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(1)
		w.pods["web-0"].pod.Mounts, w.pods["web-0"].fails = nil, errors.New("asked all the same")
		w.pursue(t, "t1")
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Nothing: true})
	})
}

func TestPodsComeAndGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(2)
		w.pods["web-0"].fails = errors.New("gone soon")
		w.pursue(t, "t1")
		after(3 * time.Second)
		w.change(func() {
			delete(w.pods, "web-0")
			fresh := w.admit("web-9")
			fresh.has, fresh.result = newContent, sidecarapi.None // it started with the content
			ended := w.admit("web-8")
			ended.pod.Over, ended.fails = true, errors.New("over")
		})
		after(10 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
	})
}

func TestPodsWithoutASidecar(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*ward)
		after  time.Duration
		want   decide.InPlace
	}{
		"one has none, or is not cached yet": {func(*ward) {}, 3 * time.Second, decide.InPlace{Sidecar: true}},
		"one has none":                       {func(*ward) {}, 8 * time.Second, decide.InPlace{}},
		"one ends, and is counted until it is replaced": {
			func(w *ward) { w.admit("web-9").pod.Over = true }, time.Minute, decide.InPlace{Sidecar: true},
		},
		"one ends for ever": {
			func(w *ward) { w.admit("web-9").pod.Over = true }, deadline + 10*time.Second, decide.InPlace{},
		},
		"one has none, and a rollout would break the others": {
			func(w *ward) { w.pods["web-0"].result = sidecarapi.Rejected }, time.Minute,
			decide.InPlace{Sidecar: true, Verdict: decide.Rejected, Pod: "web-0", Message: "said by web-0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWard(2)
				w.size = 3
				c.change(w)
				w.pursue(t, "t1")
				after(c.after)
				w.states(t, "t1", c.want)
				if c.want.Sidecar {
					return
				}
				w.change(func() { w.admit("web-2").has = newContent })
				after(time.Minute)
				w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
				if w.notified != 2 {
					t.Errorf("%d notifications, want 2", w.notified)
				}
			})
		})
	}
}

// The status of a workload that grows may be known before its pods are.
func TestAWorkloadThatGrowsLateIsNotOneWithoutSidecars(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(2)
		w.pods["web-0"].takes = 1000
		w.pursue(t, "t1")
		after(time.Minute)
		w.change(func() { w.size = 3 })
		after(5 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true})
		w.change(func() { w.admit("web-2").has = newContent })
		after(30 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true})
	})
}

func TestAWorkloadWithoutPodsHasNothingToReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(0)
		w.pursue(t, "t1")
		after(time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Nothing: true})
	})
}

// Its node may have gone before it ran: nobody waits until the deadline for it.
func TestAPodThatNeverRanOnALostNodeHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(2)
		p := &w.pods["web-1"].pod
		p.Running, p.Address, p.Lost = false, "", true
		w.pursue(t, "t1")
		after(5 * time.Second)
		w.states(t, "t1", decide.InPlace{
			Sidecar: true, Verdict: decide.Confirmed, Pod: "web-0", Message: "1 pod could not be asked (its node does not report)",
		})
	})
}

// A fault of this program ends neither the process nor the other reloads, and the workload is reloaded later.
func TestAPanicEndsOneReloadAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(2)
		w.pods["web-1"].panics = 3
		w.pursue(t, "t1")
		w.states(t, "t1", decide.InPlace{Sidecar: true})
		for range 4 { // each decision begins it again
			after(time.Minute)
			w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
		}
		after(10 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
	})
}
