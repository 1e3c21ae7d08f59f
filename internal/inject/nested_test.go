package inject_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/inject"
)

// The configuration is mounted at /etc/nginx/conf.d, and something else at /etc/nginx.
func TestAMountAroundTheConfiguration(t *testing.T) {
	t.Parallel()
	scratch := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	filled := corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "outer"}}}
	runsPrograms := annotated("inpod.dev/validate-command", `["nginx","-t"]`)
	writes := another(corev1.Container{Name: "writer"})
	for name, tc := range map[string]struct {
		changes    []change
		wantReason inject.Reason
		wantMount  string // how the sidecar has the outer one: "none", "to read", "to write"
	}{
		"an emptyDir, which the runtime makes folders in":     {[]change{runsPrograms, around(scratch, false)}, inject.Injected, "to write"},
		"a claim, which may have no folder":                   {[]change{runsPrograms, around(claim(), false)}, inject.NestedMount, "none"},
		"a claim that the application only reads, too":        {[]change{runsPrograms, around(claim(), true)}, inject.Injected, "to read"},
		"a claim that only another container writes":          {[]change{runsPrograms, around(claim(), false), writes, readingIt}, inject.NestedMount, "none"},
		"a ConfigMap, in which the kubelet makes the folders": {[]change{runsPrograms, around(filled, false)}, inject.Injected, "to read"},
		"a claim with the working directory inside":           {[]change{runsPrograms, beside, web(func(c *corev1.Container) { c.WorkingDir = "/data/app" })}, inject.NestedMount, "none"},
		"a claim that is the working directory":               {[]change{runsPrograms, beside, web(func(c *corev1.Container) { c.WorkingDir = "/data" })}, inject.Injected, "to read"},
		"a claim that the sidecar does not mount":             {append(byRequest(), around(claim(), false)), inject.Injected, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, o := nginx(append(tc.changes, annotated("inpod.dev/reload-container", "web"))...)
			change, report := inject.Inject(pod, o)
			if report.Reason != tc.wantReason {
				t.Fatalf("%s: %s", report.Reason, report.Message)
			}
			got := "none"
			for _, c := range slices.Concat(change.InitContainers, change.Containers) {
				for _, m := range c.VolumeMounts {
					if m.Name == "outer" && c.Name == inject.ContainerName {
						got = map[bool]string{true: "to read", false: "to write"}[m.ReadOnly]
					}
				}
			}
			if got != tc.wantMount {
				t.Errorf("the sidecar has it %s, want %s", got, tc.wantMount)
			}
		})
	}
}

// beside mounts a claim that holds nothing else.
func beside(pod *corev1.Pod, _ *inject.Options) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "outer", VolumeSource: claim()})
	c := &pod.Spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "outer", MountPath: "/data"})
}

// readingIt has the application itself only read the outer volume.
func readingIt(pod *corev1.Pod, _ *inject.Options) {
	mounts := slices.Clone(pod.Spec.Containers[0].VolumeMounts)
	for i := range mounts {
		mounts[i].ReadOnly = mounts[i].ReadOnly || mounts[i].Name == "outer"
	}
	pod.Spec.Containers[0].VolumeMounts = mounts
}

// The kubelet makes the folder in the volume of the token, and the sidecar has another volume there.
func TestAMountInsideThePathOfTheToken(t *testing.T) {
	t.Parallel()
	inside := web(func(c *corev1.Container) {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "conf", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount/extra", ReadOnly: true})
	})
	for name, tc := range map[string]struct {
		changes      []change
		wantReadOnly bool
	}{
		"nothing inside":   {[]change{apiAccess()}, true},
		"something inside": {[]change{apiAccess(), inside}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			change, report := inject.Inject(nginx(tc.changes...))
			if report.Reason != inject.Injected {
				t.Fatalf("%s: %s", report.Reason, report.Message)
			}
			sidecar := change.InitContainers[len(change.InitContainers)-1]
			i := slices.IndexFunc(sidecar.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount" })
			if i < 0 || sidecar.VolumeMounts[i].ReadOnly != tc.wantReadOnly {
				t.Errorf("mounts %v", sidecar.VolumeMounts)
			}
		})
	}
}
