package workload_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

func TestHowManyPodsMayBeUnavailable(t *testing.T) {
	t.Parallel()
	deployment := func(pods int32, change func(*appsv1.Deployment)) metav1.Object {
		d := obj.Deployment("web")
		d.Spec.Replicas = new(pods)
		change(d)
		return d
	}
	rolling := func(text string) func(*appsv1.Deployment) {
		return func(d *appsv1.Deployment) {
			d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: new(intstr.Parse(text))}
		}
	}
	argo := func(strategy map[string]any) metav1.Object {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": map[string]any{"name": "web", "namespace": "shop"},
			"spec": map[string]any{"replicas": int64(8), "strategy": strategy},
		}}
	}
	daemons := func(text string) metav1.Object {
		d := &appsv1.DaemonSet{}
		d.Status.DesiredNumberScheduled = 50
		if text != "" {
			d.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateDaemonSet{MaxUnavailable: new(intstr.Parse(text))}
		}
		return d
	}
	for name, c := range map[string]struct {
		object metav1.Object
		want   int
	}{
		"a Deployment that says nothing":          {deployment(8, func(*appsv1.Deployment) {}), 2},
		"a small one that says nothing":           {deployment(3, func(*appsv1.Deployment) {}), 0},
		"a percentage, rounded down":              {deployment(7, rolling("30%")), 2},
		"a number":                                {deployment(3, rolling("1")), 1},
		"zero":                                    {deployment(8, rolling("0")), 0},
		"what is no number":                       {deployment(8, rolling("many")), 0},
		"one that is made again":                  {deployment(3, func(d *appsv1.Deployment) { d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType }), 3},
		"a StatefulSet":                           {obj.StatefulSet("db"), 1},
		"a DaemonSet that says nothing":           {daemons(""), 1},
		"a DaemonSet with a percentage":           {daemons("5%"), 3},
		"a Rollout with a number":                 {argo(map[string]any{"canary": map[string]any{"maxUnavailable": int64(2)}}), 2},
		"a Rollout with a percentage":             {argo(map[string]any{"canary": map[string]any{"maxUnavailable": "25%"}}), 2},
		"a Rollout with a strategy of two colors": {argo(map[string]any{"blueGreen": map[string]any{}}), 0},
	} {
		kinds := append(workload.Kinds(), workload.Rollout())
		kind, _ := kinds.Of("Deployment")
		switch c.object.(type) {
		case *appsv1.StatefulSet:
			kind, _ = kinds.Of("StatefulSet")
		case *appsv1.DaemonSet:
			kind, _ = kinds.Of("DaemonSet")
		case *unstructured.Unstructured:
			kind, _ = kinds.Of("Rollout")
		}
		view, err := kind.View(c.object, func(string) bool { return false })
		if err != nil || view.MaxUnavailable != c.want {
			t.Errorf("%s: %d, %v; want %d", name, view.MaxUnavailable, err, c.want)
		}
	}
}
