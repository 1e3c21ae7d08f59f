package workload_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/workload"
)

// Whoever may write one workload must not end the controller, which would read it again at its next start. The template has 100 KB.
func TestATemplateThatShowsTooMuchIsAFault(t *testing.T) { //nolint:paralleltest // it counts what is allocated
	const most = 32 << 20 // gigabytes without the bound
	projected := &corev1.ProjectedVolumeSource{}
	for i := range 1500 {
		projected.Sources = append(projected.Sources, corev1.VolumeProjection{
			ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: fmt.Sprint("c", i)}},
		})
	}
	deployment := &appsv1.Deployment{}
	deployment.Namespace, deployment.Name = "shop", "web"
	spec := &deployment.Spec.Template.Spec
	spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: projected}}}
	spec.Containers = []corev1.Container{{Name: "app"}}
	for i := range 1000 {
		spec.Containers[0].VolumeMounts = append(spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "v", MountPath: fmt.Sprint("/", i)})
	}
	for _, kind := range workload.Kinds() {
		if kind.Name != "Deployment" {
			continue
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v, err := kind.View(deployment, func(string) bool { return false })
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > most {
			t.Errorf("%d MiB", got>>20)
		}
		if err != nil || len(v.Usages) > 0 || !strings.Contains(v.Fault, "1501000 sources and files") {
			t.Errorf("%d usages, fault %q, error %v", len(v.Usages), v.Fault, err)
		}
		return
	}
	t.Fatal("there is no Deployment")
}
