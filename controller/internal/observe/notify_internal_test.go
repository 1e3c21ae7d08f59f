package observe

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

const (
	namedConfigMaps = "configmap.reloader.stakater.com/reload"
	match           = "reloader.stakater.com/match"
	ignore          = "reloader.stakater.com/ignore"
)

// shop has users of the ConfigMap conf and others.
func shop() []runtime.Object {
	elsewhere := obj.Deployment("elsewhere", obj.EnvFrom(obj.CM("conf")))
	elsewhere.Namespace = "other"
	return objects(
		obj.ConfigMap("conf", "k", "0"), obj.ConfigMap("unused", "k", "0"), obj.Secret("conf", "k", "0"),
		obj.Deployment("env", obj.EnvFrom(obj.CM("conf"))),
		obj.StatefulSet("mounts", obj.Mount(obj.CM("conf"))),
		obj.DaemonSet("sub", obj.SubPath(obj.CM("conf"), "k")),
		obj.Deployment("names", obj.Annotation(namedConfigMaps, "x,conf")),
		obj.Deployment("names-on-template", obj.TemplateAnnotation(namedConfigMaps, "conf")),
		obj.Deployment("pattern", obj.Annotation(namedConfigMaps, "con.*")),
		obj.Deployment("secret", obj.EnvFrom(obj.Sec("conf"))),
		obj.Deployment("twice", obj.EnvFrom(obj.CM("conf")), obj.Mount(obj.CM("conf")), obj.Annotation(namedConfigMaps, "conf,c.*f")),
		obj.Deployment("else", obj.EnvFrom(obj.CM("else"))),
		elsewhere,
	)
}

func dependents() []string {
	return []string{
		"SourceChanged DaemonSet/sub", "SourceChanged Deployment/env", "SourceChanged Deployment/names",
		"SourceChanged Deployment/names-on-template", "SourceChanged Deployment/pattern", "SourceChanged Deployment/twice",
		"SourceChanged StatefulSet/mounts",
	}
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	labeled := func(object *corev1.ConfigMap) *corev1.ConfigMap {
		object.Labels = map[string]string{"a": "b"}
		return object
	}
	for name, c := range map[string]struct {
		change func(l *lab)
		want   []string
	}{
		"what was there at the start notifies nobody": {func(*lab) {}, nil},
		"content":                    {func(l *lab) { l.update(obj.ConfigMap("conf", "k", "1")) }, dependents()},
		"a key more":                 {func(l *lab) { l.update(obj.ConfigMap("conf", "k", "0", "l", "0")) }, dependents()},
		"a key that moves to binary": {func(l *lab) { l.update(obj.Binary(obj.ConfigMap("conf"), "k", "0")) }, dependents()},
		"content of a Secret":        {func(l *lab) { l.update(obj.Secret("conf", "k", "1")) }, []string{"SourceChanged Deployment/secret"}},
		"content that nobody uses":   {func(l *lab) { l.update(obj.ConfigMap("unused", "k", "1")) }, nil},
		"a label":                    {func(l *lab) { l.update(labeled(obj.ConfigMap("conf", "k", "0"))) }, nil},
		"an annotation":              {func(l *lab) { l.update(obj.Annotated(obj.ConfigMap("conf", "k", "0"), "a", "b")) }, nil},
		"the match annotation":       {func(l *lab) { l.update(obj.Annotated(obj.ConfigMap("conf", "k", "0"), match, "true")) }, dependents()},
		"the ignore annotation":      {func(l *lab) { l.update(obj.Annotated(obj.ConfigMap("conf", "k", "0"), ignore, "true")) }, dependents()},
		"an annotation with a value that does not count": {
			func(l *lab) { l.update(obj.Annotated(obj.ConfigMap("conf", "k", "0"), match, "yes")) }, nil,
		},
		"a source that is deleted":              {func(l *lab) { l.remove(obj.ConfigMap("conf")) }, dependents()},
		"a source that appears":                 {func(l *lab) { l.create(obj.ConfigMap("else", "k", "0")) }, []string{"SourceChanged Deployment/else"}},
		"a source that a pattern does not name": {func(l *lab) { l.create(obj.ConfigMap("bconf", "k", "0")) }, nil},
		"a source that a pattern names":         {func(l *lab) { l.create(obj.ConfigMap("conf2", "k", "0")) }, []string{"SourceChanged Deployment/pattern"}},
		"a source in another namespace": {func(l *lab) {
			cm := obj.ConfigMap("conf", "k", "0")
			cm.Namespace = "other"
			l.create(cm)
		}, []string{"SourceChanged Deployment/elsewhere"}},

		"the annotations of a workload": {
			func(l *lab) {
				l.update(obj.Deployment("env", obj.EnvFrom(obj.CM("conf")), obj.Annotation("reloader.stakater.com/auto", "true")))
			},
			[]string{"WorkloadChanged Deployment/env"},
		},
		"annotations that mean nothing": {
			func(l *lab) { l.update(obj.Deployment("env", obj.EnvFrom(obj.CM("conf")), obj.Annotation("a", "b"))) }, nil,
		},
		"the template": {
			func(l *lab) { l.update(obj.Deployment("env", obj.EnvFrom(obj.CM("conf")), obj.Var("A", "b"))) },
			[]string{"WorkloadChanged Deployment/env"},
		},
		"the status": {func(l *lab) {
			d := obj.Deployment("env", obj.EnvFrom(obj.CM("conf")))
			d.Status.Replicas = 3
			l.update(d)
		}, nil},
		"a new workload":       {func(l *lab) { l.create(obj.DaemonSet("new")) }, []string{"WorkloadChanged DaemonSet/new"}},
		"a workload that goes": {func(l *lab) { l.remove(obj.StatefulSet("mounts")) }, []string{"WorkloadChanged StatefulSet/mounts"}},
		"a workload that begins to go": {func(l *lab) {
			d := obj.Deployment("env", obj.EnvFrom(obj.CM("conf")))
			d.DeletionTimestamp = new(metav1.Now())
			l.update(d)
		}, []string{"WorkloadChanged Deployment/env"}},
		"a workload that is recreated": {func(l *lab) {
			l.remove(obj.Deployment("env"))
			again := obj.Deployment("env", obj.EnvFrom(obj.CM("conf")))
			again.UID = "another"
			l.create(again)
		}, []string{"WorkloadChanged Deployment/env", "WorkloadChanged Deployment/env"}},

		"found by a new list: content": {func(l *lab) {
			l.relist("configmaps", func() { l.update(obj.ConfigMap("conf", "k", "1")) })
		}, dependents()},
		"found by a new list: nothing": {func(l *lab) {
			l.relist("configmaps", func() { l.update(labeled(obj.ConfigMap("conf", "k", "0"))) })
		}, nil},
		"found by a new list: a source is gone": {func(l *lab) {
			l.relist("configmaps", func() { l.remove(obj.ConfigMap("conf")) })
		}, dependents()},
		"found by a new list: a source has come": {func(l *lab) {
			l.relist("configmaps", func() { l.create(obj.ConfigMap("else", "k", "1")) })
		}, []string{"SourceChanged Deployment/else"}},
		"found by a new list: a workload is gone": {func(l *lab) {
			l.relist("deployments", func() { l.remove(obj.Deployment("env")) })
		}, []string{"WorkloadChanged Deployment/env"}},
		"found by a new list: a template": {func(l *lab) {
			l.relist("deployments", func() { l.update(obj.Deployment("env", obj.EnvFrom(obj.CM("else")))) })
		}, []string{"WorkloadChanged Deployment/env"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := open(t, shop())
				c.change(l)
				if diff := cmp.Diff(c.want, l.heard()); diff != "" {
					t.Errorf("notified (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// The index follows the workload.
func TestAWorkloadThatStopsUsingASourceIsNotNotifiedAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(obj.ConfigMap("a", "k", "0"), obj.ConfigMap("b", "k", "0"), obj.Deployment("web", obj.EnvFrom(obj.CM("a")))))
		l.update(obj.Deployment("web", obj.EnvFrom(obj.CM("b"))))
		l.heard()
		l.update(obj.ConfigMap("a", "k", "1"))
		if got := l.heard(); len(got) > 0 {
			t.Errorf("notified for the old source: %v", got)
		}
		l.update(obj.ConfigMap("b", "k", "1"))
		if diff := cmp.Diff([]string{"SourceChanged Deployment/web"}, l.heard()); diff != "" {
			t.Errorf("for the new source (-want +got):\n%s", diff)
		}
	})
}

// Pods are nudged before anything settles, so that the nudge comes first.
func TestNudgeComesBeforeEnqueue(t *testing.T) {
	t.Parallel()
	for _, pods := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var (
				mu    sync.Mutex
				order []string
			)
			l := open(t, objects(obj.ConfigMap("conf", "k", "0"), obj.Deployment("env", obj.EnvFrom(obj.CM("conf")))), func(o *Options) {
				o.Pods = pods
				o.NudgeNow = func(key workload.Key, ref source.Ref) {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, "hurry "+key.Name+" "+ref.Name)
				}
				o.Enqueue = func(key workload.Key, _ Change) {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, "notify "+key.Name)
				}
			})
			l.update(obj.ConfigMap("conf", "k", "1"))
			l.heard()
			mu.Lock()
			defer mu.Unlock()
			want := []string{"hurry env conf", "notify env"}
			if !pods {
				want = want[1:]
			}
			if diff := cmp.Diff(want, order); diff != "" {
				t.Errorf("with pods %t (-want +got):\n%s", pods, diff)
			}
		})
	}
}

func TestWaitForSyncEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, nil)
		if !l.HasSynced() {
			t.Error("not in sync")
		}
		idle, err := New(l.options) // does not run
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if idle.WaitForSync(ctx) || idle.HasSynced() {
			t.Error("in sync without having asked")
		}
	})
}
