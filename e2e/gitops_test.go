//go:build e2e

package e2e_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
)

// Whoever applies the original manifest again after a rollout, in whatever way, undoes nothing and causes no second one.
func TestApplyingTheManifestAgainUndoesNothing(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"env-vars", "annotations"} {
		t.Run(strategy, func(t *testing.T) {
			t.Parallel()
			s := ownSpace(t)
			s.install(framework.Values{"reloadStrategy": strategy}, nil)
			chart := t.TempDir()
			ways := map[string]func(object runtime.Object) error{
				"server-side": func(o runtime.Object) error { return s.ApplyAs(s.ctx, s.ns, "argocd-controller", false, o) },
				"forced":      func(o runtime.Object) error { return s.ApplyAs(s.ctx, s.ns, "kustomize-controller", true, o) },
				"merged":      func(o runtime.Object) error { return s.ApplyByMerge(s.ctx, s.ns, o) },
				"helm":        nil,
			}
			s.apply(configMap("config", "key", "1"))
			objects, workloads := map[framework.Workload]runtime.Object{}, map[framework.Workload]string{}
			applyAll := func() {
				for w, way := range workloads {
					s.must(ways[way](objects[w]))
				}
			}
			for way := range ways {
				for _, kind := range kinds() {
					// A variable of its own: a list that inpod writes into belongs to somebody else.
					a := newApp(kind, way+"-"+strings.ToLower(kind), []use{env("KEY", ofConfigMap("config"), "key")}).idle().annotated(s.keys.auto, "true")
					objects[a.in(s.ns)], workloads[a.in(s.ns)] = a.object(), way
				}
			}
			// A chart is all of its objects, so each release gets them all.
			ways["helm"] = func(runtime.Object) error {
				var all []runtime.Object
				for w, way := range workloads {
					if way == "helm" {
						all = append(all, objects[w])
					}
				}
				return s.HelmUpgrade(s.ctx, chart+"/helm", framework.Release{Name: "app", Namespace: s.ns}, all...)
			}
			applyAll()
			var all []framework.Workload
			for w := range workloads {
				all = append(all, w)
			}
			s.hasBaseline(all...)
			before := s.rollouts()
			s.apply(configMap("config", "key", "2"))
			s.onlyRolled(before, all...)

			rolled, was := s.rollouts(), map[framework.Workload]framework.State{}
			for _, w := range all {
				was[w] = s.state(w)
			}
			for range 2 {
				applyAll()
			}
			s.marker()
			for _, w := range all {
				now := s.state(w)
				if diff := cmp.Diff(was[w].Template, now.Template); diff != "" {
					t.Errorf("%s: the template (-after the rollout +after it was applied again):\n%s", w, diff)
				}
				if now.Annotations[annotation.Baseline] != was[w].Annotations[annotation.Baseline] {
					t.Errorf("%s: the baseline is another one", w)
				}
			}
			for w, n := range s.rollouts() {
				if _, ours := workloads[w]; ours && n != rolled[w] {
					t.Errorf("%s was rolled %d times more", w, n-rolled[w])
				}
			}
		})
	}
}

// Whoever writes the whole object over takes away what inpod wrote. That is a rollout by itself, whose pods have the
// current content; inpod writes its baseline again and adds none.
func TestReplacingAWorkloadIsOneRollout(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.quick)
	s.apply(configMap("config", "key", "1"))
	a := deployment("app", env("KEY", ofConfigMap("config"), "key")).idle().annotated(s.keys.auto, "true")
	s.apply(a.object())
	w := a.in(s.ns)
	s.hasBaseline(w)
	before := s.rollouts()
	s.apply(configMap("config", "key", "2"))
	s.onlyRolled(before, w)
	before = s.rollouts()
	s.must(s.Replace(s.ctx, s.ns, a.object()))
	s.hasBaseline(w)
	s.onlyRolled(before, w) // by the replacement
	if _, there := s.state(w).Env("STAKATER_CONFIG_CONFIGMAP"); there {
		t.Error("inpod has rolled as well")
	}
	before = s.rollouts()
	s.apply(configMap("config", "key", "3"))
	s.onlyRolled(before, w)
}

// A release of an application that has both a new ConfigMap and a new template is one rollout, and so is one that has new
// ConfigMaps and Secrets only.
func TestAReleaseOfAnApplicationIsOneRollout(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.patient)
	chart := t.TempDir() + "/app"
	uses := []use{env("KEY", ofConfigMap("config"), "key"), env("PASSWORD", ofSecret("secret"), "key")}
	release := func(content, version string) {
		objects := []runtime.Object{configMap("config", "key", content), secret("secret", "key", content)}
		for _, kind := range kinds() {
			objects = append(objects, newApp(kind, strings.ToLower(kind), uses).idle().annotated(s.keys.auto, "true").onTemplate("example.com/version", version).object())
		}
		s.must(s.HelmUpgrade(s.ctx, chart, framework.Release{Name: "app", Namespace: s.ns}, objects...))
	}
	release("1", "1")
	var all []framework.Workload
	for _, kind := range kinds() {
		all = append(all, newApp(kind, strings.ToLower(kind), nil).in(s.ns))
	}
	s.hasBaseline(all...)
	before := s.rollouts()
	release("2", "2")
	s.onlyRolled(before, all...)
	before = s.rollouts()
	release("3", "2")
	s.onlyRolled(before, all...)
}
