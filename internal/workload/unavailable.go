package workload

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// maxUnavailable returns how many pods of an object may be unavailable while it rolls.
func maxUnavailable(object any) int {
	switch typed := object.(type) {
	case *appsv1.Deployment:
		pods := wanted(typed.Spec.Replicas)
		switch rolling := typed.Spec.Strategy.RollingUpdate; {
		case typed.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType:
			return int(pods)
		case rolling == nil || rolling.MaxUnavailable == nil:
			return scaled(new(intstr.FromString("25%")), pods, false) // the default of the API server
		default:
			return scaled(rolling.MaxUnavailable, pods, false)
		}
	case *appsv1.StatefulSet:
		if rolling := typed.Spec.UpdateStrategy.RollingUpdate; rolling != nil && rolling.MaxUnavailable != nil {
			return max(1, scaled(rolling.MaxUnavailable, wanted(typed.Spec.Replicas), false))
		}
		return 1
	case *appsv1.DaemonSet:
		if rolling := typed.Spec.UpdateStrategy.RollingUpdate; rolling != nil && rolling.MaxUnavailable != nil {
			return scaled(rolling.MaxUnavailable, typed.Status.DesiredNumberScheduled, true)
		}
		return 1
	case *unstructured.Unstructured:
		return unavailableJSON(typed)
	}
	return 0
}

// unavailableJSON reads it where the kinds have it that are read as JSON: of Argo Rollouts, OpenShift and OpenKruise.
func unavailableJSON(object *unstructured.Unstructured) int {
	pods, said, err := unstructured.NestedInt64(object.Object, "spec", "replicas")
	if err != nil || !said {
		pods = 1
	}
	for _, path := range [][]string{
		{"spec", "strategy", "canary", "maxUnavailable"},
		{"spec", "strategy", "rollingParams", "maxUnavailable"},
		{"spec", "updateStrategy", "maxUnavailable"},
		{"spec", "updateStrategy", "rollingUpdate", "maxUnavailable"},
	} {
		value, found, err := unstructured.NestedFieldNoCopy(object.Object, path...)
		if err != nil || !found {
			continue
		}
		switch typed := value.(type) {
		case int64:
			return int(max(0, min(typed, pods)))
		case string:
			return scaled(new(intstr.Parse(typed)), int32(min(pods, UnknownPods)), false)
		}
	}
	return 0
}

func scaled(value *intstr.IntOrString, pods int32, up bool) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(value, int(pods), up)
	if err != nil {
		return 0
	}
	return max(0, n)
}
