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
	for _, mount := range p.live {
		p.addMount(mount)
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
			return because(PathNotMounted, "%s names %s, which is in the volume of the pod's token for the API server, and the sidecar never gets "+
				"that one; for the cluster's certificate authority mount ConfigMap kube-root-ca.crt at another path", named.Key, named.Path)
		case ok:
			p.addMount(mount)
		case p.inApp && !named.Socket: // it may be in the image
		default:
			return because(PathNotMounted, "%s names %s, which is in no volume that container %s mounts, so that the sidecar cannot see it",
				named.Key, named.Path, p.target.Name)
		}
	}
	return nil
}

// runsPrograms tells that the sidecar starts programs of the application. They have to find what the application has, or
// they would look at another configuration.
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
	var found corev1.VolumeMount
	for _, mount := range p.target.VolumeMounts {
		if mount.SubPathExpr != "" && !p.runsPrograms() {
			continue // its variables are the application's, and only programs get those
		}
		at := absolute(mount.MountPath)
		if (at == file || strings.HasPrefix(file, at+"/")) && len(at) > len(absolute(found.MountPath)) {
			found = mount
		}
	}
	return found, found.Name != ""
}

// absolute is a mount path as the kubelet understands it.
func absolute(mountPath string) string { return path.Join("/", mountPath) }

// watching are the flags --watch and --ignore. All of a directory counts, but for a volume in which the kubelet also renews
// tokens or shows the pod's own annotations: there it is the keys that were chosen, where they are known, and else all but
// the files of the pod itself.
func (p *plan) watching() []string {
	var watched, ignored []string
	for _, mount := range p.live {
		at := absolute(mount.MountPath)
		if keys := configKeys(p.volume(mount.Name)); len(keys) > 0 {
			watched = append(watched, "--watch="+at+":"+strings.Join(keys, ","))
			continue
		}
		watched = append(watched, "--watch="+at)
		for _, file := range podFiles(p.volume(mount.Name)) {
			ignored = append(ignored, "--ignore="+path.Join(at, file))
		}
	}
	return slices.Concat(watched, ignored)
}

// podFiles returns the files of a projected volume that say something of the pod itself, which no application is reloaded
// for: those of the downward API, which anybody's annotation changes, and tokens, which the kubelet renews. Where several
// sources have one path, the file is that of the last.
func podFiles(v *corev1.Volume) []string {
	if v.Projected == nil {
		return nil
	}
	var files []string
	for _, s := range v.Projected.Sources {
		ofPod, others := pathsOf(s)
		files = append(files, ofPod...)
		files = slices.DeleteFunc(files, func(file string) bool {
			return slices.ContainsFunc(others, func(other string) bool { return path.Clean(other) == path.Clean(file) })
		})
	}
	return files
}

// pathsOf are the paths that a source names: of files that say something of the pod itself, and of others. A source of all
// keys names none.
func pathsOf(s corev1.VolumeProjection) (ofPod, others []string) {
	items := func(all []corev1.KeyToPath) {
		for _, item := range all {
			others = append(others, item.Path)
		}
	}
	switch {
	case s.DownwardAPI != nil:
		for _, item := range s.DownwardAPI.Items {
			ofPod = append(ofPod, item.Path)
		}
	case s.ServiceAccountToken != nil:
		ofPod = append(ofPod, s.ServiceAccountToken.Path)
	case s.ConfigMap != nil:
		items(s.ConfigMap.Items)
	case s.Secret != nil:
		items(s.Secret.Items)
	case s.ClusterTrustBundle != nil:
		others = append(others, s.ClusterTrustBundle.Path)
	case s.PodCertificate != nil:
		c := s.PodCertificate
		for _, file := range []string{c.CredentialBundlePath, c.KeyPath, c.CertificateChainPath} {
			if file != "" {
				others = append(others, file)
			}
		}
	}
	return ofPod, others
}

// configKeys returns the files of a projected volume that are not of the pod itself, where there are both, or nil where they
// cannot be named: all keys of a source, or files that may be missing, for which the sidecar would wait. Bundles of trust
// anchors and certificates of the pod are always there: the kubelet writes an empty file for a bundle that is optional.
func configKeys(v *corev1.Volume) []string {
	if v.Projected == nil {
		return nil
	}
	var keys []string
	mixed := false
	for _, s := range v.Projected.Sources {
		named := true
		switch {
		case s.ConfigMap != nil:
			named = len(s.ConfigMap.Items) > 0 && !isOptional(s.ConfigMap.Optional)
		case s.Secret != nil:
			named = len(s.Secret.Items) > 0 && !isOptional(s.Secret.Optional)
		}
		if !named {
			return nil
		}
		ofPod, others := pathsOf(s)
		mixed = mixed || len(ofPod) > 0
		keys = append(keys, others...)
	}
	// Commas and colons separate keys on the command line.
	if !mixed || slices.ContainsFunc(keys, func(key string) bool { return strings.ContainsAny(key, ",:") }) {
		return nil
	}
	return keys
}

func isOptional(optional *bool) bool { return optional != nil && *optional }

// arguments are the sidecar's command line. Kubernetes expands $(NAME) in it, and $$ is how a dollar sign is written.
func (p *plan) arguments(home string) []string {
	args := p.watching()
	if p.trigger.processes {
		args = append(args, "--reload-container="+p.target.Name)
	}
	args = append(args, p.ask.Arguments...)
	args = append(args, "--state-file="+home+"/state", "--listen-address=:"+decimal(p.port))
	if p.options.ConfirmKey != "" {
		args = append(args, "--confirm-key="+p.options.ConfirmKey)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "$", "$$")
	}
	return args
}

// environment is what the application's programs find in theirs. The sidecar's own settings are not among it.
func (p *plan) environment() ([]corev1.EnvVar, []corev1.EnvFromSource) {
	if !p.runsPrograms() {
		return nil, nil
	}
	ours := func(e corev1.EnvVar) bool { return strings.HasPrefix(e.Name, "INPOD_") }
	return slices.DeleteFunc(slices.Clone(p.target.Env), ours), slices.Clone(p.target.EnvFrom)
}
