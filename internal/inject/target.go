package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/source"
)

// tokenPath is where the API server mounts the token of the service account into every container. That volume also has
// a ConfigMap, kube-root-ca.crt, which needs no reload.
const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount" //nolint:gosec // a path, nothing secret

// defaultContainer is the annotation with which a pod names its main container, and other injectors keep it so.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// pickTarget finds the container whose files change while it runs.
func pickTarget(p *plan) *skip {
	if name := p.ask.Container; name != "" {
		target := p.container(name)
		if target == nil {
			return noSuchContainer(name, p.running())
		}
		return p.aim(target)
	}
	var candidates []*corev1.Container
	for _, c := range p.running() {
		if p.isAdded(c.Name) {
			continue // what another injector mounts is its own business
		}
		if len(p.liveMounts(c)) > 0 || slices.ContainsFunc(p.ask.Watch, func(named string) bool { _, ok := mountIn(c, named); return ok }) {
			candidates = append(candidates, c)
		}
	}
	switch len(candidates) {
	case 0:
		if len(p.ask.Watch) > 0 {
			return watchedNotMounted(p.ask.Watch[0], "")
		}
		return p.nothingLive()
	case 1:
		return p.aim(candidates[0])
	}
	named := func(c *corev1.Container) bool { return c.Name == p.pod.Annotations[defaultContainer] }
	if i := slices.IndexFunc(candidates, named); i >= 0 {
		return p.aim(candidates[i])
	}
	return ambiguousContainer(candidates)
}

func (p *plan) aim(target *corev1.Container) *skip {
	p.target, p.live = target, p.liveMounts(target)
	if len(p.live)+len(p.ask.Watch) == 0 {
		return p.nothingLive()
	}
	return nil
}

func (p *plan) nothingLive() *skip {
	spec := *p.spec
	spec.Containers, spec.InitContainers = p.withoutToken(p.withoutAdded(spec.Containers)), p.withoutToken(p.withoutAdded(spec.InitContainers))
	rotations := source.Rotations(&spec)
	if len(source.Usages(p.options.Namespace, &spec)) == 0 && len(rotations) == 0 {
		return nothingUsed()
	}
	if i := slices.IndexFunc(rotations, func(r source.Rotation) bool { return r.Frozen && (p.target == nil || r.Container == p.target.Name) }); i >= 0 {
		return mountedBySubPath(rotations[i])
	}
	return onlyFrozenUsages(p.target)
}

func (p *plan) withoutAdded(containers []corev1.Container) []corev1.Container {
	return slices.DeleteFunc(slices.Clone(containers), func(c corev1.Container) bool { return p.isAdded(c.Name) })
}

func (p *plan) withoutToken(containers []corev1.Container) []corev1.Container {
	containers = slices.Clone(containers)
	for i := range containers {
		containers[i].VolumeMounts = slices.DeleteFunc(slices.Clone(containers[i].VolumeMounts), p.showsAPIToken)
	}
	return containers
}

func isToken(mount corev1.VolumeMount) bool { return absolute(mount.MountPath) == tokenPath }

// running returns the containers that run next to the sidecar.
func (p *plan) running() []*corev1.Container {
	var running []*corev1.Container
	for i := range p.spec.Containers {
		running = append(running, &p.spec.Containers[i])
	}
	for i := range p.spec.InitContainers {
		if policy := p.spec.InitContainers[i].RestartPolicy; policy != nil && *policy == corev1.ContainerRestartPolicyAlways {
			running = append(running, &p.spec.InitContainers[i])
		}
	}
	return running
}

func (p *plan) container(name string) *corev1.Container {
	running := p.running()
	if i := slices.IndexFunc(running, func(c *corev1.Container) bool { return c.Name == name }); i >= 0 {
		return running[i]
	}
	return nil
}

func containerNames(containers []*corev1.Container) []string {
	names := make([]string, 0, len(containers))
	for _, c := range containers {
		names = append(names, c.Name)
	}
	return names
}

// liveMounts returns the mounts through which a container sees new content. What is live is package source's to say.
func (p *plan) liveMounts(c *corev1.Container) []corev1.VolumeMount {
	var live []corev1.VolumeMount
	for _, mount := range c.VolumeMounts {
		volume := p.volume(mount.Name)
		if volume == nil || p.showsAPIToken(mount) {
			continue
		}
		alone := &corev1.PodSpec{Volumes: []corev1.Volume{*volume}, Containers: []corev1.Container{{VolumeMounts: []corev1.VolumeMount{mount}}}}
		renewed := func(r source.Rotation) bool { return !r.Frozen }
		if slices.ContainsFunc(source.Usages(p.options.Namespace, alone), source.Usage.Live) || slices.ContainsFunc(source.Rotations(alone), renewed) {
			live = append(live, mount)
		}
	}
	return live
}

func (p *plan) volume(name string) *corev1.Volume { return p.volumes[name] }
