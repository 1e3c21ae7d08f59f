package observe

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// lab is an observer at work, with the API server that it watches. It runs in a bubble.
type lab struct {
	t   *testing.T
	api *fake.Clientset
	*Observer

	stop func()

	mu       sync.Mutex
	version  int
	notes    []string
	watchers map[string]*watch.RaceFreeFakeWatcher // the newest, by resource
}

// open starts an observer that finds some objects.
func open(t *testing.T, objects []runtime.Object, change ...func(*Options)) *lab {
	t.Helper()
	l := &lab{t: t, api: fake.NewSimpleClientset(), watchers: map[string]*watch.RaceFreeFakeWatcher{}}
	for _, object := range objects {
		l.create(object)
	}
	l.api.PrependWatchReactor("*", func(action clienttesting.Action) (bool, watch.Interface, error) {
		restricted, ok := action.(clienttesting.WatchActionImpl)
		if !ok {
			t.Errorf("a watch of type %T", action)
		}
		w, err := l.api.Tracker().Watch(action.GetResource(), action.GetNamespace(), restricted.ListOptions)
		if free, ok := w.(*watch.RaceFreeFakeWatcher); ok {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.watchers[action.GetResource().Resource] = free
		}
		return true, w, err
	})
	options := Options{
		Client: l.api, Keys: annotation.DefaultKeys(), Kinds: workload.Kinds(), Log: slog.New(slog.DiscardHandler), Pods: true, Sources: []source.Kind{source.ConfigMap, source.Secret},
		Enqueue:  func(key workload.Key, change Change) { l.note(fmt.Sprintf("%s %s/%s", change, key.Kind, key.Name)) },
		NudgeNow: func(workload.Key, source.Ref) {},
	}
	for _, f := range change {
		f(&options)
	}
	var err error
	if l.Observer, err = New(options); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	l.stop = func() { cancel(); running.Wait() }
	t.Cleanup(l.stop)
	if !l.WaitForSync(ctx) {
		t.Fatal("not in sync")
	}
	synctest.Wait()
	return l
}

func (l *lab) note(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, text)
}

// heard returns what was notified since the last call, sorted.
func (l *lab) heard() []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	notes := l.notes
	l.notes = nil
	slices.Sort(notes)
	return notes
}

func resourceOf(object runtime.Object) schema.GroupVersionResource {
	switch object.(type) {
	case *corev1.ConfigMap:
		return corev1.SchemeGroupVersion.WithResource("configmaps")
	case *corev1.Secret:
		return corev1.SchemeGroupVersion.WithResource("secrets")
	case *corev1.Namespace:
		return corev1.SchemeGroupVersion.WithResource("namespaces")
	case *corev1.Pod:
		return corev1.SchemeGroupVersion.WithResource("pods")
	case *appsv1.StatefulSet:
		return appsv1.SchemeGroupVersion.WithResource("statefulsets")
	case *appsv1.DaemonSet:
		return appsv1.SchemeGroupVersion.WithResource("daemonsets")
	}
	return appsv1.SchemeGroupVersion.WithResource("deployments")
}

// next is the resource version of the next write.
func (l *lab) next() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.version++
	return l.version
}

// stamped is an object as an API server stores it: with the next resource version and the time of the write.
func (l *lab) stamped(object runtime.Object) (runtime.Object, metav1.Object) {
	l.t.Helper()
	written := object.DeepCopyObject()
	meta, ok := written.(metav1.Object)
	if !ok {
		l.t.Fatalf("%T has no metadata", object)
	}
	meta.SetResourceVersion(strconv.Itoa(l.next()))
	meta.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "test", Time: new(metav1.NewTime(time.Now()))}})
	return written, meta
}

func (l *lab) create(object runtime.Object) {
	l.t.Helper()
	written, meta := l.stamped(object)
	if err := l.api.Tracker().Create(resourceOf(object), written, meta.GetNamespace()); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) update(object runtime.Object) {
	l.t.Helper()
	written, meta := l.stamped(object)
	if err := l.api.Tracker().Update(resourceOf(object), written, meta.GetNamespace()); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) remove(object runtime.Object) {
	l.t.Helper()
	meta, _ := object.(metav1.Object)
	if err := l.api.Tracker().Delete(resourceOf(object), meta.GetNamespace(), meta.GetName()); err != nil {
		l.t.Fatal(err)
	}
}

// relist breaks the watch of a resource. What changes meanwhile is found by a new list.
func (l *lab) relist(resource string, meanwhile func()) {
	synctest.Wait()
	l.mu.Lock()
	w := l.watchers[resource]
	l.mu.Unlock()
	w.Error(&metav1.Status{Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired})
	synctest.Wait()
	meanwhile()
	time.Sleep(time.Minute) // the reflector's back-off
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchers[resource] == w {
		l.t.Fatalf("%s are not watched again", resource)
	}
}

func objects(all ...runtime.Object) []runtime.Object { return all }

func deployment(name string) workload.Key {
	return workload.Key{Kind: "Deployment", Namespace: objtest.Namespace, Name: name}
}

func configMap(name string) source.Ref {
	return source.Ref{Kind: source.ConfigMap, Namespace: objtest.Namespace, Name: name}
}

func secret(name string) source.Ref {
	return source.Ref{Kind: source.Secret, Namespace: objtest.Namespace, Name: name}
}

// at is the moment of the newest write.
func (l *lab) at() source.Moment {
	return source.Moment{Version: uint64(l.version), Time: time.Now()}
}

func kindOf(t *testing.T, name string) workload.Kind {
	t.Helper()
	kind, ok := workload.KindOf(name)
	if !ok {
		t.Fatalf("no kind %s", name)
	}
	return kind
}
