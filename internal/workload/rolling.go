package workload

import (
	"maps"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rollingOf makes the function of a row from one on the type of its kind.
func rollingOf[T any](of func(*T) bool) func(any) bool {
	return func(object any) bool {
		typed, ok := object.(*T)
		return ok && of(typed)
	}
}

func wanted(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

// rollingDeployment is what "kubectl rollout status" waits for. A Deployment that is paused waits for its user.
func rollingDeployment(d *appsv1.Deployment) bool {
	s := d.Status
	if d.Spec.Paused {
		return false
	}
	return s.ObservedGeneration < d.Generation || s.UpdatedReplicas < wanted(d.Spec.Replicas) ||
		s.Replicas > s.UpdatedReplicas || s.AvailableReplicas < s.UpdatedReplicas
}

// rollingStatefulSet stops at the partition, and never begins where pods are replaced by hand.
func rollingStatefulSet(d *appsv1.StatefulSet) bool {
	s, strategy := d.Status, d.Spec.UpdateStrategy
	if s.ObservedGeneration < d.Generation {
		return true
	}
	if strategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return false
	}
	updated := wanted(d.Spec.Replicas)
	if rolling := strategy.RollingUpdate; rolling != nil && rolling.Partition != nil {
		updated = max(0, updated-*rolling.Partition)
	}
	return s.UpdatedReplicas < updated || s.AvailableReplicas < wanted(d.Spec.Replicas)
}

func rollingDaemonSet(d *appsv1.DaemonSet) bool {
	s := d.Status
	if s.ObservedGeneration < d.Generation {
		return true
	}
	if d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		return false
	}
	return s.UpdatedNumberScheduled < s.DesiredNumberScheduled || s.NumberAvailable < s.DesiredNumberScheduled
}

// rollingJSON reads the fields that most kinds with replicas have. Of a kind without them no more is known than whether
// its controller has seen the object.
func rollingJSON(object any) bool {
	content, ok := object.(*unstructured.Unstructured)
	if !ok {
		return false
	}
	number := func(path ...string) (int64, bool) {
		n, found, err := unstructured.NestedInt64(content.Object, path...)
		return n, found && err == nil
	}
	if !observed(content) {
		return true
	}
	updated, counts := number("status", "updatedReplicas")
	if !counts {
		return false
	}
	replicas, said := number("spec", "replicas")
	if !said {
		replicas = 1
	}
	available, reported := number("status", "availableReplicas")
	return updated < replicas || (reported && available < replicas)
}

// rollingRollout is the same for an Argo Rollout. One that is aborted goes on when somebody retries it or edits it.
func rollingRollout(object any) bool {
	if content, ok := object.(*unstructured.Unstructured); ok {
		if aborted, _, err := unstructured.NestedBool(content.Object, "status", "abort"); err == nil && aborted && observed(content) {
			return false
		}
	}
	return rollingJSON(withZeros(object))
}

// withZeros returns an object with the numbers of its status that are left out because they are 0, as Argo Rollouts do
// (argo-rollouts, pkg/apis/rollouts/v1alpha1/types.go RolloutStatus). An object without a status stays as it is.
func withZeros(object any) any {
	content, ok := object.(*unstructured.Unstructured)
	if !ok {
		return object
	}
	status, ok := content.Object["status"].(map[string]any)
	if _, seen := status["observedGeneration"]; !ok || !seen {
		return object
	}
	full := map[string]any{"replicas": int64(0), "updatedReplicas": int64(0), "availableReplicas": int64(0)}
	maps.Copy(full, status)
	all := maps.Clone(content.Object)
	all["status"] = full
	return &unstructured.Unstructured{Object: all}
}

// observed reports whether the controller of an object has seen it as it is, as far as its status says.
func observed(content *unstructured.Unstructured) bool {
	seen, found, err := unstructured.NestedInt64(content.Object, "status", "observedGeneration")
	known := found && err == nil
	if text, found, _ := unstructured.NestedString(content.Object, "status", "observedGeneration"); found { // of Argo Rollouts
		seen, err = strconv.ParseInt(text, 10, 64)
		known = err == nil
	}
	return !known || seen >= content.GetGeneration()
}

// refusedDeployment reads the condition that the Deployment's controller takes over from a ReplicaSet that cannot make pods.
func refusedDeployment(object any) time.Time {
	d, is := object.(*appsv1.Deployment)
	if !is {
		return time.Time{}
	}
	for _, c := range d.Status.Conditions {
		if cannotMakePods(string(c.Type), string(c.Status), c.Reason) {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

func cannotMakePods(kind, status, reason string) bool {
	return kind == string(appsv1.DeploymentReplicaFailure) && status == string(corev1.ConditionTrue) && reason == "FailedCreate"
}

// refusedJSON reads the same condition of other kinds. Argo Rollouts take it over as well (argo-rollouts,
// utils/conditions), and a ReplicationController sets it itself.
func refusedJSON(object any) time.Time {
	content, ok := object.(*unstructured.Unstructured)
	if !ok {
		return time.Time{}
	}
	conditions, _, err := unstructured.NestedSlice(content.Object, "status", "conditions")
	if err != nil {
		return time.Time{}
	}
	for _, condition := range conditions {
		c, isObject := condition.(map[string]any)
		text := func(field string) string {
			value, _ := c[field].(string)
			return value
		}
		if !isObject || !cannotMakePods(text("type"), text("status"), text("reason")) {
			continue
		}
		if since, err := time.Parse(time.RFC3339, text("lastTransitionTime")); err == nil {
			return since
		}
	}
	return time.Time{}
}
