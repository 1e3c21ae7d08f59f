package workload_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

func kindOf(tb testing.TB, name string) workload.Kind {
	tb.Helper()
	kind, ok := table(tb).Of(name)
	if !ok {
		tb.Fatalf("no %s", name)
	}
	return kind
}

func TestADeploymentIsRollingUntilAllItsPodsAreNewAndAvailable(t *testing.T) {
	t.Parallel()
	three, none := int32(3), int32(0)
	complete := appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3}
	for name, c := range map[string]struct {
		change func(*appsv1.Deployment)
		want   bool
	}{
		"complete":               {func(*appsv1.Deployment) {}, false},
		"not seen yet":           {func(d *appsv1.Deployment) { d.Status.ObservedGeneration = 1 }, true},
		"some are not made":      {func(d *appsv1.Deployment) { d.Status.UpdatedReplicas = 2 }, true},
		"old ones are there":     {func(d *appsv1.Deployment) { d.Status.Replicas = 4 }, true},
		"some are not available": {func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 2 }, true},
		"paused":                 {func(d *appsv1.Deployment) { d.Spec.Paused, d.Status.ObservedGeneration = true, 1 }, false},
		"one by default": {func(d *appsv1.Deployment) {
			d.Spec.Replicas, d.Status = nil, appsv1.DeploymentStatus{ObservedGeneration: 2}
		}, true},
		"none are wanted": {func(d *appsv1.Deployment) {
			d.Spec.Replicas, d.Status = &none, appsv1.DeploymentStatus{ObservedGeneration: 2}
		}, false},
		"none, and not seen so far": {func(d *appsv1.Deployment) { d.Spec.Replicas, d.Status = &none, appsv1.DeploymentStatus{} }, true},
	} {
		d := obj.Deployment("web")
		d.Generation, d.Spec.Replicas, d.Status = 2, &three, complete
		c.change(d)
		if got := view(t, kindOf(t, "Deployment"), d).Rolling; got != c.want {
			t.Errorf("%s: rolling %t", name, got)
		}
	}
}

func TestAStatefulSetIsRollingUpToItsPartition(t *testing.T) {
	t.Parallel()
	three, one := int32(3), int32(1)
	for name, c := range map[string]struct {
		change func(*appsv1.StatefulSet)
		want   bool
	}{
		"complete":         {func(*appsv1.StatefulSet) {}, false},
		"not seen yet":     {func(s *appsv1.StatefulSet) { s.Status.ObservedGeneration = 1 }, true},
		"some are old":     {func(s *appsv1.StatefulSet) { s.Status.UpdatedReplicas = 2 }, true},
		"one is not there": {func(s *appsv1.StatefulSet) { s.Status.AvailableReplicas = 2 }, true},
		"replaced by hand": {func(s *appsv1.StatefulSet) {
			s.Spec.UpdateStrategy.Type, s.Status.UpdatedReplicas = appsv1.OnDeleteStatefulSetStrategyType, 0
		}, false},
		"up to a partition": {func(s *appsv1.StatefulSet) {
			s.Spec.UpdateStrategy.RollingUpdate, s.Status.UpdatedReplicas = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &one}, 2
		}, false},
		"before a partition": {func(s *appsv1.StatefulSet) {
			s.Spec.UpdateStrategy.RollingUpdate, s.Status.UpdatedReplicas = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &one}, 1
		}, true},
	} {
		s := obj.StatefulSet("web")
		s.Generation, s.Spec.Replicas = 2, &three
		s.Status = appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3}
		c.change(s)
		if got := view(t, kindOf(t, "StatefulSet"), s).Rolling; got != c.want {
			t.Errorf("%s: rolling %t", name, got)
		}
	}
}

func TestADaemonSetIsRollingOnAllItsNodes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*appsv1.DaemonSet)
		want   bool
	}{
		"complete":         {func(*appsv1.DaemonSet) {}, false},
		"not seen yet":     {func(d *appsv1.DaemonSet) { d.Status.ObservedGeneration = 1 }, true},
		"some are old":     {func(d *appsv1.DaemonSet) { d.Status.UpdatedNumberScheduled = 1 }, true},
		"one is not there": {func(d *appsv1.DaemonSet) { d.Status.NumberAvailable = 1 }, true},
		"replaced by hand": {func(d *appsv1.DaemonSet) {
			d.Spec.UpdateStrategy.Type, d.Status.UpdatedNumberScheduled = appsv1.OnDeleteDaemonSetStrategyType, 0
		}, false},
		"no node": {func(d *appsv1.DaemonSet) { d.Status = appsv1.DaemonSetStatus{ObservedGeneration: 2} }, false},
	} {
		d := obj.DaemonSet("web")
		d.Generation = 2
		d.Status = appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 2, UpdatedNumberScheduled: 2, NumberAvailable: 2}
		c.change(d)
		if got := view(t, kindOf(t, "DaemonSet"), d).Rolling; got != c.want {
			t.Errorf("%s: rolling %t", name, got)
		}
	}
}

func TestOtherKindsAreRollingAsFarAsTheirStatusSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind   string
		status map[string]any
		want   bool
	}{
		"says nothing":               {"Thing", nil, false},
		"not seen yet":               {"Thing", map[string]any{"observedGeneration": int64(1)}, true},
		"seen, and has no replicas":  {"Thing", map[string]any{"observedGeneration": int64(2)}, false},
		"complete":                   {"CloneSet", map[string]any{"observedGeneration": int64(2), "updatedReplicas": int64(3), "availableReplicas": int64(3)}, false},
		"some are old":               {"CloneSet", map[string]any{"observedGeneration": int64(2), "updatedReplicas": int64(2), "availableReplicas": int64(3)}, true},
		"some are not available":     {"CloneSet", map[string]any{"observedGeneration": int64(2), "updatedReplicas": int64(3), "availableReplicas": int64(1)}, true},
		"a generation in words":      {"Rollout", map[string]any{"observedGeneration": "1", "updatedReplicas": int64(3), "availableReplicas": int64(3)}, true},
		"the same, seen":             {"Rollout", map[string]any{"observedGeneration": "2", "updatedReplicas": int64(3), "availableReplicas": int64(3)}, false},
		"a generation of an old one": {"Rollout", map[string]any{"observedGeneration": "6d5f", "updatedReplicas": int64(3), "availableReplicas": int64(3)}, false},
	} {
		kind := kindOf(t, c.kind)
		o := obj.JSON(kind.APIVersion(), kind.APIKind(), "web", kind.Path)
		o.SetGeneration(2)
		set(t, o, int64(3), "spec", "replicas")
		if c.status != nil {
			o.Object["status"] = c.status
		}
		if got := view(t, kind, metav1.Object(o)).Rolling; got != c.want {
			t.Errorf("%s: rolling %t", name, got)
		}
	}
}

func TestTheEndOfARolloutIsADifference(t *testing.T) {
	t.Parallel()
	d := obj.Deployment("web")
	before := view(t, kindOf(t, "Deployment"), d)
	after := before
	after.Rolling = !before.Rolling
	if after.Same(before) {
		t.Error("nobody would hear of it")
	}
}

func TestADeploymentWhosePodsAreRefused(t *testing.T) {
	t.Parallel()
	since := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	refused := appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", LastTransitionTime: since}
	for name, tc := range map[string]struct {
		conditions []appsv1.DeploymentCondition
		want       time.Time
	}{
		"no condition":                {nil, time.Time{}},
		"pods cannot be made":         {[]appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}, refused}, since.Time},
		"pods could not be made once": {[]appsv1.DeploymentCondition{changed(refused, func(c *appsv1.DeploymentCondition) { c.Status = corev1.ConditionFalse })}, time.Time{}},
		"pods cannot be deleted":      {[]appsv1.DeploymentCondition{changed(refused, func(c *appsv1.DeploymentCondition) { c.Reason = "FailedDelete" })}, time.Time{}},
	} {
		d := obj.Deployment("web")
		before := view(t, kindOf(t, "Deployment"), d)
		d.Status.Conditions = tc.conditions
		got := view(t, kindOf(t, "Deployment"), d)
		if !got.Refused.Equal(tc.want) || got.Same(before) != tc.want.IsZero() {
			t.Errorf("%s: since %v, the same as before: %t", name, got.Refused, got.Same(before))
		}
	}
}

func changed(c appsv1.DeploymentCondition, change func(*appsv1.DeploymentCondition)) appsv1.DeploymentCondition {
	change(&c)
	return c
}

// Argo Rollouts take the condition over from their ReplicaSets, and ReplicationControllers have it themselves.
func TestOtherKindsWhosePodsAreRefused(t *testing.T) {
	t.Parallel()
	condition := func(kind, status, reason, since string) any {
		return map[string]any{"type": kind, "status": status, "reason": reason, "lastTransitionTime": since}
	}
	const since = "2026-01-01T00:00:00Z"
	for name, tc := range map[string]struct {
		conditions any
		want       string
	}{
		"no condition":                {nil, ""},
		"pods cannot be made":         {[]any{condition("Available", "True", "", since), condition("ReplicaFailure", "True", "FailedCreate", since)}, since},
		"pods could not be made once": {[]any{condition("ReplicaFailure", "False", "FailedCreate", since)}, ""},
		"pods cannot be deleted":      {[]any{condition("ReplicaFailure", "True", "FailedDelete", since)}, ""},
		"a condition without a time":  {[]any{condition("ReplicaFailure", "True", "FailedCreate", "yesterday")}, ""},
		"no conditions but a text":    {"none", ""},
		"a condition that is a text":  {[]any{"ReplicaFailure"}, ""},
	} {
		kind := kindOf(t, "Rollout")
		o := obj.JSON(kind.APIVersion(), kind.APIKind(), "web", kind.Path)
		if tc.conditions != nil {
			set(t, o, tc.conditions, "status", "conditions")
		}
		got := view(t, kind, metav1.Object(o)).Refused
		want, _ := time.Parse(time.RFC3339, tc.want)
		if !got.Equal(want) {
			t.Errorf("%s: since %v, want %v", name, got, want)
		}
	}
}
