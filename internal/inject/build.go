package inject

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"inpod.dev/inpod/internal/annotation"
)

const (
	// home is where the sidecar keeps its state, and its program when it runs in the application's image. It is in
	// memory: a volume on disk would keep the cluster autoscaler from removing the node.
	home       = "/.inpod"
	homeVolume = "inpod"
	homeSize   = "32Mi"
	// installer is the init container that brings the program into the application's image.
	installer = "inpod-install"
)

// build carries the plan out.
func (p *plan) build() (Change, Report) {
	at, volume := p.homePath(), p.freeVolumeName()
	c := Change{
		Volumes: []corev1.Volume{{Name: volume, VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: new(resource.MustParse(homeSize))},
		}}},
		ShareProcesses: p.share,
		Labels:         map[string]string{annotation.InjectedLabel: "true"},
	}
	homeMounts := append([]corev1.VolumeMount{{Name: volume, MountPath: at}}, p.noToken(volume)...)
	if p.inApp {
		c.InitContainers = append(c.InitContainers, p.installer(at, homeMounts))
	}
	sidecar := p.sidecar(at, homeMounts)
	if p.native {
		sidecar.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		// The last of them: its start may not come between the application's own init containers and what they need.
		c.InitContainers = append(c.InitContainers, sidecar)
	} else {
		c.Containers = append(c.Containers, sidecar)
	}
	report := Report{Reason: Injected, ByPod: p.ask.ByPod, Record: p.record()}
	c.Annotations = recorded(report.Record)
	return c, report
}

func (p *plan) sidecar(at string, homeMounts []corev1.VolumeMount) corev1.Container {
	c := corev1.Container{
		Name:                     ContainerName,
		Image:                    p.image(),
		ImagePullPolicy:          p.options.PullPolicy,
		Args:                     p.arguments(at),
		Ports:                    p.ports(),
		Resources:                p.resources,
		VolumeMounts:             slices.Concat(p.mounts, homeMounts),
		SecurityContext:          p.securityContext(),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
	if p.inApp {
		c.Image, c.ImagePullPolicy = p.target.Image, p.target.ImagePullPolicy
		c.Command = []string{at + "/sidecar"}
	}
	if p.runsPrograms() {
		c.Env, c.EnvFrom = p.environment()
		c.WorkingDir = p.target.WorkingDir
	}
	return c
}

// installer copies the program: the inpod image has no shell and no cp, so the program does it itself.
func (p *plan) installer(at string, homeMounts []corev1.VolumeMount) corev1.Container {
	return corev1.Container{
		Name:            p.freeContainerName(),
		Image:           p.image(),
		ImagePullPolicy: p.options.PullPolicy,
		Args:            []string{"--install=" + at + "/sidecar"},
		Resources:       p.resources,
		VolumeMounts:    homeMounts,
		SecurityContext: &corev1.SecurityContext{
			RunAsNonRoot:             new(true),
			RunAsUser:                p.installerUser(),
			AllowPrivilegeEscalation: new(false),
			ReadOnlyRootFilesystem:   new(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

// noToken keeps the token of the pod's service account away from the sidecar, which has no use for it: the API server
// mounts it into every container that has nothing at its path, and runs that step again after a webhook.
func (p *plan) noToken(volume string) []corev1.VolumeMount {
	if !slices.ContainsFunc(p.target.VolumeMounts, isToken) {
		return nil
	}
	// What the application mounts inside needs a folder there, which the runtime cannot make in what is read-only.
	isOuter := slices.ContainsFunc(p.mounts, func(m corev1.VolumeMount) bool { return isBelow(absolute(m.MountPath), tokenPath) })
	return []corev1.VolumeMount{{Name: volume, MountPath: tokenPath, SubPath: "no-token", ReadOnly: !isOuter}}
}

// installerUser is that of the inpod image, but where the pod has one for all containers: it needs no privilege at all,
// and on OpenShift the number has to be of the namespace's range.
func (p *plan) installerUser() *int64 {
	const ofImage = 65532
	if p.user.id != nil && !p.user.isRoot() {
		return p.user.id
	}
	if p.user.id == nil {
		return nil // neither the pod nor the container sets one
	}
	return new(int64(ofImage))
}

func (p *plan) image() string {
	if p.ask.Image != "" {
		return p.ask.Image
	}
	return p.options.Image
}

// homePath is a path that the application does not mount.
func (p *plan) homePath() string {
	at := home
	for slices.ContainsFunc(p.mounts, func(m corev1.VolumeMount) bool { return absolute(m.MountPath) == at }) {
		at += "_"
	}
	return at
}

func (p *plan) freeVolumeName() string {
	return free(homeVolume, func(name string) bool { return p.volume(name) != nil })
}

func (p *plan) freeContainerName() string {
	named := func(name string) func(corev1.Container) bool {
		return func(c corev1.Container) bool { return c.Name == name }
	}
	return free(installer, func(name string) bool {
		return slices.ContainsFunc(p.spec.Containers, named(name)) || slices.ContainsFunc(p.spec.InitContainers, named(name))
	})
}

// free returns the name, or with the first number that makes it free.
func free(name string, taken func(string) bool) string {
	candidate := name
	for i := 2; taken(candidate); i++ {
		candidate = name + "-" + strconv.Itoa(i)
	}
	return candidate
}

func (p *plan) record() annotation.Record {
	r := annotation.Record{
		Injected: true, Container: p.target.Name, Trigger: p.trigger.text, Image: "inpod", Why: p.why,
		User: p.user.String(), Kind: "classic", SharedProcesses: p.share, Port: p.port, Notes: p.notes,
	}
	if p.inApp {
		r.Image = "application"
	}
	if p.native {
		r.Kind = "native"
	}
	for _, w := range p.watched {
		r.Watch = append(r.Watch, w.at())
	}
	return r
}

func decimal(port int32) string { return strconv.Itoa(int(port)) }
