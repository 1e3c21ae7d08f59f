package config

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/settings/kubevalue"
)

const (
	// shortestLifetime leaves time to notice that a certificate was not renewed.
	shortestLifetime = 30 * time.Second
	lowestPort       = 1024
	highestPort      = 65535
)

// validate returns everything that is wrong. Origin says where the value of the named setting came from.
func validate(c *Config, origin func(name string) string) error {
	v := &validator{Check: settings.Check{Origin: origin}, config: c}
	v.sidecar()
	v.webhook()
	v.certificates()
	v.general()
	return v.Err()
}

type validator struct {
	settings.Check
	config *Config
}

func (v *validator) sidecar() {
	s := v.config.Sidecar
	switch {
	case s.Image == "":
		v.Wrong("sidecar-image", "is required: name the image of the sidecar, such as --sidecar-image=registry.example.com/inpod/sidecar:1.0.0")
	case strings.ContainsAny(s.Image, " \t\n"):
		v.Wrong("sidecar-image", "%q is not the name of an image", s.Image)
	}
	for _, pair := range []struct {
		name           string
		request, limit resource.Quantity
	}{
		{"sidecar-cpu", s.CPURequest, s.CPULimit},
		{"sidecar-memory", s.MemoryRequest, s.MemoryLimit},
		{"sidecar-ephemeral-storage", s.StorageRequest, s.StorageLimit},
	} {
		if !pair.limit.IsZero() && pair.request.Cmp(pair.limit) > 0 {
			v.Wrong(pair.name+"-request", "%s is more than the limit of %s (%s)", pair.request.String(), pair.limit.String(), v.Origin(pair.name+"-limit"))
		}
	}
	if s.StatusPort < lowestPort || s.StatusPort > highestPort {
		v.Wrong("sidecar-status-port", "%d is not a port that needs no privilege; use %d to %d", s.StatusPort, lowestPort, highestPort)
	}
}

func (v *validator) webhook() {
	w := v.config.Webhook
	v.Address("webhook-address", w.Address)
	kubevalue.ObjectName(&v.Check, "webhook-service", w.Service)
	kubevalue.ObjectName(&v.Check, "webhook-configuration", w.Configuration)
	for _, namespace := range w.Exclude {
		kubevalue.Namespace(&v.Check, "exclude-namespaces", namespace)
	}
	for _, namespace := range w.LimitsNamespaces {
		kubevalue.Namespace(&v.Check, "limits-namespaces", namespace)
	}
	if w.Drain < 0 {
		v.Wrong("drain", "%s is negative; use 0s or more", w.Drain)
	}
	if clients := v.config.Clients; len(clients.Names) > 0 && clients.CAFile == "" {
		v.Wrong("client-names", "has no effect without --client-ca-file, whose certificates have the names; set both or none")
	}
}

func (v *validator) certificates() {
	c := v.config.Certificates
	kubevalue.ObjectName(&v.Check, "certificate-secret", c.Secret)
	if c.Lifetime < shortestLifetime {
		v.Wrong("certificate-lifetime", "%s is too short; use %s or more", c.Lifetime, shortestLifetime)
	}
	if c.CALifetime < 2*c.Lifetime {
		v.Wrong("ca-lifetime", "%s is too short: a CA must outlive at least two certificates of %s (%s)",
			c.CALifetime, c.Lifetime, v.Origin("certificate-lifetime"))
	}
	if c.Settle < 0 || c.Settle > c.Lifetime/3 {
		v.Wrong("ca-settle", "%s must be between 0s and a third of the lifetime of a certificate, %s (%s)",
			c.Settle, c.Lifetime/3, v.Origin("certificate-lifetime"))
	}
}

func (v *validator) general() {
	c := v.config
	kubevalue.ObjectName(&v.Check, "digest-key-secret", c.DigestKeySecret)
	kubevalue.ObjectName(&v.Check, "lease-name", c.Election.LeaseName)
	v.Address("listen-address", c.ListenAddress)
	v.Address("pprof-addr", c.Pprof.Address)
	if c.ListenAddress == c.Webhook.Address {
		v.Wrong("listen-address", "%q is the address of --webhook-address too; they are different servers", c.ListenAddress)
	}
	if c.Pprof.Enabled && (c.Pprof.Address == c.ListenAddress || c.Pprof.Address == c.Webhook.Address) {
		v.Wrong("pprof-addr", "%q is the address of another server; profiles need one of their own", c.Pprof.Address)
	}
	if !(c.Kubernetes.QPS >= 0) { // not < 0, which NaN would pass
		v.Wrong("kube-api-qps", "%v is not a rate; use 0 (no limit) or more", c.Kubernetes.QPS)
	}
	switch {
	case c.Kubernetes.Burst < 0:
		v.Wrong("kube-api-burst", "%d is negative; use 0 (twice --kube-api-qps) or more", c.Kubernetes.Burst)
	case c.Kubernetes.Burst > 0 && c.Kubernetes.QPS == 0:
		v.Wrong("kube-api-burst", "%d has no effect without --kube-api-qps; set both or none", c.Kubernetes.Burst)
	}
	if c.Pod.Name == "" || c.Pod.Namespace == "" {
		v.Wrong("lease-name", "needs the environment variables POD_NAME and POD_NAMESPACE, which say who competes and where Lease, Secrets and Service are; "+
			"in a pod set them with valueFrom.fieldRef (metadata.name, metadata.namespace)")
	}
}
