package inject

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
)

const (
	// maxAdded is how large what is added may be, as [Change.Size] has it. A sidecar that runs programs of the application has its
	// environment and its mounts, which are as large as their author likes; those of real applications have a few KiB.
	maxAdded = 64 << 10
	// maxPod is how large a pod may be with the sidecar. etcd takes 1.5 MiB, and status and managedFields come on top.
	maxPod = 1200 << 10
	// maxWork is how much may be compared for a pod, in units of about a nanosecond: each mount is compared with the others, with
	// what is named, and with each file of its volume. A review has room for a thousand mounts of a volume of a thousand files.
	// A pod of a hundred containers with three mounts each of a volume of a hundred files takes half of this.
	maxWork = 64 << 20
	// perPair is what a comparison takes, besides the text that is compared, and perFile to find out what a file in a mount is of.
	perPair = 64
	perFile = 1024
)

// fitsAnnotations leaves out a pod that has more annotations than the API server takes: what they say takes memory.
func fitsAnnotations(p *plan) *skip {
	if size := sizeOf(p.pod.Annotations); size > validation.TotalAnnotationSizeLimitB {
		return annotationsTooLarge(size)
	}
	return nil
}

// sizeOf is the size of annotations as the API server counts it, in bytes.
func sizeOf(annotations map[string]string) int {
	size := 0
	for key, value := range annotations {
		size += len(key) + len(value)
	}
	return size
}

// fewComparisons leaves out a pod that would keep the injector from all others.
func fewComparisons(p *plan) *skip {
	containers, mounts, text, files := 0, 0, 0, 0
	ofVolume := map[string]int{}
	for name, volume := range p.volumes {
		ofVolume[name] = workOf(volume)
	}
	for _, list := range [][]corev1.Container{p.spec.InitContainers, p.spec.Containers} {
		for i := range list {
			containers++
			for _, mount := range list[i].VolumeMounts {
				mounts++
				text += perPair + len(mount.MountPath) + len(mount.SubPath)
				files += ofVolume[mount.Name]
			}
		}
	}
	pairs := (mounts + containers + len(p.ask.Paths) + len(p.ask.Watch)) * (text + containers*perPair)
	if pairs+files > maxWork {
		return tooManyMounts(mounts, containers)
	}
	return nil
}

// workOf is what a mount of a volume takes. Of a projected volume, files that say something of the pod itself and bundles are
// compared with all others.
func workOf(v *corev1.Volume) int {
	files := func(number int) int { return perFile * (1 + number) }
	switch {
	case v.ConfigMap != nil:
		return files(len(v.ConfigMap.Items))
	case v.Secret != nil:
		return files(len(v.Secret.Items))
	case v.DownwardAPI != nil:
		return files(len(v.DownwardAPI.Items))
	case v.Projected == nil:
		return files(0)
	}
	number, special, text := 0, 0, 0
	for _, s := range v.Projected.Sources {
		ofPod, others := pathsOf(s)
		number += 1 + len(ofPod) + len(others)
		special += len(ofPod)
		if s.ClusterTrustBundle != nil {
			special++
		}
		for _, file := range ofPod {
			text += len(file.path)
		}
		for _, file := range others {
			text += len(file)
		}
	}
	return files(number) + special*(number*perPair+text)
}

// checkSize leaves out a sidecar with which the pod could not be stored, or that is larger than the answer to the API server may be.
func (p *plan) checkSize(c Change) *skip {
	added := c.Size()
	if added > maxAdded {
		return sidecarTooLarge(added, p.target.Name)
	}
	if all := p.pod.Size() + added; all > maxPod {
		return podTooLarge(all)
	}
	return nil
}
