package inject

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
		return sidecarTooLarge(added, p.target.Name)
	}
	if all := p.pod.Size() + added; all > maxPod {
		return podTooLarge(all)
	}
	return nil
}
