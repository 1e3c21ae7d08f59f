package reconcile_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// replaceKey replaces the digest key and the process with it. What happens in between nobody sees.
func (w *fakeCluster) replaceKey(stop func(), key *byte, between func()) (again func()) {
	w.t.Helper()
	stop()
	between()
	digester, err := source.NewDigester(bytes.Repeat([]byte{*key}, 32))
	if err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	w.set(func() {
		w.digester = digester
		for key, one := range w.workloads {
			one.View.TemplateChanged = source.Moment{}
			w.workloads[key] = one
		}
	})
	w.restart()
	return w.lead()
}

// The key is lost with nobody there, and the source was edited: the change is found, and nothing else is rolled.
func TestAChangeOutlivesTheDigestKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.set(func() { w.cut = true })
		w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"))
		time.Sleep(10 * time.Second)
		w.apply(auto("web", "a"), auto("quiet", "b"))
		stop := w.lead()
		time.Sleep(time.Hour)
		w.set(func() { w.writes = nil })
		w.replaceKey(stop, new(byte(8)), func() { w.apply(objtest.ConfigMap("a", "k", "1")) })
		time.Sleep(time.Hour)
		got := w.done()
		slices.Sort(got)
		if diff := cmp.Diff([]string{"recorded quiet", "rolled web"}, got); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
		if n := w.metric("inpod_baselines_unreadable_total"); n != 2 || w.lists != 1 {
			t.Errorf("%v unreadable baselines, %d lists", n, w.lists)
		}
	})
}

// What nobody can know is reported, once, and recorded. The next change is found.
func TestWhatNobodyKnowsAfterTheKeyIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.set(func() { w.cut = true })
		web := objtest.Deployment("web", objtest.Annotation("reloader.stakater.com/auto", "true"), objtest.Env(objtest.CM("a"), "k"))
		w.apply(objtest.ConfigMap("a", "k", "0", "unused", "0"), web)
		stop := w.lead()
		time.Sleep(time.Hour)
		w.set(func() { w.writes = nil })
		w.replaceKey(stop, new(byte(8)), func() { w.apply(objtest.ConfigMap("a", "k", "0", "unused", "1")) })
		time.Sleep(time.Hour)
		if n := w.count("ContentUnknown"); n != 1 || !slices.Equal(w.done(), []string{"recorded web"}) {
			t.Errorf("writes %v, events %q", w.done(), w.reported())
		}
		w.apply(objtest.ConfigMap("a", "k", "1", "unused", "1"))
		time.Sleep(time.Minute)
		if n := len(w.rolled("web")); n != 1 {
			t.Errorf("%d rollouts for the next change", n)
		}
	})
}

// What nobody can know is not recorded before it can be reported.
func TestWhatNobodyKnowsIsReportedWhereNothingHasSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.set(func() { w.cut = true })
		w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
		stop := w.lead()
		time.Sleep(time.Hour)
		w.set(func() { w.writes = nil })
		w.replaceKey(stop, new(byte(8)), func() {
			w.apply(objtest.ConfigMap("a", "k", "1"))
			w.set(func() {
				web := w.workloads[deployment("web")]
				web.View.Selector = "" // which of the pods are its own is not known
				w.workloads[deployment("web")], w.unsteady = web, time.Minute
			})
		})
		time.Sleep(time.Hour)
		w.set(func() { w.unsteady = 0 })
		time.Sleep(time.Hour)
		if n := w.count("ContentUnknown"); n != 1 || !slices.Equal(w.done(), []string{"recorded web"}) {
			t.Errorf("writes %v, events %q", w.done(), w.reported())
		}
	})
}

// A random history in which the key is replaced again and again: all pods have the content in the end, and nothing was
// rolled whose pods had it.
func TestTheDigestKeyRollsNothingAndLosesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { keysAreReplaced(t, seed) })
		})
	}
}

// inOneSecond reports whether pods of a workload started in the second in which their source changed, so that nobody can
// know which came first.
func (w *fakeCluster) inOneSecond(names ...string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := w.sources[source.ConfigMap.Ref(objtest.Namespace, "a")].Changed.Time.Truncate(time.Second)
	return slices.ContainsFunc(names, func(name string) bool { return w.started[deployment(name)].Truncate(time.Second).Equal(changed) })
}

func keysAreReplaced(t *testing.T, seed uint64) {
	t.Helper()
	w := newFakeCluster(t)
	r := rand.New(rand.NewPCG(seed, 12))
	has := map[string]string{} // by workload: the content that its pods have
	content := func() string { return fmt.Sprint(w.sources[source.ConfigMap.Ref(objtest.Namespace, "a")].Keys) }
	edits := 0
	edit := func(name string) {
		edits++
		w.apply(objtest.ConfigMap(name, "k", strconv.Itoa(edits)))
	}
	template := func(name string) {
		edits++
		parts := []objtest.Part{objtest.Annotation("reloader.stakater.com/auto", "true"), objtest.Var("V", strconv.Itoa(edits)), objtest.EnvFrom(objtest.CM("a"))}
		if name == "paused" {
			parts = append(parts, objtest.Annotation("deployment.reloader.stakater.com/pause-period", "15m"))
		}
		w.apply(objtest.Deployment(name, parts...))
		w.set(func() { has[name] = content() })
	}
	some := func() { // a workload that does not use every key
		w.apply(objtest.Deployment("some", objtest.Annotation("reloader.stakater.com/auto", "true"), objtest.Env(objtest.CM("s"), "k")))
	}
	w.set(func() { w.cut = true })
	w.onCommit = func(key workload.Key, done written) {
		switch now := content(); {
		case !done.rollout:
		case key.Name == "some":
			t.Error("some was rolled, and nothing that it uses has changed")
		case has[key.Name] == now:
			t.Errorf("%s: %s was rolled, and its pods had everything", done.at, key.Name)
		default:
			has[key.Name] = now
		}
	}
	edit("a")
	w.apply(objtest.ConfigMap("s", "k", "0", "unused", "0"))
	time.Sleep(2 * time.Second)
	template("web")
	template("paused")
	some()
	stop := w.lead()
	time.Sleep(time.Hour)
	key := byte(7)
	replace := func(between func()) {
		stop = w.replaceKey(stop, &key, func() {
			between()
			if !w.inOneSecond("web", "paused") {
				key++
			}
		})
	}
	for range 20 {
		switch r.IntN(8) {
		case 0, 1:
			edit("a")
		case 2: // an edit that nobody sees
			replace(func() { edit("a") })
		case 3: // one that does not settle
			edit("a")
			time.Sleep(time.Duration(r.IntN(1900)) * time.Millisecond)
			replace(func() {})
		case 4: // right after it was rolled
			edit("a")
			time.Sleep(time.Duration(2100+r.IntN(3000)) * time.Millisecond)
			replace(func() {})
		case 5: // with the template
			edit("a")
			time.Sleep(1500 * time.Millisecond)
			template("web")
			time.Sleep(time.Duration(r.IntN(8000)) * time.Millisecond)
			replace(func() {})
		case 6: // nothing at all is the matter, and what nobody uses changes
			w.apply(objtest.ConfigMap("s", "k", "0", "unused", strconv.Itoa(r.IntN(100))))
			replace(func() {})
		case 7:
			replace(func() {})
		}
		time.Sleep(time.Duration(r.IntN([]int{10, 1500}[r.IntN(2)])) * time.Second)
	}
	time.Sleep(2 * time.Hour)
	stop()
	w.set(func() {
		for _, name := range []string{"web", "paused"} {
			if has[name] != content() {
				t.Errorf("the pods of %s have old content", name)
			}
		}
	})
}
