//go:build e2e

package e2e_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/workload"
)

// stuckLabel is on pods that never become Ready on the hollow node once inpod has rolled their workload: the rollout stays
// under way.
const stuckLabel = "e2e.inpod.dev/stuck"

func isStuck(pod *corev1.Pod) bool {
	return pod.Labels[stuckLabel] != "" && slices.ContainsFunc(pod.Spec.Containers[0].Env, func(v corev1.EnvVar) bool {
		return strings.HasPrefix(v.Name, workload.VariablePrefix)
	})
}

// undo puts the former template of a workload back, as a person does.
func (s *space) undo(w framework.Workload) {
	s.t.Helper()
	s.eventually("the revision to be undone", func() (string, bool) { // its controller may not have recorded it yet
		out, err := s.RunKubectl(s.ctx, s.ns, "rollout", "undo", strings.ToLower(w.Kind)+"/"+w.Name)
		return fmt.Sprint(out, err), err == nil
	})
}

// An undo while the rollout is under way leaves pods with the old content: that is reported, and not fought. The next edit
// is rolled.
func TestAnUndoDuringARolloutIsReportedAndHeld(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.quick)
	var workloads []framework.Workload
	s.apply(configMap("config", "key", "1"))
	for _, kind := range []string{"Deployment", "StatefulSet"} { // a DaemonSet with one pod has no old one left
		a := newApp(kind, strings.ToLower(kind), []use{env("KEY", ofConfigMap("config"), "key")}).idle().scaled(2).annotated(s.keys.auto, "true")
		a.labels = map[string]string{stuckLabel: "true"}
		s.apply(a.object())
		workloads = append(workloads, a.in(s.ns))
	}
	for _, w := range workloads {
		s.must(s.AwaitRollout(s.ctx, w))
	}
	s.hasBaseline(workloads...)
	before := s.rollouts()
	s.apply(configMap("config", "key", "2"))
	s.rolled(before, workloads...)

	before = s.rollouts()
	for _, w := range workloads {
		s.undo(w)
		s.rolled(before, w) // by the undo
	}
	before = s.rollouts()
	for _, w := range workloads {
		_, err := s.AwaitEvent(s.ctx, w, "RolloutUndone", "ConfigMap config changed (key)", "keep the old")
		s.must(err)
	}
	s.onlyRolled(before)
	s.apply(configMap("config", "key", "3"))
	s.onlyRolled(before, workloads...)
}

// An undo after the rollout brings the template back, and not the content: that is said once.
func TestAnUndoAfterARolloutSaysThatTheContentStays(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.quick)
	a := deployment("app", env("KEY", ofConfigMap("config"), "key")).idle().annotated(s.keys.auto, "true")
	s.apply(configMap("config", "key", "1"), a.object())
	w := a.in(s.ns)
	s.must(s.AwaitRollout(s.ctx, w))
	s.hasBaseline(w)
	before := s.rollouts()
	s.apply(configMap("config", "key", "2"))
	s.rolled(before, w)
	s.must(s.AwaitRollout(s.ctx, w))

	before = s.rollouts()
	s.undo(w)
	s.rolled(before, w) // by the undo
	before = s.rollouts()
	_, err := s.AwaitEvent(s.ctx, w, "UndoWithoutContent", "ConfigMap config changed (key)", "does not change sources")
	s.must(err)
	s.onlyRolled(before)
	if n := s.timesReported(w, "UndoWithoutContent"); n != 1 {
		t.Errorf("it is said %d times, want once", n)
	}
	s.apply(configMap("config", "key", "3"))
	s.onlyRolled(before, w)
}

// A manifest that is copied with its annotations is another workload: nothing is rolled for what the first one had.
func TestACopyWithItsBaselineIsANewWorkload(t *testing.T) {
	t.Parallel()
	s, other := openSpace(t, suite.quick), openSpace(t, suite.quick)
	s.apply(configMap("config", "key", "1"))
	other.apply(configMap("config", "key", "other"))
	uses := env("KEY", ofConfigMap("config"), "key")
	var copies []framework.Workload
	for _, kind := range kinds() {
		a := newApp(kind, strings.ToLower(kind), []use{uses}).idle().annotated(s.keys.auto, "true")
		s.apply(a.object())
		s.hasBaseline(a.in(s.ns))
		recorded := s.observed(a.in(s.ns))
		other.apply(a.annotated(annotation.Baseline, recorded).object())
		w := a.in(other.ns)
		_, err := other.Await(other.ctx, w, "a baseline of its own", func(state framework.State) bool {
			return state.Annotations[annotation.Baseline] != recorded && state.Annotations[annotation.Baseline] != ""
		})
		s.must(err)
		copies = append(copies, w)
	}
	before := other.rollouts()
	other.onlyRolled(before)
	other.apply(configMap("config", "key", "another"))
	other.onlyRolled(before, copies...)
}

// With the update strategy OnDelete a rollout waits for somebody who deletes the pods, and the event says so.
func TestOnDeleteAndAPauseAreNamed(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.quick)
	s.apply(configMap("config", "key", "1"))
	uses := []use{env("KEY", ofConfigMap("config"), "key")}
	set, ok := newApp("StatefulSet", "set", uses).idle().annotated(s.keys.auto, "true").object().(*appsv1.StatefulSet)
	daemon, ok2 := newApp("DaemonSet", "daemon", uses).idle().annotated(s.keys.auto, "true").object().(*appsv1.DaemonSet)
	paused, ok3 := deployment("paused", uses...).idle().annotated(s.keys.auto, "true").object().(*appsv1.Deployment)
	if !ok || !ok2 || !ok3 {
		t.Fatal("not of these kinds")
	}
	set.Spec.UpdateStrategy.Type, daemon.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType
	s.apply(set, daemon, paused)
	workloads := []framework.Workload{framework.StatefulSet(s.ns, "set"), framework.DaemonSet(s.ns, "daemon"), framework.Deployment(s.ns, "paused")}
	s.hasBaseline(workloads...)
	s.must(s.AwaitRollout(s.ctx, workloads[2]))
	s.must(s.Patch(s.ctx, workloads[2], types.MergePatchType, []byte(`{"spec":{"paused":true}}`)))
	before := s.rollouts()
	s.apply(configMap("config", "key", "2"))
	for i, says := range []string{"OnDelete", "OnDelete", "paused"} {
		_, err := s.AwaitEvent(s.ctx, workloads[i], reloaded, says, "ConfigMap config changed (key)")
		s.must(err)
	}
	s.onlyRolled(before, workloads...)
	for _, w := range workloads {
		if !strings.Contains(s.observed(w), `"asked"`) {
			t.Errorf("%s: it is recorded as taken up: %s", w, s.observed(w))
		}
	}
}

// An Argo Rollout that is aborted goes back to its stable pods, which have the old content: what was asked for is not taken up.
func TestAnAbortedRolloutHasNotTakenUpWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	crd, err := framework.ModuleFile(s.ctx, argoRollouts, "manifests/crds/rollout-crd.yaml")
	s.must(err)
	s.define(definitionIn(t, crd))
	s.install(framework.Values{"isArgoRollouts": true}, nil)
	s.apply(configMap("config", "key", "1"))
	c := custom{rolloutResource, "Rollout", deployment("config", env("KEY", ofConfigMap("config"), "key")).annotated(s.keys.auto, "true"), map[string]any{
		"replicas": int64(2), "selector": map[string]any{"matchLabels": map[string]any{"app": "config", "kind": "deployment"}},
		"strategy": map[string]any{"canary": map[string]any{"steps": []any{map[string]any{"setWeight": int64(50)}, map[string]any{"pause": map[string]any{}}}}},
	}, []string{"spec", "template"}}
	status := func(status map[string]any) {
		t.Helper()
		u, err := s.Custom(rolloutResource, s.ns).Get(s.ctx, "config", metav1.GetOptions{})
		s.must(err)
		status["observedGeneration"] = strconv.FormatInt(u.GetGeneration(), 10)
		s.must(unstructured.SetNestedField(u.Object, status, "status"))
		_, err = s.Custom(rolloutResource, s.ns).UpdateStatus(s.ctx, u, metav1.UpdateOptions{FieldManager: framework.FieldManager})
		s.must(err)
	}
	before := s.createCustom(c)
	status(map[string]any{
		"phase": "Healthy", "replicas": int64(2), "updatedReplicas": int64(2), "readyReplicas": int64(2), "availableReplicas": int64(2),
		"currentPodHash": "old", "stableRS": "old",
	})
	s.apply(configMap("config", "key", "2"))
	after := s.recorded(c, before.GetAnnotations()[annotation.Baseline])
	status(map[string]any{
		"phase": "Degraded", "abort": true, "replicas": int64(2), "updatedReplicas": int64(0), "readyReplicas": int64(2), "availableReplicas": int64(2),
		"currentPodHash": "new", "stableRS": "old",
	})
	s.marker()
	u, err := s.Custom(rolloutResource, s.ns).Get(s.ctx, "config", metav1.GetOptions{})
	s.must(err)
	if !strings.Contains(u.GetAnnotations()[annotation.Baseline], `"asked"`) {
		t.Errorf("an aborted Rollout is recorded as taken up: %s", u.GetAnnotations()[annotation.Baseline])
	}
	// It is retried and completes; the next write says so, and rolls once.
	status(map[string]any{
		"phase": "Healthy", "replicas": int64(2), "updatedReplicas": int64(2), "readyReplicas": int64(2), "availableReplicas": int64(2),
		"currentPodHash": "new", "stableRS": "new",
	})
	was := configHash(t, c, after)
	s.apply(configMap("config", "key", "3"))
	last := s.recorded(c, u.GetAnnotations()[annotation.Baseline])
	if is := configHash(t, c, last); is == was {
		t.Errorf("the template has the config hash %q, as before the edit", is)
	}
}
