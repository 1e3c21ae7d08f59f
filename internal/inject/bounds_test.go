package inject_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/inject"
)

// sources repeats a source of a projected volume, by number.
func sources(n int, source func(i int) corev1.VolumeProjection) []corev1.VolumeProjection {
	all := make([]corev1.VolumeProjection, 0, n)
	for i := range n {
		all = append(all, source(i))
	}
	return all
}

func configMapSource(i int) corev1.VolumeProjection {
	return corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: fmt.Sprint("c", i)}}}
}

func downwardSource(i int) corev1.VolumeProjection {
	item := corev1.DownwardAPIVolumeFile{Path: fmt.Sprint("d", i), FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}
	return corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{item}}}
}

func bundleSource(i int) corev1.VolumeProjection {
	return corev1.VolumeProjection{ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{Name: new(fmt.Sprint("b", i)), Path: fmt.Sprint("b", i)}}
}

// intricate is a pod that asks for the sidecar, with a projected volume and so many mounts of it.
func intricate(mounts int, prefix string, sources ...corev1.VolumeProjection) *corev1.Pod {
	pod := &corev1.Pod{}
	pod.Annotations = map[string]string{"inpod.dev/inject": "enabled", "inpod.dev/reload-url": "http://localhost/reload"}
	pod.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}}}
	container := corev1.Container{Name: "web", Image: "nginx"}
	for i := range mounts {
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: "v", MountPath: fmt.Sprint(prefix, i)})
	}
	pod.Spec.Containers = []corev1.Container{container}
	return pod
}

// with changes a pod.
func with(pod *corev1.Pod, change func(*corev1.Pod)) *corev1.Pod {
	change(pod)
	return pod
}

// Whoever may post a review must not take the time and memory of all others. What is allocated is a measure of the work that a slow
// machine does not change. No pod here has more members and elements than a review may have.
func TestTheWorkForOnePodIsBounded(t *testing.T) { //nolint:paralleltest // it counts what is allocated
	const most = 64 << 20 // gigabytes without the bounds
	o := inject.Options{NativeSidecars: true, Image: "inpod/sidecar:1", StatusPort: 27467}
	for name, pod := range map[string]*corev1.Pod{
		"many mounts of many sources":  intricate(1000, "/m", sources(1300, configMapSource)...),
		"many mounts of many bundles":  intricate(1000, "/m", sources(1000, bundleSource)...),
		"many mounts of files of pods": intricate(1000, "/m", append(sources(600, downwardSource), configMapSource(0))...),
		"many mounts":                  intricate(2600, "/"+strings.Repeat("m", 1000), configMapSource(0)),
		"a long path with many files":  intricate(1, "/"+strings.Repeat("m", 1<<20), append(sources(500, bundleSource), configMapSource(0))...),
		"many headers": with(intricate(100, "/m", configMapSource(0)), func(pod *corev1.Pod) {
			pod.Annotations["inpod.dev/reload-header-from"] = strings.Repeat("a=/m0/a\n", 3<<20/8)
		}),
		"a command of many words": with(intricate(1, "/m", configMapSource(0)), func(pod *corev1.Pod) {
			pod.Annotations["inpod.dev/validate-command"] = `["x"` + strings.Repeat(`,""`, 1<<20) + `]`
		}),
		"an expression that grows": with(intricate(1, "/m", configMapSource(0)), func(pod *corev1.Pod) {
			pod.Spec.Containers[0].VolumeMounts[0].SubPathExpr = strings.Repeat("$(A)", 1000)
			pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: strings.Repeat("a", 1<<18)}}
		}),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		change, report := inject.Inject(pod, o)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > most {
			t.Errorf("%s: %d MiB", name, got>>20)
		}
		if report.Reason == inject.Injected || len(change.InitContainers) > 0 {
			t.Errorf("%s: %s", name, report.Reason)
		}
	}
}

// Pods that are large for an application are within the bounds.
func TestLargePodsAreInjected(t *testing.T) {
	t.Parallel()
	o := inject.Options{NativeSidecars: true, Image: "inpod/sidecar:1", StatusPort: 27467}
	hundred := intricate(3, "/m", sources(100, configMapSource)...)
	for i := range 99 {
		c := *hundred.Spec.Containers[0].DeepCopy()
		c.Name = fmt.Sprint("other-", i)
		hundred.Spec.Containers = append(hundred.Spec.Containers, c)
	}
	hundred.Annotations["inpod.dev/reload-container"] = "web"
	items := corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}}}
	for i := range 1000 {
		items.ConfigMap.Items = append(items.ConfigMap.Items, corev1.KeyToPath{Key: fmt.Sprint("k", i), Path: fmt.Sprint("k", i)})
	}
	for name, pod := range map[string]*corev1.Pod{
		"a hundred containers with three mounts each of a hundred sources": hundred,
		"a thousand items beside files of the pod":                         intricate(2, "/etc/app", items, downwardSource(0), downwardSource(1), bundleSource(0)),
		"a hundred mounts": intricate(100, "/etc/app/conf.d/", sources(10, configMapSource)...),
	} {
		if _, report := inject.Inject(pod, o); report.Reason != inject.Injected {
			t.Errorf("%s: %s: %s", name, report.Reason, report.Message)
		}
	}
}
