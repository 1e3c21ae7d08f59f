package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/annotation"
)

// notYetInjected makes a second call harmless: the webhook is called again when another one has changed the pod.
func notYetInjected(p *plan) *skip {
	named := func(c corev1.Container) bool { return c.Name == ContainerName }
	if slices.ContainsFunc(p.spec.Containers, named) || slices.ContainsFunc(p.spec.InitContainers, named) {
		return alreadyInjected()
	}
	return nil
}

func asked(p *plan) *skip {
	ask, problems := annotation.ReadInjection(p.pod.Annotations, p.options.Defaults, p.options.NamespaceAsks)
	p.ask = ask
	if len(problems) > 0 {
		var keys []string
		for _, problem := range problems {
			if key := problem.Key; problem.Unknown {
				keys = append(keys, annotation.Domain)
			} else {
				keys = append(keys, key)
			}
		}
		return invalidAnnotations(problems, slices.Compact(keys))
	}
	if !ask.Wanted {
		return notRequested()
	}
	return nil
}

func onLinux(p *plan) *skip {
	if _, isMirror := p.pod.Annotations[corev1.MirrorPodAnnotationKey]; isMirror {
		return mirrorPod()
	}
	if p.spec.OS != nil && p.spec.OS.Name == corev1.Windows || p.spec.NodeSelector[corev1.LabelOSStable] == string(corev1.Windows) {
		return windowsPod()
	}
	return nil
}

// notRefused leaves the sidecar out where the API server refuses the pods of the same owner with it: a pod without it is better
// than none.
func notRefused(p *plan) *skip {
	if p.options.Refused == "" {
		return nil
	}
	return refusedBefore(p.options.Refused)
}
