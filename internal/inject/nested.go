package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// A mount needs a folder to be mounted at. The runtime makes one that is missing in the mount in which it lies, and cannot where
// that one is read-only: the container then never starts, and a native sidecar keeps the pod from starting at all. The application
// may write to that volume, so that the folder is made with its own container; the sidecar starts before, and only reads.

// isFilled reports whether the kubelet fills a volume: nobody may write there, and it makes the folders of what is mounted inside
// (k8s.io/kubernetes/pkg/volume/util, MakeNestedMountpoints).
func isFilled(v *corev1.Volume) bool {
	return v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil
}

// hasFolders settles the mounts of the sidecar in which others lie. An emptyDir is left as the application has it: it ends with the
// pod. Of another volume, which outlives the pod, nobody knows whether it has the folder, and the sidecar must not write to it.
func hasFolders(p *plan) *skip {
	for i := range p.mounts {
		m := &p.mounts[i]
		at, volume := absolute(m.MountPath), p.volume(m.Name)
		inner, isOuter := p.mountedInside(at)
		if volume == nil || !m.ReadOnly || isFilled(volume) || !isWritten(p.spec, m.Name) {
			continue
		}
		if volume.EmptyDir != nil {
			m.ReadOnly = !isOuter && !p.inApp // in an image of others a link may lead into what another path names
			continue
		}
		if isOuter {
			return nestedMount(p.target.Name, inner, m.Name, at)
		}
	}
	return nil
}

// mountedInside returns the path of something that the sidecar mounts, or works in, inside another path.
func (p *plan) mountedInside(at string) (inner string, ok bool) {
	paths := make([]string, 0, len(p.mounts)+1)
	for i := range p.mounts {
		paths = append(paths, absolute(p.mounts[i].MountPath))
	}
	if slices.ContainsFunc(p.target.VolumeMounts, isToken) {
		paths = append(paths, tokenPath)
	}
	if p.runsPrograms() && p.target.WorkingDir != "" { // which the runtime makes, too
		paths = append(paths, absolute(p.target.WorkingDir))
	}
	i := slices.IndexFunc(paths, func(path string) bool { return path != at && isBelow(path, at) })
	if i < 0 {
		return "", false
	}
	return paths[i], true
}

// isWritten reports whether a container of a pod may write to a volume, and so may yet have a folder made there.
func isWritten(spec *corev1.PodSpec, volume string) bool {
	writes := func(c corev1.Container) bool {
		return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume && !m.ReadOnly })
	}
	return slices.ContainsFunc(spec.Containers, writes) || slices.ContainsFunc(spec.InitContainers, writes)
}

func hasVolume(spec *corev1.PodSpec, name string) bool {
	return slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
}

// checkFolders holds what hasFolders settles, for a container that is added to a pod.
func checkFolders(pod *corev1.Pod, added *corev1.Container, volumes map[string]*corev1.Volume) error {
	for i := range added.VolumeMounts {
		m, at := &added.VolumeMounts[i], absolute(added.VolumeMounts[i].MountPath)
		isOuter := slices.ContainsFunc(added.VolumeMounts, func(other corev1.VolumeMount) bool {
			path := absolute(other.MountPath)
			return path != at && isBelow(path, at)
		})
		if dir := absolute(added.WorkingDir); dir != at && isBelow(dir, at) {
			isOuter = true
		}
		isNew := !hasVolume(&pod.Spec, m.Name) // so that nobody has made a folder in it
		if isOuter && m.ReadOnly && !isFilled(volumes[m.Name]) && (isNew || isWritten(&pod.Spec, m.Name)) {
			return fmt.Errorf("it would only read volume %s at %s, where nobody may have made the folders of what it mounts inside", m.Name, at)
		}
	}
	return nil
}
