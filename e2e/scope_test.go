//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
)

// followLabel is on the namespaces that the selector of a test matches.
const followLabel = "e2e.inpod.dev/follow"

// label sets a label of the space's namespace, or removes it for nil.
func (s *space) label(key string, value any) {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{key: value}}})
	s.must(err)
	_, err = s.Client.CoreV1().Namespaces().Patch(s.ctx, s.ns, types.MergePatchType, body, metav1.PatchOptions{})
	s.must(err)
}

// keeps waits until the controller keeps so many objects of a kind in memory.
func (s *space) keeps(kind string, count float64) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the controller to keep %g %ss", count, kind), func() (string, bool) {
		metrics, err := s.Metrics(s.ctx, s.Namespace, s.controllerPod())
		if err != nil {
			return err.Error(), false
		}
		got := metrics.Sum("inpod_cache_objects", "kind", kind)
		return fmt.Sprint(got), got == count
	})
}

// Namespaces are followed while their labels match, and cost nothing while they do not. What changed meanwhile is
// applied when they match again. Only sources whose labels and kind are selected are watched.
func TestNamespacesAndSourcesAreSelectedByTheirLabels(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	all := s.values(framework.Values{
		"namespaceSelector": followLabel + "=" + s.ns, "resourceLabelSelector": "watch=yes", "resourcesToIgnore": []string{"secrets"},
		"reloadInPlace": false,
	}, nil)
	delete(all, "namespaces")
	selected, other := configMap("selected", "key", "1"), configMap("other", "key", "1")
	selected.Labels = map[string]string{"watch": "yes"}
	app := framework.Deployment(s.ns, "app")
	s.apply(selected, other, secret("secret", "key", "1"),
		deployment("app", env("A", ofConfigMap("selected"), "key"), env("B", ofConfigMap("other"), "key"), env("C", ofSecret("secret"), "key")).
			idle().annotated(s.keys.auto, "true").object())
	s.must(s.Install(s.ctx, s.Release, all))
	s.keeps("Deployment", 0)
	s.keeps("ConfigMap", 0)

	s.label(followLabel, s.ns)
	s.hasBaseline(app)
	s.keeps("ConfigMap", 1)
	s.keeps("Secret", 0)
	before := s.rollouts()
	s.apply(configMap("other", "key", "2"), secret("secret", "key", "2")) // watched by nobody
	selected.Data["key"] = "2"
	s.apply(selected)
	s.rolled(before, app)
	if variable, ok := s.state(app).Env("STAKATER_SELECTED_CONFIGMAP"); !ok || variable == "" {
		t.Error("it was not rolled for what is watched")
	}

	s.label(followLabel, nil)
	s.keeps("Deployment", 0)
	s.keeps("ConfigMap", 0)
	recorded := s.state(app).Annotations[annotation.Baseline]
	selected.Data["key"] = "3"
	s.apply(selected)
	if now := s.state(app).Annotations[annotation.Baseline]; now != recorded || recorded == "" {
		t.Errorf("the baseline is %q, and was %q", now, recorded)
	}
	s.label(followLabel, s.ns)
	s.must(s.recorder.Await(s.ctx, app, before[app]+2))
	s.keeps("Deployment", 1)
	if n := s.rollouts()[app]; n != before[app]+2 {
		t.Errorf("%d rollouts, want 2", n-before[app])
	}
}

// A namespace that is ignored is not watched.
func TestIgnoredNamespacesAreNotWatched(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	ignored := openSpace(t, s.charge)
	// Of all others only these two match: inpod.dev/inject asks every installation, and other tests inject.
	all := s.values(framework.Values{
		"namespacesToIgnore": []string{ignored.ns}, "namespaceSelector": followLabel + "=" + s.ns, "reloadInPlace": false,
	}, nil)
	delete(all, "namespaces")
	for _, place := range []*space{s, ignored} {
		place.label(followLabel, s.ns)
		place.apply(configMap("config", "key", "1"), deployment("app", volume(ofConfigMap("config"))).idle().annotated(s.keys.auto, "true").object())
	}
	s.must(s.Install(s.ctx, s.Release, all))
	s.hasBaseline(framework.Deployment(s.ns, "app"))
	before := s.rollouts()
	ignored.apply(configMap("config", "key", "2"))
	s.apply(configMap("config", "key", "2"))
	s.onlyRolled(before, framework.Deployment(s.ns, "app"))
	if state := ignored.state(framework.Deployment(ignored.ns, "app")); state.Annotations[annotation.Baseline] != "" || state.Generation > 1 {
		t.Errorf("it was reconciled: %v, generation %d", state.Annotations, state.Generation)
	}
}
