package observe

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/annotation"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// templateChanged is when the template of web got its form, as far as the observer has seen it.
func (l *lab) templateChanged() source.Moment {
	l.t.Helper()
	synctest.Wait()
	w, ok := l.Workload(deployment("web"))
	if !ok {
		l.t.Fatal("web is not cached")
	}
	return w.TemplateChanged
}

func (l *lab) wantTemplateChanged(want source.Moment, when string) {
	l.t.Helper()
	if diff := cmp.Diff(want, l.templateChanged()); diff != "" {
		l.t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func scaled(replicas int32, nsCaches ...obj.Part) runtime.Object {
	d := obj.Deployment("web", nsCaches...)
	d.Status.Replicas = replicas
	return d
}

func TestAnEditOfATemplateThatWasSeenIsItsMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(scaled(1)))
		l.wantTemplateChanged(source.Moment{}, "nothing was seen")

		l.update(scaled(2))
		l.wantTemplateChanged(source.Moment{}, "a write of the status says nothing of the template")

		time.Sleep(time.Minute)
		l.update(scaled(2, obj.Var("VERSION", "2")))
		edited := l.at()
		l.wantTemplateChanged(edited, "after an edit")

		time.Sleep(time.Minute)
		l.update(scaled(3, obj.Var("VERSION", "2")))
		l.wantTemplateChanged(edited, "a write of the status after it")

		l.relist("deployments", func() { l.update(scaled(4, obj.Var("VERSION", "2"))) })
		l.wantTemplateChanged(edited, "a new list with the same template")

		l.update(scaled(4, obj.Var("VERSION", "3")))
		l.wantTemplateChanged(l.at(), "the next edit")
	})
}

// When it was edited among the writes that were missed is not known.
func TestAnEditThatWasMissedHasNoMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(scaled(1)))
		l.update(scaled(1, obj.Var("VERSION", "2")))
		l.relist("deployments", func() { l.update(scaled(1, obj.Var("VERSION", "3"))) })
		l.wantTemplateChanged(source.Moment{}, "an edit found by a new list")

		l.update(scaled(2, obj.Var("VERSION", "3")))
		l.wantTemplateChanged(source.Moment{}, "a write of the status after it")

		l.update(scaled(2, obj.Var("VERSION", "4")))
		l.wantTemplateChanged(l.at(), "an edit that was seen after it")
	})
}

func TestAWorkloadThatIsRecreatedInheritsNoMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(scaled(1)))
		l.update(scaled(1, obj.Var("VERSION", "2")))
		l.remove(scaled(1))
		again := obj.Deployment("web", obj.Var("VERSION", "2"))
		again.UID = "another"
		l.create(again)
		l.wantTemplateChanged(source.Moment{}, "recreated")
	})
}

// Several writes that arrive before the store has caught up are distinguished.
func TestWritesInARowAreDistinguished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(scaled(1)))
		l.update(scaled(1, obj.Var("VERSION", "2")))
		edited := l.at()
		l.update(scaled(2, obj.Var("VERSION", "2")))
		l.update(scaled(3, obj.Var("VERSION", "2")))
		l.wantTemplateChanged(edited, "an edit and two writes of the status")
	})
}

func TestTheMomentOfASourceIsThatOfItsContent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(obj.ConfigMap("a", "k", "0")))
		want := l.at()
		check := func(when string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, l.Source(configMap("a")).Changed); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		check("at the start")
		edited := func(is bool) {
			t.Helper()
			if got := l.Source(configMap("a")).Edited; got != is {
				t.Errorf("edited %t, want %t", got, is)
			}
		}
		edited(false)

		time.Sleep(time.Minute)
		l.update(obj.Annotated(obj.ConfigMap("a", "k", "0"), "reloader.stakater.com/match", "true"))
		check("after an edit of an annotation")
		edited(false)
		if !l.Source(configMap("a")).Match {
			t.Error("the origin is not seen")
		}

		l.update(obj.ConfigMap("a", "k", "1"))
		want = l.at()
		check("after an edit of the content")
		edited(true)

		l.relist("configmaps", func() { l.update(obj.Annotated(obj.ConfigMap("a", "k", "1"), "a", "b")) })
		check("after a new list with the same content")

		l.relist("configmaps", func() { l.update(obj.ConfigMap("a", "k", "2")) })
		want = source.Moment{Version: uint64(l.version), Time: time.Now().Add(-time.Minute)} // relist waits for a minute
		check("after a new list with other content: not before this")

		l.remove(obj.ConfigMap("a"))
		again := obj.ConfigMap("a", "k", "2")
		again.UID = "another"
		l.create(again)
		want = l.at()
		check("recreated")
	})
}

func TestTheMomentIsTheNewestWrite(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	entry := func(at time.Time) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Time: new(metav1.NewTime(at))}
	}
	for name, c := range map[string]struct {
		version string
		fields  []metav1.ManagedFieldsEntry
		want    source.Moment
	}{
		"of several managers":          {"7", []metav1.ManagedFieldsEntry{entry(noon), entry(noon.Add(time.Hour)), entry(noon.Add(-time.Hour))}, source.Moment{Version: 7, Time: noon.Add(time.Hour)}},
		"without managers":             {"7", nil, source.Moment{Version: 7}},
		"a manager without a time":     {"7", []metav1.ManagedFieldsEntry{{}}, source.Moment{Version: 7}},
		"a version that is no number":  {"a7", nil, source.Moment{}},
		"the largest version there is": {"18446744073709551615", nil, source.Moment{Version: 1<<64 - 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			meta := &metav1.ObjectMeta{ResourceVersion: c.version, ManagedFields: c.fields}
			if diff := cmp.Diff(c.want, source.MomentOf(meta)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The API server streams the first list to clients that can take it, which halves the memory at the start.
func TestTrackingTheOriginKeepsWhatClientGoAsksFor(t *testing.T) {
	t.Parallel()
	for _, unsupported := range []bool{true, false} {
		lw := withOrigin(declared{unsupported: unsupported})
		asked, ok := lw.(interface{ IsWatchListSemanticsUnSupported() bool })
		if !ok || asked.IsWatchListSemanticsUnSupported() != unsupported {
			t.Errorf("unsupported %t is not passed on", unsupported)
		}
	}
	asked, _ := withOrigin(&cache.ListWatch{}).(interface{ IsWatchListSemanticsUnSupported() bool })
	if asked.IsWatchListSemanticsUnSupported() {
		t.Error("a client that says nothing cannot stream")
	}
}

type declared struct {
	cache.ListerWatcher

	unsupported bool
}

func (d declared) IsWatchListSemanticsUnSupported() bool { return d.unsupported }

// A list that is streamed comes as events that say "added", and says nothing of what was before.
func TestOnlyWhatWasModifiedIsFromWatch(t *testing.T) {
	t.Parallel()
	stream := watch.NewFakeWithOptions(watch.FakeOptions{ChannelSize: 4})
	w, err := cache.ToListerWatcherWithContext(withOrigin(&cache.ListWatch{
		WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) { return stream, nil },
	})).WatchWithContext(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	stream.Add(obj.Deployment("web"))
	stream.Modify(obj.Deployment("web"))
	stream.Action(watch.Bookmark, obj.Deployment("web"))
	stream.Delete(obj.Deployment("web"))
	for _, want := range []watch.EventType{watch.Added, watch.Modified, watch.Bookmark, watch.Deleted} {
		event := <-w.ResultChan()
		object, ok := event.Object.(metav1.Object)
		if !ok || event.Type != want || isFromWatch(object) != (want == watch.Modified) {
			t.Errorf("%s, from a watch %t; want %s", event.Type, isFromWatch(object), want)
		}
	}
}

// client-go transforms what it has streamed a second time.
func TestAWorkloadIsReducedOnce(t *testing.T) {
	t.Parallel()
	last := newLastSeen[*workloadItem]()
	item, err := reduceWorkload(scaled(1), kindOf(t, "Deployment"), annotation.NewChecker(annotation.DefaultKeys()), last)
	if err != nil {
		t.Fatal(err)
	}
	again, err := reduceWorkload(item, kindOf(t, "Deployment"), annotation.NewChecker(annotation.DefaultKeys()), last)
	if err != nil || again != item {
		t.Errorf("%T, %v", again, err)
	}
}

func TestLastSeenForgetsDeletedObjects(t *testing.T) {
	t.Parallel()
	item := func(uid types.UID) *sourceItem {
		return &sourceItem{kept: kept{Namespace: "shop", Name: "a", UID: uid}}
	}
	h := newLastSeen[*sourceItem]()
	h.put(item("1"))
	h.put(item("2")) // made again
	h.forget(item("1"))
	if got, ok := h.get(item("1")); !ok || got.UID != "2" {
		t.Errorf("what was recreated is forgotten: %+v", got)
	}
	h.forget(item("2"))
	if len(h.items) > 0 {
		t.Errorf("what is gone is kept: %v", h.items)
	}
}

// The origin must not reach what is kept: an object that is listed later would carry it.
func TestTheOriginIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(scaled(1)))
		l.update(scaled(1, obj.Var("VERSION", "2")))
		synctest.Wait()
		for _, object := range l.cacheOf(obj.Namespace).workloads["Deployment"].GetStore().List() {
			item, ok := object.(*workloadItem)
			if !ok {
				t.Fatalf("%s in the store", reflect.TypeOf(object))
			}
			if item.GetSelfLink() != "" {
				t.Errorf("selfLink %q", item.GetSelfLink())
			}
		}
	})
}
