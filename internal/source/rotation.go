package source

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// RotationKind is what a [Rotation] is of, as the field of a projected volume is called.
type RotationKind string

// The kinds of rotation.
const (
	// PodCertificate is a private key with its certificate. The kubelet makes the key, so that each pod has one of its own.
	PodCertificate RotationKind = "podCertificate"
	// TrustBundle is a file of trust anchors, the same in every pod.
	TrustBundle RotationKind = "clusterTrustBundle"
)

// Rotation is a mount of files with certificates that expire, and that the kubelet renews while the pod runs.
type Rotation struct {
	Kind RotationKind
	// Ref is the source that the files come from; without a name it is none, and the files are private to the pod.
	Ref Ref
	// Volume is the name of the volume, and Path where Container mounts it.
	Volume, Container, Path string
	// Frozen reports whether it is mounted with subPath or subPathExpr. The kubelet never renews it there.
	Frozen bool
}

// Rotations returns the mounts of rotated files of containers that keep running, in the order of the template: containers
// first, then restartable init containers. An ordinary init container has ended before anything is renewed.
func Rotations(spec *corev1.PodSpec) []Rotation {
	volumes := map[string]*corev1.Volume{}
	for i := range spec.Volumes {
		if v := &spec.Volumes[i]; v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, isRotated) {
			volumes[v.Name] = v
		}
	}
	if len(volumes) == 0 {
		return nil
	}
	var rotations []Rotation
	for i := range spec.Containers {
		rotations = append(rotations, rotationsOf(&spec.Containers[i], volumes)...)
	}
	for i := range spec.InitContainers {
		if c := &spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			rotations = append(rotations, rotationsOf(c, volumes)...)
		}
	}
	return rotations
}

func isRotated(s corev1.VolumeProjection) bool {
	return s.PodCertificate != nil || s.ClusterTrustBundle != nil
}

// rotationsOf returns the rotations of one container, one for each kind in a mount that shows files of it.
func rotationsOf(c *corev1.Container, volumes map[string]*corev1.Volume) []Rotation {
	var rotations []Rotation
	seen := map[Rotation]struct{}{}
	for i := range c.VolumeMounts {
		mount := &c.VolumeMounts[i]
		volume, ok := volumes[mount.Name]
		if !ok {
			continue
		}
		subPath, exact := mountSubPath(c, mount)
		for j := range volume.Projected.Sources {
			s := &volume.Projected.Sources[j]
			if !isRotated(*s) || exact && !showsAny(s, subPath) {
				continue
			}
			r := Rotation{
				Kind: PodCertificate, Volume: volume.Name, Container: c.Name, Path: mount.MountPath,
				Frozen: mount.SubPath != "" || mount.SubPathExpr != "",
			}
			if s.ClusterTrustBundle != nil {
				r.Kind = TrustBundle
				r.Ref, _ = bundleRef(s.ClusterTrustBundle)
			}
			if _, isKnown := seen[r]; !isKnown {
				seen[r] = struct{}{}
				rotations = append(rotations, r)
			}
		}
	}
	return rotations
}

// showsAny reports whether any file of a source of a projected volume lies at or below a path of it.
func showsAny(s *corev1.VolumeProjection, subPath string) bool {
	_, items, isBundle := Bundle(s)
	if !isBundle {
		items = OtherFiles(s)
	}
	_, used := subPathKeys(items, subPath)
	return used
}
