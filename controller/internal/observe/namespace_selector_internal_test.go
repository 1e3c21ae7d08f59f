package observe

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clienttesting "k8s.io/client-go/testing"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

func namespaceOf(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func chosen(o *Options) { o.NamespaceSelector = "follow=yes" }

func TestTheNamespacesThatASelectorMatches(t *testing.T) {
	t.Parallel()
	yes := map[string]string{"follow": "yes"}
	synctest.Test(t, func(t *testing.T) {
		other := obj.Deployment("other", obj.EnvFrom(obj.CM("a")))
		other.Namespace = "elsewhere"
		l := open(t, objects(namespaceOf(obj.Namespace, yes), namespaceOf("elsewhere", nil),
			obj.ConfigMap("a", "k", "0"), obj.Deployment("web", obj.EnvFrom(obj.CM("a"))), other), chosen)
		if diff := cmp.Diff([]workload.Key{deployment("web")}, l.Workloads()); diff != "" {
			t.Errorf("workloads (-want +got):\n%s", diff)
		}
		if l.Source(configMap("a")) == nil {
			t.Error("a source of a namespace that matches is not there")
		}
		if diff := cmp.Diff(map[string]int{"ConfigMap": 1, "Secret": 0, "Deployment": 1, "StatefulSet": 0, "DaemonSet": 0, "Pod": 0}, l.Kept()); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}
		l.heard()
		l.update(obj.ConfigMap("a", "k", "1"))
		if diff := cmp.Diff([]string{"SourceChanged Deployment/web"}, l.heard()); diff != "" {
			t.Errorf("after an edit (-want +got):\n%s", diff)
		}
	})
}

// A fake API server does not watch by labels, so a namespace begins and ceases to match by coming and going.
func TestANamespaceBeginsAndCeasesToMatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(obj.ConfigMap("a", "k", "0"), obj.Deployment("web", obj.EnvFrom(obj.CM("a")))), chosen)
		if keys := l.Workloads(); len(keys) != 0 || l.Source(configMap("a")) != nil {
			t.Errorf("something is kept: %v", keys)
		}
		matching := namespaceOf(obj.Namespace, map[string]string{"follow": "yes"})
		l.create(matching)
		if diff := cmp.Diff([]string{"WorkloadChanged Deployment/web"}, l.heard()); diff != "" {
			t.Errorf("when it matches (-want +got):\n%s", diff)
		}
		if _, ok := l.Workload(deployment("web")); !ok || l.Source(configMap("a")) == nil {
			t.Error("it matches, and nothing of it is there")
		}
		l.remove(matching)
		if diff := cmp.Diff([]string{"WorkloadChanged Deployment/web"}, l.heard()); diff != "" {
			t.Errorf("when it does not (-want +got):\n%s", diff)
		}
		if _, ok := l.Workload(deployment("web")); ok || l.Source(configMap("a")) != nil {
			t.Error("it does not match, and something of it is kept")
		}
		l.update(obj.ConfigMap("a", "k", "1"))
		if notes := l.heard(); notes != nil {
			t.Errorf("notified %v", notes)
		}
		l.create(matching)
		if _, ok := l.Workload(deployment("web")); !ok && l.heard() == nil {
			t.Error("it matches again, and nobody noticed")
		}
	})
}

// What is left out is left out by the API server.
func TestWhatIsLeftOutIsNotAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := map[string]string{}
		l := open(t, nil, func(o *Options) {
			o.IgnoredNamespaces, o.SourceSelector, o.Sources = []string{"a", "b"}, "team=shop", []source.Kind{source.Secret}
		})
		for _, action := range l.api.Actions() {
			if list, ok := action.(clienttesting.ListActionImpl); ok {
				asked[list.Resource.Resource] = list.ListOptions.FieldSelector + " " + list.ListOptions.LabelSelector
			}
		}
		const others = "metadata.namespace!=a,metadata.namespace!=b"
		want := map[string]string{
			"secrets":     notHelmReleases + "," + others + " team=shop",
			"deployments": others + " ", "statefulsets": others + " ", "daemonsets": others + " ",
			"pods": others + " " + podLabel,
		}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("asked for (-want +got):\n%s", diff)
		}
	})
}
