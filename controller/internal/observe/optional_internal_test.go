package observe

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	discoveryfake "k8s.io/client-go/discovery/fake"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

const autoKey = "reloader.stakater.com/auto"

// argo is an API server that may serve Rollouts.
type argo struct {
	*dynamicfake.FakeDynamicClient

	served atomic.Bool
	log    bytes.Buffer // read it when nothing runs
}

// with lets an observer watch Rollouts.
func (a *argo) with(objects ...runtime.Object) func(*Options) {
	kind := workload.Rollout()
	a.FakeDynamicClient = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{kind.Resource: "RolloutList"}, objects...)
	return func(o *Options) {
		api, _ := o.Client.(*fake.Clientset)
		api.Resources = []*metav1.APIResourceList{rollouts("Rollout", true, "list", "watch", "patch")}
		api.PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) {
			if a.served.Load() {
				return false, nil, nil
			}
			return true, nil, apierrors.NewNotFound(schema.GroupResource{}, "")
		})
		o.Dynamic, o.Kinds, o.Log = a, o.Kinds.With(kind), slog.New(slog.NewTextHandler(&a.log, nil))
	}
}

func rollouts(kind string, namespaced bool, verbs ...string) *metav1.APIResourceList {
	return &metav1.APIResourceList{GroupVersion: "argoproj.io/v1alpha1", APIResources: []metav1.APIResource{
		{Name: "rollouts", Kind: kind, Namespaced: namespaced, Verbs: verbs}, {Name: "rollouts/status", Kind: kind, Namespaced: namespaced},
	}}
}

func rolloutOf(name string, nsCaches ...obj.Part) *unstructured.Unstructured {
	kind := workload.Rollout()
	return obj.JSON(kind.APIVersion(), kind.Name, name, kind.Path, nsCaches...)
}

func rolloutKey(name string) workload.Key {
	return workload.Key{Kind: "Rollout", Namespace: obj.Namespace, Name: name}
}

func TestAKindThatIsServedIsCached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a argo
		a.served.Store(true)
		l := open(t, objects(obj.ConfigMap("a", "k", "0"), owned("web-1", "ReplicaSet", "web-77", obj.Label("rollouts-pod-template-hash", "77"))),
			a.with(rolloutOf("web", obj.Annotation(autoKey, "true"), obj.EnvFrom(obj.CM("a")))))
		w, ok := l.Workload(rolloutKey("web"))
		if !ok || len(w.Usages) != 1 || w.Shape == nil {
			t.Fatalf("%t, %+v", ok, w)
		}
		if pods := l.Pods(rolloutKey("web")); len(pods) != 1 {
			t.Errorf("pods %v", pods)
		}
		if notes := l.heard(); notes != nil {
			t.Errorf("notified %v", notes)
		}
		l.update(obj.ConfigMap("a", "k", "1"))
		if diff := cmp.Diff([]string{"SourceChanged Rollout/web"}, l.heard()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
		broken := rolloutOf("broken", obj.Annotation(autoKey, "true"))
		broken.Object["spec"] = map[string]any{"template": "x"}
		if err := a.Tracker().Create(workload.Rollout().Resource, broken, obj.Namespace); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if w, ok := l.Workload(rolloutKey("broken")); !ok || w.Fault == "" {
			t.Errorf("one that cannot be read: %t, %+v", ok, w)
		}
	})
}

func TestAKindThatIsServedLaterIsPickedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a argo
		l := open(t, objects(obj.ConfigMap("a", "k", "0"), obj.Deployment("other", obj.EnvFrom(obj.CM("a")))),
			a.with(rolloutOf("web", obj.EnvFrom(obj.CM("a")))))
		if !l.HasSynced() {
			t.Fatal("the others wait for it")
		}
		time.Sleep(3 * servedPoll)
		if _, ok := l.Workload(rolloutKey("web")); ok {
			t.Fatal("it is in the cache")
		}
		a.served.Store(true)
		time.Sleep(2 * servedPoll)
		if diff := cmp.Diff([]string{"WorkloadChanged Rollout/web"}, l.heard()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
		l.update(obj.ConfigMap("a", "k", "1"))
		if diff := cmp.Diff([]string{"SourceChanged Deployment/other", "SourceChanged Rollout/web"}, l.heard()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
		l.stop()
		log := a.log.String()
		if strings.Count(log, "not available, skipping") != 1 || !strings.Contains(log, "rollouts.argoproj.io") || !strings.Contains(log, "install its CustomResourceDefinition") ||
			strings.Count(log, "kind available") != 1 {
			t.Errorf("log:\n%s", log)
		}
	})
}

// A CustomResourceDefinition whose conversion webhook is down: discovery has the kind, and no list of it works.
func TestAKindThatCannotBeListedIsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a argo
		var broken atomic.Bool
		a.served.Store(true)
		broken.Store(true)
		begin := time.Now()
		l := open(t, objects(obj.ConfigMap("a", "k", "0"), obj.Deployment("other", obj.EnvFrom(obj.CM("a")))),
			a.with(rolloutOf("web", obj.EnvFrom(obj.CM("a")))), func(*Options) {
				fault := apierrors.NewInternalError(errors.New("conversion webhook for argoproj.io/v1alpha1, Kind=Rollout failed: connection refused"))
				a.PrependReactor("list", "rollouts", func(clienttesting.Action) (bool, runtime.Object, error) { return broken.Load(), nil, fault })
				a.PrependWatchReactor("rollouts", func(clienttesting.Action) (bool, watch.Interface, error) { return broken.Load(), nil, fault })
			})
		if took := time.Since(begin); took != listPatience {
			t.Errorf("the others waited %s for it, want %s", took, listPatience)
		}
		l.update(obj.ConfigMap("a", "k", "1"))
		if diff := cmp.Diff([]string{"SourceChanged Deployment/other"}, l.heard()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
		broken.Store(false)
		time.Sleep(2 * time.Minute)
		if diff := cmp.Diff([]string{"WorkloadChanged Rollout/web"}, l.heard()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
		l.stop()
		log := a.log.String()
		if strings.Count(log, "cannot be listed, skipping until it can") != 1 || !strings.Contains(log, "connection refused") ||
			strings.Count(log, "kind listed now") != 1 {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestWhyAKindIsNotServed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		served *metav1.APIResourceList
		err    error
		want   string
	}{
		"all is well":        {served: rollouts("Rollout", true, "get", "list", "watch", "patch"), want: ""},
		"not installed":      {err: apierrors.NewNotFound(schema.GroupResource{}, ""), want: "does not serve argoproj.io/v1alpha1"},
		"no answer":          {err: errors.New("the server is on fire"), want: "cannot say whether it serves argoproj.io/v1alpha1: the server is on fire"},
		"not this resource":  {served: &metav1.APIResourceList{GroupVersion: "argoproj.io/v1alpha1"}, want: "serves argoproj.io/v1alpha1 and no rollouts in it"},
		"another kind":       {served: rollouts("Other", true, "list"), want: "the kind of rollouts.argoproj.io is Other and not Rollout"},
		"not in a namespace": {served: rollouts("Rollout", false, "list"), want: "rollouts.argoproj.io are not in namespaces"},
		"no watch":           {served: rollouts("Rollout", true, "list", "patch"), want: "does not support watch on rollouts.argoproj.io"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := fake.NewSimpleClientset()
			discovery, _ := api.Discovery().(*discoveryfake.FakeDiscovery)
			discovery.PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) { return c.err != nil, nil, c.err })
			if c.served != nil {
				discovery.Resources = []*metav1.APIResourceList{c.served}
			}
			o := &Observer{options: Options{Client: api}}
			if got := o.unservedIn(t.Context(), workload.Rollout()); !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestPodsOfKindsThatAreAdded(t *testing.T) {
	t.Parallel()
	all := workload.Kinds().With(workload.Rollout()).With(workload.DeploymentConfig())
	clones, err := workload.Parse("CloneSet=apps.kruise.io/v1alpha1/clonesets")
	if err != nil {
		t.Fatal(err)
	}
	all = all.With(clones)
	for name, c := range map[string]struct {
		kind, owner string
		parts       []obj.Part
		want        string
	}{
		"the kind itself":               {"CloneSet", "web", nil, "CloneSet shop/web"},
		"a ReplicaSet of a Rollout":     {"ReplicaSet", "web-77", []obj.Part{obj.Label("rollouts-pod-template-hash", "77")}, "Rollout shop/web"},
		"a ReplicaSet of nobody":        {"ReplicaSet", "web-78", []obj.Part{obj.Label("rollouts-pod-template-hash", "77")}, ""},
		"a DeploymentConfig":            {"ReplicationController", "web-3", []obj.Part{obj.Label("deploymentconfig", "web")}, "DeploymentConfig shop/web"},
		"a ReplicationController alone": {"ReplicationController", "web-3", nil, ""},
		"a kind of the same name":       {"Rollout", "web", nil, "Rollout shop/web"},
		"a kind that is not known":      {"Job", "web", nil, ""},
	} {
		pod := owned("web-1", c.kind, c.owner, c.parts...)
		key := all.OwnerOf(pod)
		if got := key.String(); got != c.want && (c.want != "" || key != workload.Key{}) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
