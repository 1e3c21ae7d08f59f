//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
	"inpod.dev/inpod/internal/workload"
)

// argoRollouts has the real CustomResourceDefinition of Rollouts.
const argoRollouts = "github.com/argoproj/argo-rollouts@v1.10.1"

// resources of kinds that a cluster may lack.
var (
	rolloutResource          = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}
	deploymentConfigResource = schema.GroupVersionResource{Group: "apps.openshift.io", Version: "v1", Resource: "deploymentconfigs"}
)

// otherKind defines a kind whose spec is not in its schema, as some operators have them.
func otherKind(kind string) (schema.GroupVersionResource, *unstructured.Unstructured) {
	resource := schema.GroupVersionResource{Group: suite.run + ".e2e.inpod.dev", Version: "v1", Resource: strings.ToLower(kind) + "s"}
	free := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": resource.GroupResource().String()},
		"spec": map[string]any{
			"group": resource.Group, "scope": "Namespaced",
			"names": map[string]any{"kind": kind, "listKind": kind + "List", "plural": resource.Resource, "singular": strings.ToLower(kind)},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true, "subresources": map[string]any{"status": map[string]any{}},
				"schema": map[string]any{"openAPIV3Schema": map[string]any{
					"type": "object", "properties": map[string]any{"spec": free, "status": free},
				}},
			}},
		},
	}}
	return resource, definition
}

// define makes the cluster serve a kind for as long as the test runs, unless it does already.
func (s *space) define(definition *unstructured.Unstructured) {
	s.t.Helper()
	definition.SetLabels(map[string]string{runLabel: suite.run})
	created, err := s.Define(s.ctx, definition)
	if created {
		s.t.Cleanup(func() {
			ctx, cancel := patience.Context(context.WithoutCancel(s.ctx), cleanLimit)
			defer cancel()
			if err := s.Undefine(ctx, definition.GetName()); err != nil {
				s.t.Error(err)
			}
		})
	}
	s.must(err)
}

func definitionIn(t *testing.T, file []byte) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(file, &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

// custom is an object of a kind without a type. Its template is that of a Deployment, at a path.
type custom struct {
	resource schema.GroupVersionResource
	kind     string
	app      app
	spec     map[string]any // beside the template
	path     []string
}

func (c custom) in(namespace string) framework.Workload {
	return framework.Workload{Kind: c.kind, Namespace: namespace, Name: c.app.name}
}

// object is the object as a manifest has it.
func (c custom) object(t *testing.T, namespace string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	text, err := yaml.Marshal(c.app.object())
	if err == nil {
		err = yaml.Unmarshal(text, &u.Object)
	}
	if err != nil {
		t.Fatal(err)
	}
	template, _, _ := unstructured.NestedMap(u.Object, "spec", "template")
	u.Object["spec"] = map[string]any{}
	for field, value := range c.spec {
		must(t, unstructured.SetNestedField(u.Object, value, "spec", field))
	}
	if c.path != nil {
		must(t, unstructured.SetNestedMap(u.Object, template, c.path...))
	}
	delete(u.Object, "status")
	u.SetAPIVersion(c.resource.GroupVersion().String())
	u.SetKind(c.kind)
	u.SetNamespace(namespace)
	return u
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// createCustom creates an object, and waits until the controller has recorded what it uses.
func (s *space) createCustom(c custom) *unstructured.Unstructured {
	s.t.Helper()
	_, err := s.Custom(c.resource, s.ns).Create(s.ctx, c.object(s.t, s.ns), metav1.CreateOptions{FieldManager: framework.FieldManager})
	s.must(err)
	return s.recorded(c, "")
}

// recorded waits until an object has another baseline than before.
func (s *space) recorded(c custom, before string) *unstructured.Unstructured {
	s.t.Helper()
	u, err := framework.AwaitCustom(s.ctx, s.Custom(c.resource, s.ns), c.app.name, func(u *unstructured.Unstructured) bool {
		text := u.GetAnnotations()[annotation.Baseline]
		return text != "" && text != before
	})
	if err != nil {
		s.t.Fatalf("%s: waited for another baseline than %q: %v", c.in(s.ns), before, err)
	}
	return u
}

// patches are the requests of the controller in charge that change a resource; nil where it is not known.
func (s *space) patches(audit framework.AuditLog, has bool, resource string) []string {
	s.t.Helper()
	if !has {
		return nil
	}
	calls, err := audit.Calls(fmt.Sprintf("system:serviceaccount:%s:%s", s.Namespace, s.Controller().Name))
	s.must(err)
	var changes []string
	for _, call := range calls {
		if call.Namespace == s.ns && call.Resource == resource && call.Verb != "watch" {
			changes = append(changes, call.String())
		}
	}
	return changes
}

// theirs is an object without what inpod and the API server write.
func theirs(t *testing.T, c custom, u *unstructured.Unstructured) map[string]any {
	t.Helper()
	u = u.DeepCopy()
	annotations := u.GetAnnotations()
	delete(annotations, annotation.Baseline)
	u.SetAnnotations(annotations)
	u.SetManagedFields(nil)
	u.SetResourceVersion("")
	u.SetGeneration(0)
	if c.path == nil {
		return u.Object
	}
	unstructured.RemoveNestedField(u.Object, append(slices.Clone(c.path), "metadata", "annotations", annotation.LastReloadedFrom)...)
	at := append(slices.Clone(c.path), "spec", "containers")
	containers, _, err := unstructured.NestedSlice(u.Object, at...)
	must(t, err)
	for _, item := range containers {
		container, _ := item.(map[string]any)
		env, _ := container["env"].([]any)
		container["env"] = slices.DeleteFunc(env, func(variable any) bool {
			name, _ := variable.(map[string]any)["name"].(string)
			return strings.HasPrefix(name, workload.VariablePrefix)
		})
		if len(env) == 0 {
			delete(container, "env")
		}
	}
	must(t, unstructured.SetNestedSlice(u.Object, containers, at...))
	return u.Object
}

// configHash is what the template carries of the rollout for a ConfigMap.
func configHash(t *testing.T, c custom, u *unstructured.Unstructured) string {
	t.Helper()
	template, _, err := unstructured.NestedMap(u.Object, c.path...)
	must(t, err)
	text, err := yaml.Marshal(template)
	must(t, err)
	_, after, _ := strings.Cut(string(text), "STAKATER_")
	line, _, _ := strings.Cut(after, "- ")
	return line
}

func TestKindsThatAreNotOfKubernetesItself(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	rolloutCRD, err := framework.ModuleFile(s.ctx, argoRollouts, "manifests/crds/rollout-crd.yaml")
	s.must(err)
	s.define(definitionIn(t, rolloutCRD))
	configCRD, err := os.ReadFile("testdata/deploymentconfig-crd.yaml")
	s.must(err)
	s.define(definitionIn(t, configCRD))
	cloneSets, definition := otherKind("CloneSet")
	s.define(definition)
	late, lateDefinition := otherKind("Latecomer")
	s.install(framework.Values{"isArgoRollouts": true, "isOpenshift": true}, framework.Values{"workloadKinds": []any{
		framework.Values{"kind": "CloneSet", "group": cloneSets.Group, "version": "v1", "resource": "clonesets", "templatePath": "spec.pod.template"},
		framework.Values{"kind": "Latecomer", "group": late.Group, "version": "v1", "resource": "latecomers"},
	}})
	unknown := map[string]any{"deep": []any{int64(1), map[string]any{"two": "three"}}}
	template := []string{"spec", "template"}

	follow := func(name string) app {
		return deployment(name, env("FIRST", ofConfigMap(name), "key"), volume(ofConfigMap(name)), sidecarUse(ofConfigMap(name))).annotated(s.keys.auto, "true")
	}
	selects := func(name string) map[string]any {
		return map[string]any{"matchLabels": map[string]any{"app": name, "kind": "deployment"}}
	}
	for _, c := range []custom{
		{rolloutResource, "Rollout", follow("rollout"), map[string]any{
			"replicas": int64(1), "selector": selects("rollout"),
			"strategy": map[string]any{"canary": map[string]any{"steps": []any{map[string]any{"setWeight": int64(20)}, map[string]any{"pause": map[string]any{}}}}},
		}, template},
		{deploymentConfigResource, "DeploymentConfig", follow("config"), map[string]any{
			"replicas": int64(1), "selector": map[string]any{"app": "config"}, "triggers": []any{map[string]any{"type": "ConfigChange"}},
		}, template},
		{cloneSets, "CloneSet", follow("clones"), map[string]any{"unknown": unknown}, []string{"spec", "pod", "template"}},
	} {
		t.Run(c.kind+" is rolled by one patch that changes nothing else", func(t *testing.T) {
			s := s.within(t)
			name := c.app.name
			s.apply(configMap(name, "key", "1"))
			before := s.createCustom(c)
			for _, value := range []string{"2", "3"} {
				audit, has := s.Audit(s.ctx)
				s.apply(configMap(name, "key", value))
				after := s.recorded(c, before.GetAnnotations()[annotation.Baseline])
				if diff := cmp.Diff(theirs(t, c, before), theirs(t, c, after)); diff != "" {
					t.Errorf("more than ours has changed (-before +after):\n%s", diff)
				}
				if was, is := configHash(t, c, before), configHash(t, c, after); is == "" || is == was {
					t.Errorf("the template has the config hash %q, and had %q", is, was)
				}
				_, err := s.AwaitEvent(s.ctx, c.in(s.ns), reloaded, name)
				s.must(err)
				s.marker()
				if got, want := s.patches(audit, has, c.resource.Resource), []string{"patch " + c.resource.Resource + " " + name}; has && !slices.Equal(got, want) {
					t.Errorf("the API server saw %q, want %q", got, want)
				}
				before = after
			}
		})
	}

	t.Run("a Rollout is restarted where it asks for that", func(t *testing.T) {
		s := s.within(t)
		c := custom{rolloutResource, "Rollout", follow("restarted").annotated(annotation.RolloutStrategyKey, "restart"), map[string]any{
			"replicas": int64(1), "selector": selects("restarted"), "strategy": map[string]any{"blueGreen": map[string]any{"activeService": "x"}},
		}, template}
		s.apply(configMap("restarted", "key", "1"))
		before := s.createCustom(c)
		audit, has := s.Audit(s.ctx)
		begun := time.Now().Add(-time.Minute)
		s.apply(configMap("restarted", "key", "2"))
		after := s.recorded(c, before.GetAnnotations()[annotation.Baseline])
		text, _, _ := unstructured.NestedString(after.Object, "spec", "restartAt")
		if at, err := time.Parse(time.RFC3339, text); err != nil || at.Before(begun) {
			t.Errorf("restartAt is %q: %v", text, err)
		}
		unstructured.RemoveNestedField(after.Object, "spec", "restartAt")
		if diff := cmp.Diff(theirs(t, c, before), theirs(t, c, after)); diff != "" || configHash(t, c, after) != "" {
			t.Errorf("more than ours has changed, config hash %q (-before +after):\n%s", configHash(t, c, after), diff)
		}
		s.marker()
		if got, want := s.patches(audit, has, "rollouts"), []string{"patch rollouts restarted"}; has && !slices.Equal(got, want) {
			t.Errorf("the API server saw %q, want %q", got, want)
		}
	})

	t.Run("a strategy that does not exist is reported", func(t *testing.T) {
		s := s.within(t)
		c := custom{rolloutResource, "Rollout", follow("wrong").annotated(annotation.RolloutStrategyKey, "reboot"), map[string]any{
			"replicas": int64(1), "selector": selects("wrong"), "strategy": map[string]any{"canary": map[string]any{}},
		}, template}
		s.apply(configMap("wrong", "key", "1"))
		before := s.createCustom(c)
		_, err := s.AwaitEvent(s.ctx, c.in(s.ns), "InvalidAnnotation", annotation.RolloutStrategyKey, `"reboot"`)
		s.must(err)
		s.apply(configMap("wrong", "key", "2"))
		if after := s.recorded(c, before.GetAnnotations()[annotation.Baseline]); configHash(t, c, after) == "" {
			t.Error("it is not rolled in the usual way")
		}
	})

	for name, asks := range map[string]struct{ rollout, deployment, restart bool }{
		"rollout-asks": {true, false, false}, "deployment-asks": {false, true, false}, "both-ask": {true, true, false}, "restart": {true, true, true},
	} {
		t.Run("of a Rollout with a workloadRef and its Deployment one is written: "+name, func(t *testing.T) {
			s := s.within(t)
			templateOwner := deployment(name, env("FIRST", ofConfigMap(name), "key")).idle()
			c := custom{rolloutResource, "Rollout", deployment(name).idle(), map[string]any{
				"replicas": int64(1), "workloadRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
				"strategy": map[string]any{"canary": map[string]any{}},
			}, nil}
			if asks.rollout {
				c.app = c.app.annotated(s.keys.auto, "true")
			}
			if asks.deployment {
				templateOwner = templateOwner.annotated(s.keys.auto, "true")
			}
			if asks.restart {
				c.app = c.app.annotated(annotation.RolloutStrategyKey, "restart")
			}
			s.apply(configMap(name, "key", "1"))
			_, err := s.Custom(rolloutResource, s.ns).Create(s.ctx, c.object(t, s.ns), metav1.CreateOptions{FieldManager: framework.FieldManager})
			s.must(err)
			s.apply(templateOwner.object())
			w := templateOwner.in(s.ns)
			baseline := ""
			if asks.restart {
				baseline = s.recorded(c, "").GetAnnotations()[annotation.Baseline]
			} else {
				s.hasBaseline(w)
			}
			audit, has := s.Audit(s.ctx)
			before := s.rollouts()
			s.apply(configMap(name, "key", "2"))
			wrote := []string{"patch deployments " + name}
			if asks.restart {
				s.recorded(c, baseline)
				wrote = []string{"patch rollouts " + name}
				s.onlyRolled(before)
			} else {
				s.onlyRolled(before, w)
			}
			s.marker()
			got := slices.DeleteFunc(append(s.patches(audit, has, "rollouts"), s.patches(audit, has, "deployments")...), func(call string) bool {
				return strings.Contains(call, "marker")
			})
			if has && !slices.Equal(got, wrote) {
				t.Errorf("the API server saw %q, want %q", got, wrote)
			}
		})
	}

	t.Run("a kind that is installed later is picked up", func(t *testing.T) {
		s := s.within(t)
		if log := s.controllerLog(s.ctx); strings.Count(log, "not available, skipping") != 1 || !strings.Contains(log, "latecomers."+late.Group) {
			t.Errorf("the log does not say once what is missing:\n%s", log)
		}
		s.define(lateDefinition)
		c := custom{late, "Latecomer", follow("late"), map[string]any{"unknown": unknown}, template}
		s.apply(configMap("late", "key", "1"))
		before := s.createCustom(c)
		s.apply(configMap("late", "key", "2"))
		after := s.recorded(c, before.GetAnnotations()[annotation.Baseline])
		if diff := cmp.Diff(theirs(t, c, before), theirs(t, c, after)); diff != "" || configHash(t, c, after) == "" {
			t.Errorf("config hash %q, more than ours has changed (-before +after):\n%s", configHash(t, c, after), diff)
		}
	})
}

// within is the space while a part of its test runs.
func (s *space) within(t *testing.T) *space {
	t.Helper()
	whole := s.t
	s.t = t
	t.Cleanup(func() { s.t = whole })
	return s
}

// Pods that belong to another kind are found by their owner. Nobody here runs its controller: the test makes its pod.
func TestOtherKindsReloadInPlace(t *testing.T) {
	t.Parallel()
	resource, definition := otherKind("Farm")
	s := installBothWith(t, framework.Values{"workloadKinds": []any{
		framework.Values{"kind": "Farm", "group": resource.Group, "version": "v1", "resource": resource.Resource},
	}})
	s.define(definition)
	s.apply(configMap("site", "default.conf", site("first")))
	pod := nginxPod("farm", "preset", "nginx")
	template, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations}, Spec: pod.Spec,
	})
	s.must(err)
	farms := s.Custom(resource, s.ns)
	farm := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": template}}}
	farm.SetAPIVersion(resource.GroupVersion().String())
	farm.SetKind("Farm")
	farm.SetName("farm")
	farm, err = farms.Create(s.ctx, farm, metav1.CreateOptions{FieldManager: framework.FieldManager})
	s.must(err)
	s.counts(resource, 1)
	pod.OwnerReferences = []metav1.OwnerReference{
		{APIVersion: farm.GetAPIVersion(), Kind: "Farm", Name: "farm", UID: farm.GetUID(), Controller: new(true)},
	}
	created := s.create(pod)
	s.serves("farm", "first")
	c := custom{resource: resource, kind: "Farm", app: app{name: "farm"}, path: []string{"spec", "template"}}
	before := s.recorded(c, "")

	s.apply(configMap("site", "default.conf", site("second")))
	s.serves("farm", "second")
	_, err = s.AwaitEvent(s.ctx, c.in(s.ns), "ReloadedInPlace", "site", "default.conf")
	s.must(err)
	after := s.recorded(c, before.GetAnnotations()[annotation.Baseline])
	if got := configHash(t, c, after); got != "" {
		t.Errorf("it was rolled: %s", got)
	}
	s.undisturbed(created)

	// A pod that nobody can find has to be taken for one without the sidecar.
	s.counts(resource, 2)
	s.apply(configMap("site", "default.conf", site("third")))
	_, err = s.AwaitEvent(s.ctx, c.in(s.ns), reloaded, "lack the sidecar")
	s.must(err)
	if rolled := s.recorded(c, after.GetAnnotations()[annotation.Baseline]); configHash(t, c, rolled) == "" {
		t.Error("it was not rolled")
	}
}

// counts makes the farm say how many pods it has.
func (s *space) counts(resource schema.GroupVersionResource, replicas int) {
	s.t.Helper()
	body := fmt.Sprintf(`{"status":{"replicas":%d}}`, replicas)
	_, err := s.Custom(resource, s.ns).Patch(s.ctx, "farm", types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: framework.FieldManager}, "status")
	s.must(err)
}
