package observe

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"inpod.dev/inpod/internal/annotation"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

// templateUser is a Rollout that runs the template of a Deployment.
func templateUser(name, owner string, nsCaches ...obj.Part) *unstructured.Unstructured {
	o := rolloutOf(name, nsCaches...)
	o.Object["spec"] = map[string]any{"workloadRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": owner}}
	return o
}

// Of a Rollout and the Deployment whose template it runs, one acts for both.
func TestOneOfAPairActs(t *testing.T) {
	t.Parallel()
	restart := obj.Annotation(annotation.RolloutStrategyKey, "restart")
	auto := obj.Annotation(autoKey, "true")
	uses := obj.EnvFrom(obj.CM("a"))
	for name, c := range map[string]struct {
		rollout, deployment []obj.Part
		want                string // who follows the ConfigMap
		restart             bool
	}{
		"nobody asks":                        {nil, nil, "", false},
		"the Rollout asks":                   {[]obj.Part{auto}, nil, "Deployment", false},
		"the Deployment asks":                {nil, []obj.Part{auto}, "Deployment", false},
		"both ask":                           {[]obj.Part{auto}, []obj.Part{auto}, "Deployment", false},
		"the template asks":                  {nil, []obj.Part{obj.TemplateAnnotation(autoKey, "true")}, "Deployment", false},
		"a restart, the Rollout asks":        {[]obj.Part{auto, restart}, nil, "Rollout", true},
		"a restart, the Deployment asks":     {[]obj.Part{restart}, []obj.Part{auto}, "Rollout", true},
		"a restart, both ask":                {[]obj.Part{auto, restart}, []obj.Part{auto}, "Rollout", true},
		"a restart, said on the template":    {[]obj.Part{auto}, []obj.Part{obj.TemplateAnnotation(annotation.RolloutStrategyKey, "restart")}, "Rollout", true},
		"a restart, and one is opted out":    {[]obj.Part{auto, restart}, []obj.Part{obj.Annotation(ignore, "true")}, "", true},
		"the Rollout says it goes otherwise": {[]obj.Part{auto, obj.Annotation(annotation.RolloutStrategyKey, "rollout")}, []obj.Part{restart}, "Deployment", false},
		"the strategy is none":               {[]obj.Part{auto, obj.Annotation(annotation.RolloutStrategyKey, "x")}, nil, "Deployment", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var a argo
				a.served.Store(true)
				l := open(t, objects(obj.ConfigMap("a", "k", "0"), obj.Deployment("web", append(c.deployment, uses)...)),
					a.with(templateUser("canary", "web", c.rollout...)))
				follows := func(key workload.Key) bool {
					w, ok := l.Workload(key)
					if !ok {
						t.Fatalf("no %s", key)
					}
					if key.Kind == "Rollout" && w.Restart != c.restart {
						t.Errorf("restart %t", w.Restart)
					}
					referenced := slices.Contains(w.Refs(), configMap("a"))
					return referenced && w.Policy.Select(configMap("a"), false, false, true, false).Follows()
				}
				for key, want := range map[workload.Key]bool{deployment("web"): c.want == "Deployment", rolloutKey("canary"): c.want == "Rollout"} {
					if got := follows(key); got != want {
						t.Errorf("%s follows: %t", key, got)
					}
				}
				l.update(obj.ConfigMap("a", "k", "1"))
				if diff := cmp.Diff([]string{"SourceChanged Deployment/web", "SourceChanged Rollout/canary"}, l.heard()); diff != "" {
					t.Errorf("notified (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAPairHearsOfEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a argo
		a.served.Store(true)
		l := open(t, objects(obj.ConfigMap("a", "k", "0"), obj.Deployment("web", obj.EnvFrom(obj.CM("a"))), obj.Deployment("other")), a.with(templateUser("canary", "web")))
		both := []string{"WorkloadChanged Deployment/web", "WorkloadChanged Rollout/canary"}
		edit := func(o *unstructured.Unstructured) {
			t.Helper()
			if err := a.Tracker().Update(workload.Rollout().Resource, o, obj.Namespace); err != nil {
				t.Fatal(err)
			}
		}
		edit(templateUser("canary", "web", obj.Annotation("configmap.reloader.stakater.com/reload", "named")))
		if diff := cmp.Diff(both, l.heard()); diff != "" {
			t.Errorf("the Rollout is edited (-want +got):\n%s", diff)
		}
		l.create(obj.ConfigMap("named", "k", "0"))
		if diff := cmp.Diff([]string{"SourceChanged Deployment/web", "SourceChanged Rollout/canary"}, l.heard()); diff != "" {
			t.Errorf("what the Rollout names (-want +got):\n%s", diff)
		}
		l.update(obj.Deployment("web", obj.EnvFrom(obj.CM("a")), obj.Var("A", "1")))
		if diff := cmp.Diff(both, l.heard()); diff != "" {
			t.Errorf("the Deployment is edited (-want +got):\n%s", diff)
		}
		l.create(owned("canary-1", "ReplicaSet", "canary-77", obj.Label("rollouts-pod-template-hash", "77")))
		if diff := cmp.Diff(both, l.heard()); diff != "" {
			t.Errorf("a pod has the sidecar (-want +got):\n%s", diff)
		}
		for _, key := range []workload.Key{deployment("web"), rolloutKey("canary")} {
			if pods := l.Pods(key); len(pods) != 1 || pods[0].Name != "canary-1" {
				t.Errorf("pods of %s: %v", key, pods)
			}
		}
		if w, _ := l.Workload(deployment("web")); !w.Policy.Injected || w.Pods != workload.UnknownPods {
			t.Errorf("injected %t, %d pods", w.Policy.Injected, w.Pods)
		}
		edit(templateUser("canary", "other"))
		if diff := cmp.Diff([]string{"WorkloadChanged Deployment/other", "WorkloadChanged Deployment/web", "WorkloadChanged Rollout/canary"}, l.heard()); diff != "" {
			t.Errorf("the Rollout refers to another one (-want +got):\n%s", diff)
		}
		l.remove(obj.Deployment("other"))
		synctest.Wait()
		if w, ok := l.Workload(rolloutKey("canary")); !ok || w.Policy.Select(configMap("a"), false, false, true, true) != annotation.OptedOut || w.Fault != "" {
			t.Errorf("without its Deployment: %t, %+v", ok, w)
		}
	})
}

// A controller of an added kind may make Deployments, and puts back what somebody else writes into their templates.
func TestAnOwnerActsForItsWorkload(t *testing.T) {
	t.Parallel()
	auto, uses := obj.Annotation(autoKey, "true"), obj.EnvFrom(obj.CM("a"))
	for name, c := range map[string]struct {
		owner, owned []obj.Part
		autoAll      bool
		want         []string
	}{
		"both ask":                         {[]obj.Part{auto}, []obj.Part{auto}, false, []string{"Rollout"}},
		"the owner asks":                   {[]obj.Part{auto}, nil, false, []string{"Rollout"}},
		"what is made asks":                {nil, []obj.Part{auto}, false, []string{"Deployment"}},
		"all are followed":                 {nil, nil, true, []string{"Rollout"}},
		"all are followed, and one asks":   {nil, []obj.Part{auto}, true, []string{"Deployment"}},
		"the owner has no template to use": {[]obj.Part{auto, obj.Container("")}, []obj.Part{auto}, false, []string{"Deployment"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var a argo
				a.served.Store(true)
				owner := rolloutOf("app", append(c.owner, uses)...)
				if len(c.owner) > 1 {
					owner.Object["spec"] = map[string]any{}
				}
				created := obj.Deployment("app-web", append(c.owned, uses)...)
				created.OwnerReferences = []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha2", Kind: "Rollout", Name: "app", Controller: new(true)}}
				created.Status.Replicas = 1
				l := open(t, objects(obj.ConfigMap("a", "k", "0"), created, owned("app-web-1", "ReplicaSet", "app-web-6d4cf56db6")), a.with(owner))
				var follow []string
				for _, key := range []workload.Key{deployment("app-web"), rolloutKey("app")} {
					w, ok := l.Workload(key)
					if !ok {
						t.Fatalf("no %s", key)
					}
					w.Policy.Injected = false // the pod has the sidecar
					if slices.Contains(w.Refs(), configMap("a")) && w.Policy.Select(configMap("a"), false, false, true, c.autoAll).Follows() {
						follow = append(follow, key.Kind)
					}
				}
				if diff := cmp.Diff(c.want, follow); diff != "" {
					t.Errorf("who follows (-want +got):\n%s", diff)
				}
				w, _ := l.Workload(rolloutKey("app"))
				if pods := l.Pods(rolloutKey("app")); len(pods) != 1 || w.Pods != 1 || !w.Policy.Injected {
					t.Errorf("pods %v of %d, injected %t", pods, w.Pods, w.Policy.Injected)
				}
				l.create(owned("app-web-2", "ReplicaSet", "app-web-6d4cf56db6"))
				both := []string{"WorkloadChanged Deployment/app-web", "WorkloadChanged Rollout/app"}
				if diff := cmp.Diff(both, l.heard()); diff != "" {
					t.Errorf("notified of a pod (-want +got):\n%s", diff)
				}
				if err := a.Tracker().Delete(workload.Rollout().Resource, obj.Namespace, "app"); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(both, l.heard()); diff != "" {
					t.Errorf("notified of the deletion (-want +got):\n%s", diff)
				}
			})
		})
	}
}
