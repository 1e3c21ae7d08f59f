package inject

import (
	"inpod.dev/inpod/internal/annotation"
)

const (
	// maxAdded is how large what is added may be, as [Change.Size] has it. A sidecar that runs programs of the application has its
	// environment and its mounts, which are as large as their author likes; those of real applications have a few KiB.
	maxAdded = 64 << 10
	// maxPod is how large a pod may be with the sidecar. etcd takes 1.5 MiB, and status and managedFields come on top.
	maxPod = 1200 << 10
)

// checkSize leaves out a sidecar with which the pod could not be stored, or that is larger than the answer to the API server may be.
func (p *plan) checkSize(c Change) *skip {
	added := c.Size()
	if added > maxAdded {
		return because(TooLarge, "the sidecar would have %d bytes, most of them the environment and mounts of container %s that its programs get, and at most %d are added; "+
			"mount large values as files, or reload without a program: %[4]sreload-signal or %[4]sreload-url", added, p.target.Name, maxAdded, annotation.Domain)
	}
	if all := p.pod.Size() + added; all > maxPod {
		return because(TooLarge, "the pod would have %d bytes with the sidecar, and at most %d are sure to be stored; move what is large into a ConfigMap", all, maxPod)
	}
	return nil
}
