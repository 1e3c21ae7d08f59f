package inject

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// What the sidecar may use beyond the defaults of the options.
const (
	// programMemory is for validators of the application, which load its configuration as the application does.
	programMemory = "256Mi"
	// guaranteedCPU is for a pod whose containers are all limited: with less the start alone would take seconds.
	guaranteedCPU = "50m"
)

// pickResources asks for little, because a quota counts it, and for something, because a quota rejects a container that
// asks for nothing. There is no CPU limit: throttling makes alerts and no friends.
//
//	pod has its own requests or limits: none, or the containers' sum might exceed them, which the API server rejects
//	pod is Guaranteed:                  requests equal to limits, or it would lose its class and its exclusive processors
//	else:                               requests, and a limit for memory
func pickResources(p *plan) *skip {
	ask := p.ask
	if own := p.spec.Resources; own != nil && len(own.Requests)+len(own.Limits) > 0 {
		if ask.CPURequest != nil || ask.MemoryRequest != nil || ask.MemoryLimit != nil {
			p.notes = append(p.notes, "the sidecar has no requests and limits, since the pod has its own")
		}
		return nil
	}
	cpu, memory, limit := p.options.CPURequest, p.options.MemoryRequest, p.options.MemoryLimit
	if programs := resource.MustParse(programMemory); p.runsPrograms() && !limit.IsZero() && limit.Cmp(programs) < 0 {
		limit = programs
	}
	setIf(&cpu, ask.CPURequest)
	setIf(&memory, ask.MemoryRequest)
	setIf(&limit, ask.MemoryLimit)
	// One of the two was asked for and the other is a default: the default gives way.
	if !limit.IsZero() && memory.Cmp(limit) > 0 {
		if ask.MemoryLimit != nil {
			memory = limit
		} else {
			limit = memory
		}
	}
	r := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	set(r.Requests, corev1.ResourceCPU, cpu)
	set(r.Requests, corev1.ResourceMemory, memory)
	set(r.Limits, corev1.ResourceMemory, limit)
	if p.isGuaranteed() {
		if least := resource.MustParse(guaranteedCPU); ask.CPURequest == nil && cpu.Cmp(least) < 0 {
			cpu = least
		}
		if limit.IsZero() {
			limit = resource.MustParse(programMemory)
		}
		r.Requests = corev1.ResourceList{corev1.ResourceCPU: cpu, corev1.ResourceMemory: limit}
		r.Limits = r.Requests.DeepCopy()
	}
	p.resources = r
	return nil
}

func setIf(into *resource.Quantity, asked *resource.Quantity) {
	if asked != nil {
		*into = *asked
	}
}

func set(list corev1.ResourceList, name corev1.ResourceName, quantity resource.Quantity) {
	if !quantity.IsZero() {
		list[name] = quantity
	}
}

// isGuaranteed tells whether every container has its requests equal to its limits, as the kubelet sees it.
func (p *plan) isGuaranteed() bool {
	for _, containers := range [][]corev1.Container{p.spec.Containers, p.spec.InitContainers} {
		for i := range containers {
			if !isLimited(containers[i].Resources) {
				return false
			}
		}
	}
	return true
}

func isLimited(r corev1.ResourceRequirements) bool {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		limit, limited := r.Limits[name]
		request, requested := r.Requests[name]
		// A request that is not said is the limit.
		if !limited || limit.IsZero() || requested && request.Cmp(limit) != 0 {
			return false
		}
	}
	return true
}
