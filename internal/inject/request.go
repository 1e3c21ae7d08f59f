package inject

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/annotation"
)

// notYetInjected makes a second call harmless: the webhook is called again when another one has changed the pod.
func notYetInjected(p *plan) *skip {
	named := func(c corev1.Container) bool { return c.Name == ContainerName }
	if slices.ContainsFunc(p.spec.Containers, named) || slices.ContainsFunc(p.spec.InitContainers, named) {
		return because(AlreadyInjected, "there is a container called %s already", ContainerName)
	}
	return nil
}

func asked(p *plan) *skip {
	ask, problems := annotation.ReadInjection(p.pod.Annotations, p.options.Defaults, p.options.NamespaceAsks)
	p.ask = ask
	if len(problems) > 0 {
		var faults, keys []string
		for _, problem := range problems {
			faults = append(faults, problem.String())
			if key := problem.Key; problem.Unknown {
				keys = append(keys, annotation.Domain)
			} else {
				keys = append(keys, key)
			}
		}
		return &skip{InvalidAnnotation, strings.Join(faults, "; "), slices.Compact(keys)}
	}
	if !ask.Wanted {
		return because(NotRequested, "neither the pod nor its namespace asks for the sidecar")
	}
	return nil
}

func onLinux(p *plan) *skip {
	if _, isMirror := p.pod.Annotations[corev1.MirrorPodAnnotationKey]; isMirror {
		return because(MirrorPod, "a static pod is run by its kubelet as it is; add the sidecar to its manifest")
	}
	if p.spec.OS != nil && p.spec.OS.Name == corev1.Windows || p.spec.NodeSelector[corev1.LabelOSStable] == string(corev1.Windows) {
		return because(WindowsPod, "the sidecar is a Linux program")
	}
	return nil
}

// notRefused leaves the sidecar out where the API server refuses the pods of the same owner with it: a pod without it is better
// than none.
func notRefused(p *plan) *skip {
	if p.options.Refused == "" {
		return nil
	}
	return because(RefusedBefore, "the API server refuses this pod with the sidecar (%s), so that it runs without; see %[2]ssidecar-capabilities and the other %[2]ssidecar-… keys, "+
		"or set %[2]sinject: disabled", p.options.Refused, annotation.Domain)
}
