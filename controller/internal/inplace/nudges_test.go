package inplace_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// admitTo adds pods of another workload.
func (w *ward) admitTo(key workload.Key, n int) {
	w.several = true
	for i := range n {
		p := w.admit(fmt.Sprintf("%s-%s-%d", key.Namespace, key.Name, i))
		p.pod.Namespace, p.pod.Workload = key.Namespace, key
		p.pod.Mounts = []observe.Mount{{Ref: source.Ref{Kind: source.ConfigMap, Namespace: key.Namespace, Name: "conf"}, Path: "/etc/conf"}}
	}
}

// nudgesOf counts the nudges of pods whose names have a prefix.
func (w *ward) nudgesOf(prefix string) (n int) {
	w.change(func() {
		for _, nudge := range w.nudges {
			if strings.HasPrefix(nudge, prefix) {
				n++
			}
		}
	})
	return n
}

// A source that is edited faster than its pods can be nudged is nudged for again, and not for each edit.
func TestNudgesOfOneSourceMerge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(3000, 1000, 2*time.Second) // three seconds of nudges
		for _, p := range w.pods {
			p.takes = -1
		}
		w.lead(t)
		for range 10 {
			w.early.Add(web, use().Usages.Ref)
			after(100 * time.Millisecond)
		}
		after(time.Minute)
		if n := w.nudgesOf(""); n < 3000 || n > 5000 {
			t.Errorf("%d nudges for ten edits in a second, want one for each of 3000 pods, and another one for those that got theirs before the last edit", n)
		}
	})
}

func TestAPodIsNudgedOnceInItsSettleTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(100, 1000, 2*time.Second)
		for _, p := range w.pods {
			p.takes = -1 // its kubelet brings nothing
		}
		edit := 0
		w.text = func() string { return fmt.Sprintf("edit-%03d", edit) }
		w.lead(t)
		for edit = range 600 { // ten in a second
			w.early.Add(web, use().Usages.Ref)
			after(100 * time.Millisecond)
		}
		after(10 * time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := len(w.nudges); n > 31*100 {
			t.Errorf("%d nudges of 100 pods in a minute, want one for each pod and settle time", n)
		}
		last := map[string]time.Time{}
		for i, nudge := range w.nudges {
			pod, _, _ := strings.Cut(nudge, " ")
			if before, ok := last[pod]; ok && w.at[i].Sub(before) < 2*time.Second {
				t.Fatalf("pod %s was nudged twice within %s", pod, w.at[i].Sub(before))
			}
			last[pod] = w.at[i]
		}
		if n := w.countText("edit-599"); n != 100 {
			t.Errorf("%d pods were nudged for the last edit, want all", n)
		}
		if last := w.at[len(w.at)-1]; time.Since(last) < 8*time.Second {
			t.Errorf("it took until %s to nudge for the last edit", last)
		}
	})
}

func TestNudgesAreFair(t *testing.T) {
	t.Parallel()
	ref := func(namespace string) source.Ref {
		return source.Ref{Kind: source.ConfigMap, Namespace: namespace, Name: "conf"}
	}
	large := workload.Key{Kind: "Deployment", Namespace: "shop", Name: "large"}
	for name, small := range map[string]workload.Key{
		"between namespaces": {Kind: "Deployment", Namespace: "bank", Name: "small"},
		"between workloads":  {Kind: "Deployment", Namespace: "shop", Name: "small"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWardAt(0, 10, 2*time.Second)
				w.admitTo(large, 400)
				w.admitTo(small, 3)
				w.lead(t)
				w.early.Add(large, ref("shop"))
				after(5 * time.Second)
				w.early.Add(small, ref(small.Namespace))
				after(time.Second)
				if n := w.nudgesOf(small.Namespace + "-small"); n != 3 {
					t.Errorf("%d of 3 pods were nudged within a second, while another workload has 400", n)
				}
			})
		})
	}
}

// Its kubelet brings the content within 90 s by itself.
func TestNoNudgeIsWrittenWhereTheKubeletWasFaster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(200, 10, 2*time.Second)
		w.lead(t)
		w.early.Add(web, use().Usages.Ref)
		w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
		after(5 * time.Second)
		w.change(func() {
			for _, p := range w.pods {
				p.has = newContent
			}
		})
		before := w.nudgesOf("")
		after(time.Minute)
		if n := w.nudgesOf("") - before; n > 10 {
			t.Errorf("%d nudges of pods that have the content, want none after the second in which an answer counts", n)
		}
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
	})
}

// A nudge that would come later than what the kubelet does by itself is left out.
func TestANudgeThatComesTooLateIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(2000, 10, 2*time.Second)
		for _, p := range w.pods {
			p.takes = -1
		}
		w.lead(t)
		w.early.Add(web, use().Usages.Ref)
		after(10 * time.Minute)
		if n := w.nudgesOf(""); n < 500 || n > 700 {
			t.Errorf("%d nudges, want those of one minute", n)
		}
	})
}

// A round must not wait for nudges: it would judge by what it heard minutes ago, and other pods would not be asked.
func TestQuestionsDoNotWaitForNudges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(1000, 1, 2*time.Second) // a thousand seconds of nudges
		for _, p := range w.pods {
			p.takes = -1
		}
		w.pursue(t, "t1")
		after(30 * time.Second) // the kubelets bring it
		w.change(func() {
			for _, p := range w.pods {
				p.has = newContent
			}
		})
		after(10 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
	})
}

// One source may be in the pods of two thousand workloads.
func TestQuestionsHaveOneBoundOverAllReloads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWardAt(0, 1000, 2*time.Second)
		w.takes = time.Second
		w.lead(t)
		for i := range 100 {
			key := workload.Key{Kind: "Deployment", Namespace: fmt.Sprintf("team-%d", i%10), Name: fmt.Sprintf("web%d", i)}
			w.change(func() { w.admitTo(key, 20) })
		}
		for i := range 100 {
			key := workload.Key{Kind: "Deployment", Namespace: fmt.Sprintf("team-%d", i%10), Name: fmt.Sprintf("web%d", i)}
			ref := source.Ref{Kind: source.ConfigMap, Namespace: key.Namespace, Name: "conf"}
			state := use()
			state.Usages.Ref, state.Snapshot.Ref = ref, ref
			cause := changes()
			cause[0].Ref = ref
			w.reloader.StartReload(key, "t1", []source.SourceState{state}, cause, time.Now())
		}
		after(time.Minute)
		w.change(func() {
			if w.mostAsks > 256 || w.mostAsks < 200 {
				t.Errorf("%d questions at the same time, want 256 at most", w.mostAsks)
			}
			for _, p := range w.pods {
				p.result = sidecarapi.Applied
			}
		})
	})
}
