package tests

import (
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// podSpecs are those of everything that runs, by the name of the object.
func podSpecs(rendered Rendered) map[string]corev1.PodSpec {
	specs := map[string]corev1.PodSpec{}
	for _, object := range rendered {
		switch workload := object.(type) {
		case *appsv1.Deployment:
			specs[describe(object)] = workload.Spec.Template.Spec
		case *appsv1.DaemonSet:
			specs[describe(object)] = workload.Spec.Template.Spec
		case *appsv1.StatefulSet:
			specs[describe(object)] = workload.Spec.Template.Spec
		case *batchv1.Job:
			specs[describe(object)] = workload.Spec.Template.Spec
		case *batchv1.CronJob:
			specs[describe(object)] = workload.Spec.JobTemplate.Spec.Template.Spec
		}
	}
	return specs
}

// violations is what keeps a pod from the Pod Security level "restricted". The admission plugin is not a library of
// this module, so this is its list of controls once more, for the fields that a chart can render.
// https://kubernetes.io/docs/concepts/security/pod-security-standards/
func violations(spec corev1.PodSpec) []string {
	var found []string
	violated := func(isViolated bool, format string, args ...any) {
		if isViolated {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	pod := spec.SecurityContext
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	violated(spec.HostNetwork || spec.HostPID || spec.HostIPC, "a namespace of the host")
	violated(len(pod.Sysctls) > 0, "sysctls")
	violated(pod.RunAsUser != nil && *pod.RunAsUser == 0, "the pod runs as root")
	violated(pod.RunAsNonRoot != nil && !*pod.RunAsNonRoot, "runAsNonRoot of the pod is false")
	violated(!isConfined(pod.SeccompProfile, true), "seccomp profile of the pod")
	for _, volume := range spec.Volumes {
		source := volume.VolumeSource
		isAllowed := source.ConfigMap != nil || source.Secret != nil || source.EmptyDir != nil || source.Projected != nil ||
			source.DownwardAPI != nil || source.CSI != nil || source.PersistentVolumeClaim != nil || source.Ephemeral != nil
		violated(!isAllowed, "volume %s", volume.Name)
	}
	for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
		c := container.SecurityContext
		if c == nil {
			c = &corev1.SecurityContext{}
		}
		for _, port := range container.Ports {
			violated(port.HostPort != 0, "%s: a port of the host", container.Name)
		}
		violated(c.Privileged != nil && *c.Privileged, "%s: privileged", container.Name)
		violated(c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation, "%s: privileges may grow", container.Name)
		violated(c.RunAsUser != nil && *c.RunAsUser == 0, "%s: runs as root", container.Name)
		nonRoot := c.RunAsNonRoot
		if nonRoot == nil {
			nonRoot = pod.RunAsNonRoot
		}
		violated(nonRoot == nil || !*nonRoot, "%s: may run as root", container.Name)
		violated(!isConfined(c.SeccompProfile, pod.SeccompProfile != nil), "%s: seccomp profile", container.Name)
		violated(c.ProcMount != nil && *c.ProcMount != corev1.DefaultProcMount, "%s: proc mount", container.Name)
		capabilities := c.Capabilities
		if capabilities == nil {
			capabilities = &corev1.Capabilities{}
		}
		violated(!slices.Contains(capabilities.Drop, "ALL"), "%s: keeps capabilities", container.Name)
		for _, added := range capabilities.Add {
			violated(added != "NET_BIND_SERVICE", "%s: adds capability %s", container.Name, added)
		}
	}
	return found
}

// isConfined reports whether a seccomp profile is one that "restricted" allows; without one, it is as the caller says.
func isConfined(profile *corev1.SeccompProfile, without bool) bool {
	if profile == nil {
		return without
	}
	return profile.Type == corev1.SeccompProfileTypeRuntimeDefault || profile.Type == corev1.SeccompProfileTypeLocalhost
}

func TestPodsPassRestricted(t *testing.T) {
	t.Parallel()
	for set, values := range sets(t) {
		rendered := render(t, "--values="+values)
		specs := podSpecs(rendered)
		if len(specs) == 0 {
			t.Errorf("%s: nothing runs", set)
		}
		for name, spec := range specs {
			for _, violation := range violations(spec) {
				t.Errorf("%s: %s: %s", set, name, violation)
			}
		}
	}
}

func TestContainersAreClosed(t *testing.T) {
	t.Parallel()
	for set, values := range sets(t) {
		for name, spec := range podSpecs(render(t, "--values="+values)) {
			for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
				if c := container.SecurityContext; c == nil || c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem {
					t.Errorf("%s: %s: %s can write to its root", set, name, container.Name)
				}
				if len(container.Resources.Requests) == 0 || container.Resources.Limits.Memory().IsZero() {
					t.Errorf("%s: %s: %s has no requests or no memory limit", set, name, container.Name)
				}
			}
			if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
				t.Errorf("%s: %s gets a variable for each Service of the namespace", set, name)
			}
		}
	}
}

// The list of controls can fail: each line is a pod that the admission plugin refuses.
func TestViolations(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(pod *corev1.PodSpec, container *corev1.SecurityContext){
		"a namespace of the host": func(pod *corev1.PodSpec, _ *corev1.SecurityContext) { pod.HostNetwork = true },
		"seccomp profile of the pod": func(pod *corev1.PodSpec, _ *corev1.SecurityContext) {
			pod.SecurityContext.SeccompProfile.Type = "Unconfined"
		},
		"c: seccomp profile":     func(pod *corev1.PodSpec, _ *corev1.SecurityContext) { pod.SecurityContext.SeccompProfile = nil },
		"c: may run as root":     func(pod *corev1.PodSpec, _ *corev1.SecurityContext) { pod.SecurityContext.RunAsNonRoot = nil },
		"the pod runs as root":   func(pod *corev1.PodSpec, _ *corev1.SecurityContext) { pod.SecurityContext.RunAsUser = new(int64(0)) },
		"c: privileges may grow": func(_ *corev1.PodSpec, c *corev1.SecurityContext) { c.AllowPrivilegeEscalation = nil },
		"c: keeps capabilities":  func(_ *corev1.PodSpec, c *corev1.SecurityContext) { c.Capabilities = nil },
		"c: adds capability SYS_PTRACE": func(_ *corev1.PodSpec, c *corev1.SecurityContext) {
			c.Capabilities.Add = []corev1.Capability{"SYS_PTRACE"}
		},
		"c: privileged":   func(_ *corev1.PodSpec, c *corev1.SecurityContext) { c.Privileged = new(true) },
		"c: runs as root": func(_ *corev1.PodSpec, c *corev1.SecurityContext) { c.RunAsUser = new(int64(0)) },
		"runAsNonRoot of the pod is false": func(pod *corev1.PodSpec, c *corev1.SecurityContext) {
			pod.SecurityContext.RunAsNonRoot, c.RunAsNonRoot = new(false), new(true)
		},
		"volume host": func(pod *corev1.PodSpec, _ *corev1.SecurityContext) {
			pod.Volumes = []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{}}}}
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			pod := corev1.PodSpec{
				SecurityContext: &corev1.PodSecurityContext{
					RunAsNonRoot:   new(true),
					SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
				Containers: []corev1.Container{{Name: "c", SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false),
					Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				}}},
			}
			if found := violations(pod); len(found) > 0 {
				t.Fatalf("a closed pod violates %v", found)
			}
			spoil(&pod, pod.Containers[0].SecurityContext)
			if found := violations(pod); !slices.Equal(found, []string{want}) {
				t.Errorf("violations %v, want %q", found, want)
			}
		})
	}
}
