package observe

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// metadataOf lists the metadata of what a lab has, two objects a page.
type metadataOf struct {
	metadata.Getter

	lab      *lab
	requests *atomic.Int32
	resource schema.GroupVersionResource
}

func (m metadataOf) Resource(resource schema.GroupVersionResource) metadata.Getter {
	m.resource = resource
	return m
}

func (m metadataOf) Namespace(string) metadata.ResourceInterface { return m }

func (m metadataOf) List(_ context.Context, options metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	m.requests.Add(1)
	kind := map[string]string{
		"configmaps": "ConfigMap", "secrets": "Secret", "deployments": "Deployment", "statefulsets": "StatefulSet",
		"daemonsets": "DaemonSet", "cronjobs": "CronJob",
	}[m.resource.Resource]
	list, err := m.lab.api.Tracker().List(m.resource, m.resource.GroupVersion().WithKind(kind), "")
	if err != nil {
		return nil, err
	}
	all, err := meta.ExtractList(list)
	if err != nil {
		return nil, err
	}
	from := 0
	if options.Continue != "" {
		if from, err = strconv.Atoi(options.Continue); err != nil {
			return nil, err
		}
	}
	page := &metav1.PartialObjectMetadataList{}
	m.lab.mu.Lock()
	page.ResourceVersion = strconv.Itoa(m.lab.version)
	m.lab.mu.Unlock()
	for i := from; i < min(from+2, len(all)); i++ {
		object, err := meta.Accessor(all[i])
		if err != nil {
			return nil, err
		}
		page.Items = append(page.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: object.GetNamespace(), Name: object.GetName(), ResourceVersion: object.GetResourceVersion(),
		}})
	}
	if from+2 < len(all) {
		page.Continue = strconv.Itoa(from + 2)
	}
	return page, nil
}

// comparing is a lab whose cache is compared with lists, what was found, and how many requests there were.
func comparing(t *testing.T, loses *atomic.Bool, all ...runtime.Object) (l *lab, found, requests *atomic.Int32, log *bytes.Buffer) {
	t.Helper()
	found, requests, log = &atomic.Int32{}, &atomic.Int32{}, &bytes.Buffer{}
	m := &metadataOf{requests: requests}
	l = open(t, all, func(o *Options) { o.Metadata, o.Log = m, slog.New(slog.NewTextHandler(log, nil)) })
	m.lab = l
	l.api.PrependWatchReactor("configmaps", func(action clienttesting.Action) (bool, watch.Interface, error) {
		w, err := l.api.Tracker().Watch(action.GetResource(), action.GetNamespace())
		return true, watch.Filter(w, func(event watch.Event) (watch.Event, bool) { return event, !loses.Load() }), err
	})
	l.cacheOf("").listedAs("ConfigMap").renew.again()
	time.Sleep(time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.CompareWithLists(ctx, func(n int) { found.Add(int32(n)) }) })
	stop := l.stop
	l.stop = func() { cancel(); running.Wait(); stop() }
	t.Cleanup(l.stop)
	l.heard()
	return l, found, requests, log
}

func (p *namespaceCache) listedAs(kind string) *listed {
	for _, one := range p.listed {
		if one.kind == kind {
			return one
		}
	}
	return nil
}

func TestComparingFindsWhatAWatchHasLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		loses := &atomic.Bool{}
		l, found, _, log := comparing(t, loses,
			objtest.ConfigMap("a", "k", "1"), objtest.ConfigMap("gone", "k", "1"), objtest.ConfigMap("same", "k", "1"),
			objtest.Deployment("web", objtest.EnvFrom(objtest.CM("a"))),
			objtest.Deployment("more", objtest.EnvFrom(objtest.CM("new").Optional()), objtest.EnvFrom(objtest.CM("gone").Optional())),
		)
		loses.Store(true)
		l.update(objtest.ConfigMap("a", "k", "2"))
		l.create(objtest.ConfigMap("new", "k", "1"))
		l.remove(objtest.ConfigMap("gone"))
		l.next() // of the deletion
		if heard := l.heard(); len(heard) > 0 {
			t.Fatalf("the watch has brought %v", heard)
		}
		loses.Store(false)
		time.Sleep(2 * time.Hour)
		want := []string{"SourceChanged Deployment/more", "SourceChanged Deployment/more", "SourceChanged Deployment/web"}
		if diff := cmp.Diff(want, l.heard()); diff != "" {
			t.Errorf("woken (-want +got):\n%s", diff)
		}
		if n := found.Load(); n != 3 {
			t.Errorf("%d found, want 3", n)
		}
		got := l.Source(configMap("a")).Keys
		if diff := cmp.Diff(source.OfConfigMap(objtest.ConfigMap("a", "k", "2")).Keys, got); diff != "" {
			t.Errorf("cached (-want +got):\n%s", diff)
		}
		time.Sleep(5 * time.Hour)
		if n := found.Load(); n != 3 {
			t.Errorf("%d found in the end, want 3", n)
		}
		l.stop()
		if n := strings.Count(log.String(), "level=WARN"); n != 3 {
			t.Errorf("%d warnings, want 3:\n%s", n, log)
		}
	})
}

func TestComparingFindsNothingWhereAllIsWell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, found, requests, _ := comparing(t, &atomic.Bool{}, objtest.ConfigMap("a", "k", "0"), objtest.Deployment("web", objtest.EnvFrom(objtest.CM("a"))))
		for i := range 300 {
			l.update(objtest.ConfigMap("a", "k", strconv.Itoa(i)))
			l.create(objtest.ConfigMap(fmt.Sprint("short-", i)))
			time.Sleep(30 * time.Second)
			l.remove(objtest.ConfigMap(fmt.Sprint("short-", i)))
			l.next()
		}
		if n := found.Load(); n != 0 {
			t.Errorf("%d found, want none", n)
		}
		// Two and a half passes over six kinds.
		if n := requests.Load(); n < 12 || n > 36 {
			t.Errorf("%d requests in 150 minutes", n)
		}
	})
}

// What is no longer watched stays as it was. Nobody has lost anything of it.
func TestComparingLeavesOutANamespaceThatIsNotWatchedAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		found, requests := &atomic.Int32{}, &atomic.Int32{}
		m := &metadataOf{requests: requests}
		matching := namespaceOf(objtest.Namespace, map[string]string{"follow": "yes"})
		l := open(t, objects(matching, objtest.ConfigMap("a", "k", "1"), objtest.Deployment("web", objtest.EnvFrom(objtest.CM("a")))), chosen,
			func(o *Options) { o.Metadata = m })
		m.lab = l
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.CompareWithLists(ctx, func(n int) { found.Add(int32(n)) }) })
		defer func() { cancel(); running.Wait() }()
		time.Sleep(time.Minute) // it has begun with the parts of the namespace
		l.remove(matching)
		synctest.Wait()
		l.update(objtest.ConfigMap("a", "k", "2"))
		time.Sleep(2 * time.Hour)
		if n := found.Load(); n != 0 {
			t.Errorf("%d found in a namespace that is not watched", n)
		}
	})
}
