package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// pickKind prefers a native sidecar: an init container that keeps running starts before the application, ends after
// it, and does not keep a Job from finishing (KEP-753). A server that does not know them drops the restart policy, and
// the pod would wait for an init container that never ends.
func pickKind(p *plan) *skip {
	p.native = p.options.NativeSidecars
	if choice := p.ask.Native; choice != nil {
		if *choice && !p.options.NativeSidecars {
			return nativeUnsupported(p.options.Server)
		}
		p.native = *choice
	}
	if policy := p.spec.RestartPolicy; !p.native && policy != "" && policy != corev1.RestartPolicyAlways {
		return wouldBlockCompletion(policy)
	}
	return nil
}

// pickPort finds the port of the status page. On the network of the node it could conflict with others, so there
// the user must choose it.
func pickPort(p *plan) *skip {
	p.port = p.ask.StatusPort
	if p.port == 0 {
		if p.spec.HostNetwork {
			return hostNetwork()
		}
		p.port = p.options.StatusPort
	}
	taken := func(port corev1.ContainerPort) bool {
		return port.ContainerPort == p.port && port.Protocol != corev1.ProtocolUDP && port.Protocol != corev1.ProtocolSCTP
	}
	for _, c := range p.running() {
		if slices.ContainsFunc(c.Ports, taken) {
			return portTaken(c.Name, p.port)
		}
	}
	return nil
}

// ports declares the status port, so that scrapes and the controller find it.
func (p *plan) ports() []corev1.ContainerPort {
	port := corev1.ContainerPort{Name: ContainerName, ContainerPort: p.port, Protocol: corev1.ProtocolTCP}
	if p.spec.HostNetwork {
		port.HostPort = p.port
	}
	return []corev1.ContainerPort{port}
}
