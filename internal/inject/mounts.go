package inject

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// pickMounts takes over what is watched and what was named, at the paths where the application has it, to read only.
// What runs the application's own programs gets all that the application mounts.
func pickMounts(p *plan) *skip {
	for _, w := range p.watched {
		p.addMount(w.mount)
	}
	if p.runsPrograms() {
		for _, mount := range p.target.VolumeMounts {
			if !p.showsAPIToken(mount) {
				p.addMount(mount)
			}
		}
	}
	for _, named := range p.ask.Paths {
		mount, ok := p.mountOf(named.Path)
		switch {
		case ok && p.showsAPIToken(mount):
			return pathOfToken(named)
		case ok:
			p.addMount(mount)
		case p.inApp && !named.Socket: // it may be in the image
		default:
			return pathNotMounted(named, p.target.Name)
		}
	}
	return nil
}

// runsPrograms reports whether the sidecar starts programs of the application. They have to find what the application
// has, or they would look at another configuration.
func (p *plan) runsPrograms() bool { return p.inApp && (p.trigger.image != "" || p.trigger.explains) }

// showsAPIToken reports whether a mount is of the volume that holds the pod's token for the API server, and nothing of its
// user. Only whoever asks the API server needs that, and the sidecar does not.
func (p *plan) showsAPIToken(mount corev1.VolumeMount) bool {
	volume := p.volume(mount.Name)
	return isToken(mount) || volume != nil && holdsAPIToken(volume) && isOnlyToken(volume)
}

// addMount takes over a mount of the application, once.
func (p *plan) addMount(mount corev1.VolumeMount) {
	if slices.ContainsFunc(p.mounts, func(m corev1.VolumeMount) bool { return m.MountPath == mount.MountPath }) {
		return
	}
	mount.MountPropagation, mount.RecursiveReadOnly = nil, nil
	// A program of the application may write its pid file or a socket; what outlives the pod it may not touch.
	isScratch := p.volume(mount.Name) != nil && p.volume(mount.Name).EmptyDir != nil
	mount.ReadOnly = mount.ReadOnly || !isScratch || !p.runsPrograms()
	p.mounts = append(p.mounts, mount)
}

// mountOf finds the mount of the application in which a path lies, the innermost one.
func (p *plan) mountOf(file string) (corev1.VolumeMount, bool) {
	mount, ok := mountIn(p.target, file)
	if ok && mount.SubPathExpr != "" && !p.runsPrograms() {
		return corev1.VolumeMount{}, false // its variables are the application's, and only programs get those
	}
	return mount, ok
}

// mountIn finds the mount of a container in which a path lies, the innermost one.
func mountIn(c *corev1.Container, file string) (found corev1.VolumeMount, ok bool) {
	for _, mount := range c.VolumeMounts {
		if at := absolute(mount.MountPath); isBelow(file, at) && len(at) > len(absolute(found.MountPath)) || at == file {
			found, ok = mount, true
		}
	}
	return found, ok
}

// isBelow reports whether a path is another one or lies below it.
func isBelow(file, at string) bool {
	return file == at || strings.HasPrefix(file, strings.TrimSuffix(at, "/")+"/")
}

// absolute is a mount path as the kubelet understands it.
func absolute(mountPath string) string { return path.Join("/", mountPath) }

// arguments are the sidecar's command line. Kubernetes expands $(NAME) in it, and $$ is how a dollar sign is written.
func (p *plan) arguments(home string) []string {
	args := p.watching()
	if p.trigger.processes {
		args = append(args, "--reload-container="+p.target.Name)
	}
	args = append(args, p.ask.Arguments...)
	// What is in the environment may be the application's, whose image or ConfigMaps may set INPOD_ variables.
	args = append(args, "--state-file="+home+"/state", "--listen-address=:"+decimal(p.port), "--ignore-environment")
	if p.options.ConfirmKey != "" {
		args = append(args, "--controller-key="+p.options.ConfirmKey)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "$", "$$")
	}
	return args
}

// environment is what the application's programs find in theirs: all of it, since a file that they check may name any variable, and
// a command reads what it likes. The sidecar's own settings are not among it.
func (p *plan) environment() ([]corev1.EnvVar, []corev1.EnvFromSource) {
	if !p.runsPrograms() {
		return nil, nil
	}
	ours := func(e corev1.EnvVar) bool { return strings.HasPrefix(e.Name, "INPOD_") }
	return slices.DeleteFunc(slices.Clone(p.target.Env), ours), slices.Clone(p.target.EnvFrom)
}
