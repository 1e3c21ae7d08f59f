package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

const (
	listed = "configmap.reloader.stakater.com/reload"
	search = "reloader.stakater.com/search"
)

// listing is a workload whose lists were written at the moment at which it is applied.
func (w *fakeCluster) listing(objects ...metav1.Object) {
	w.apply(objects...)
	w.set(func() {
		for key, one := range w.workloads {
			one.ListedAt = time.Now()
			w.workloads[key] = one
		}
	})
	for _, object := range objects {
		w.wake(deployment(object.GetName()), observe.WorkloadChanged)
	}
}

func TestAListThatMatchesNothingIsReportedWhenItStaysSo(t *testing.T) {
	t.Parallel()
	const want = `Warning NothingMatches web: annotation configmap.reloader.stakater.com/reload: no ConfigMap in namespace shop matches "wbe", "x.*"; ` +
		"a workload follows only sources of its own namespace"
	for name, tc := range map[string]struct {
		list string
		then func(*fakeCluster)
		set  func(*reconcile.Options)
		want []string
	}{
		"and not before":                   {list: "a, wbe, x.*", want: []string{want}},
		"but not what comes later":         {list: "late", then: func(w *fakeCluster) { w.apply(objtest.ConfigMap("late", "k", "1")) }, set: func(o *reconcile.Options) { o.Rules.OnCreate = false }},
		"but not what is not watched":      {list: "wbe", set: func(o *reconcile.Options) { o.Rules.Ignored = []source.Kind{source.ConfigMap} }},
		"but not what may be out of sight": {list: "wbe", set: func(o *reconcile.Options) { o.Rules = decide.Options{Filtered: true} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var change []func(*reconcile.Options)
				if tc.set != nil {
					change = append(change, tc.set)
				}
				w := newFakeCluster(t, change...)
				w.apply(objtest.ConfigMap("a", "k", "0"))
				w.lead()
				w.listing(objtest.Deployment("web", objtest.Annotation(listed, tc.list)))
				time.Sleep(9 * time.Minute)
				if got := w.reported(); len(got) > 0 {
					t.Errorf("early: %q", got)
				}
				if tc.then != nil {
					tc.then(w)
				}
				time.Sleep(time.Hour)
				if diff := cmp.Diff(tc.want, w.reported()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// One that is deleted may be recreated.
func TestWhatWasDeletedMatchesNothingWhenItStaysSo(t *testing.T) {
	t.Parallel()
	const nothing = "Warning NothingMatches web: annotation configmap.reloader.stakater.com/reload: no ConfigMap in namespace shop matches "
	for name, tc := range map[string]struct {
		list     string
		onDelete bool
		again    bool // within ten minutes
		want     []string
	}{
		"by name":                        {list: "a", onDelete: true, want: []string{`Normal Reloaded web: `, nothing + `"a"; a workload`}},
		"by a pattern":                   {list: "b.*,a.*", onDelete: true, want: []string{`Normal Reloaded web: `, nothing + `"a.*"; a workload`}},
		"where that is no reason to act": {list: "a"}, // the baseline still has it
		"by name, and it is recreated":   {list: "a", onDelete: true, again: true, want: []string{`Normal Reloaded web: `}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t, func(o *reconcile.Options) { o.Rules.OnDelete, o.Rules.OnCreate = tc.onDelete, false })
				w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"))
				w.lead()
				w.listing(objtest.Deployment("web", objtest.Annotation(listed, tc.list)))
				web := func() { w.wake(deployment("web"), observe.SourceChanged) }
				time.Sleep(time.Hour)
				w.remove(configMap("a"))
				web()
				time.Sleep(9 * time.Minute)
				early := slices.DeleteFunc(w.reported(), func(event string) bool { return !strings.Contains(event, "NothingMatches") })
				if len(early) > 0 {
					t.Errorf("early: %q", early)
				}
				if tc.again {
					w.apply(objtest.ConfigMap("a", "k", "0"))
					web()
				}
				time.Sleep(time.Hour)
				got := w.reported()
				if len(got) != len(tc.want) {
					t.Fatalf("events %q, want %q", got, tc.want)
				}
				for i, event := range got {
					if !strings.HasPrefix(event, tc.want[i]) {
						t.Errorf("event %q, want %q", event, tc.want[i])
					}
				}
			})
		})
	}
}

func TestASearchThatFindsNothingIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), objtest.Annotated(objtest.ConfigMap("b", "k", "0"), "reloader.stakater.com/match", "true"))
		w.lead()
		w.listing(objtest.Deployment("web", objtest.Annotation(search, "true"), objtest.EnvFrom(objtest.CM("a"))),
			objtest.Deployment("found", objtest.Annotation(search, "true"), objtest.EnvFrom(objtest.CM("a")), objtest.EnvFrom(objtest.CM("b"))))
		time.Sleep(time.Hour)
		want := []string{`Warning NothingMatches web: annotation reloader.stakater.com/search: no source that the workload uses has the annotation reloader.stakater.com/match: "true"`}
		if diff := cmp.Diff(want, w.reported()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// mistake is a ConfigMap with a key that does not count.
func mistake(name, key string, misplaced bool) observe.Mistake {
	return observe.Mistake{
		About:  corev1.ObjectReference{Kind: "ConfigMap", Namespace: objtest.Namespace, Name: name, UID: types.UID(name)},
		Source: configMap(name), Problems: []annotation.Problem{{Key: key, Fault: "does not count", Misplaced: misplaced}},
	}
}

func TestMistakesOnSourcesAreReportedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.mistakes = []observe.Mistake{mistake("a", "x", false)}
		w.lead()
		time.Sleep(time.Minute)
		for range 3 { // other mistakes may have come and gone
			w.queue.Mistaken()
			time.Sleep(time.Minute)
		}
		if diff := cmp.Diff([]string{"Warning InvalidAnnotation a: annotation x: does not count"}, w.reported()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		w.set(func() { w.mistakes = nil })
		w.queue.Mistaken()
		time.Sleep(time.Minute)
		w.set(func() { w.mistakes = []observe.Mistake{mistake("a", "x", false)} })
		w.queue.Mistaken()
		time.Sleep(time.Minute)
		if n := len(w.reported()); n != 2 {
			t.Errorf("%d events after it was recreated, want 2", n)
		}
	})
}

// Tools put the same annotations onto everything that they make. The key of a workload on a ConfigMap is a mistake only where the
// workload does not have it.
func TestTheKeyOfAWorkloadOnASourceIsReportedUnlessAWorkloadFollowsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"))
		w.set(func() { w.mistakes = []observe.Mistake{mistake("a", "x", true), mistake("b", "x", true)} })
		w.lead()
		time.Sleep(50 * time.Second)
		w.apply(auto("web", "a")) // it comes later
		if got := w.reported(); len(got) > 0 {
			t.Errorf("early: %q", got)
		}
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]string{"Warning InvalidAnnotation b: annotation x: does not count"}, w.reported()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// A namespace that a tool gave the keys of its workloads is none either.
func TestTheKeyOfAWorkloadOnANamespaceIsReportedUnlessAWorkloadOfItHasIt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		then []metav1.Object
		want []string
	}{
		"a workload has it": {then: []metav1.Object{objtest.Deployment("web", objtest.Annotation(search, "true"))}},
		"no workload has it": {
			then: []metav1.Object{objtest.Deployment("web")}, want: []string{"Warning InvalidAnnotation shop: annotation reloader.stakater.com/search: does not count"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t)
				w.mistakes = []observe.Mistake{{
					About:    corev1.ObjectReference{Kind: "Namespace", Namespace: objtest.Namespace, Name: objtest.Namespace, UID: "n"},
					Problems: []annotation.Problem{{Key: search, Fault: "does not count", Misplaced: true}},
				}}
				w.lead()
				time.Sleep(50 * time.Second)
				w.apply(tc.then...) // it comes later
				if got := w.reported(); len(got) > 0 {
					t.Errorf("early: %q", got)
				}
				time.Sleep(time.Hour)
				if diff := cmp.Diff(tc.want, w.reported()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestManyMistakesAreReportedAFewAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		for i := range 500 {
			one := mistake(fmt.Sprintf("cm-%d", i), "x", false)
			one.About.UID = types.UID(one.About.Name)
			w.mistakes = append(w.mistakes, one)
		}
		w.lead()
		time.Sleep(time.Second)
		if n := len(w.reported()); n != 50 {
			t.Errorf("%d events at once", n)
		}
		time.Sleep(time.Minute)
		if n := len(w.reported()); n != 500 {
			t.Errorf("%d events in all", n)
		}
	})
}
