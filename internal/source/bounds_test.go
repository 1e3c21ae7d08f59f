package source_test

import (
	"fmt"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/source"
)

// mountsOf are mounts of one projected volume of so many ConfigMaps.
func mountsOf(sources int, mounts ...corev1.VolumeMount) *corev1.PodSpec {
	projected := &corev1.ProjectedVolumeSource{}
	for i := range sources {
		projected.Sources = append(projected.Sources, corev1.VolumeProjection{
			ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: fmt.Sprint("c", i)}},
		})
	}
	return &corev1.PodSpec{
		Volumes:    []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: projected}}},
		Containers: []corev1.Container{{Name: "app", VolumeMounts: mounts}},
	}
}

// What hides what is the same for all sources of a mount.
func TestASubPathOfManySourcesTakesLittle(t *testing.T) { //nolint:paralleltest // it counts what is allocated
	const sources, most = 2000, 16 << 20 // 500 MiB with a copy of all for each
	spec := mountsOf(sources, corev1.VolumeMount{Name: "v", MountPath: "/etc/app.conf", SubPath: "app.conf"})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	usages := source.Usages("shop", spec)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > most || len(usages) != sources {
		t.Errorf("%d MiB for %d usages", got>>20, len(usages))
	}
}

func TestWhatMountsShowIsCounted(t *testing.T) {
	t.Parallel()
	spec := mountsOf(10, corev1.VolumeMount{Name: "v"}, corev1.VolumeMount{Name: "v", SubPathExpr: "$(A)"}, corev1.VolumeMount{Name: "w"}, corev1.VolumeMount{Name: "u"})
	spec.Containers[0].Env = make([]corev1.EnvVar, 5)
	spec.InitContainers = []corev1.Container{{VolumeMounts: []corev1.VolumeMount{{Name: "w"}}}}
	spec.Volumes[0].Projected.Sources[0].ConfigMap.Items = make([]corev1.KeyToPath, 3)
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "w", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{Items: make([]corev1.KeyToPath, 7)}}})
	if got, want := source.Shown(spec), 2*(1+10+3)+5+2*(1+7); got != want {
		t.Errorf("%d, want %d", got, want)
	}
}
