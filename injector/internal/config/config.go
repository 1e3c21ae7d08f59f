// Package config decides what the injector was asked to do: it turns flags, environment and a configuration file into
// one typed, validated [Config], or into an error that says what to write instead.
//
//	flag  >  environment  >  --config file  >  default
//
// Every setting is one row of the table in settings.go, which package settings reads. Nothing is read from the process:
// arguments and environment come in as values.
package config

import (
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/logging"
	"inpod.dev/inpod/internal/sidecarapi"
)

// NativeSidecars is when native sidecars are used.
type NativeSidecars string

// The values of NativeSidecars.
const (
	NativeAuto   NativeSidecars = "auto"   // from Kubernetes 1.29 on
	NativeAlways NativeSidecars = "always" // the cluster has them, whatever its version says
	NativeNever  NativeSidecars = "never"
)

// OnRefusal says what is done where the API server refuses pods with the sidecar.
type OnRefusal string

// The values of OnRefusal.
const (
	WithoutSidecar OnRefusal = "without-sidecar" // they are created without it, which needs permission to read their owners
	Retry          OnRefusal = "retry"           // nothing: they are refused until the cause is removed
)

// Config is everything that can be set on the injector.
type Config struct {
	// File is the configuration file that was read, "" for none.
	File string

	Webhook      Webhook
	Certificates Certificates
	Clients      Clients
	Sidecar      Sidecar
	Election     Election
	Log          Log
	Pprof        Pprof
	Kubernetes   Kubernetes
	Pod          Pod

	// ListenAddress is where /metrics, /live and /ready are served, as host:port.
	ListenAddress string
	// DigestKeySecret is the name of the Secret, in the namespace of the pod, that holds the key of all digests. The
	// sidecars get the public half of what is derived from it.
	DigestKeySecret string
}

// Webhook is where the API server calls.
type Webhook struct {
	Address string // host:port to listen on
	Service string // the name of the Service in front of it
	// Configuration is the name of the MutatingWebhookConfiguration that calls the Service. Its caBundle is kept there.
	Configuration string
	// Exclude are namespaces whose pods are never touched, besides our own and the system's.
	Exclude []string
	// ReadLimits has LimitRanges and ResourceQuotas read, in LimitsNamespaces, or in all namespaces for none.
	ReadLimits       bool
	LimitsNamespaces []string
	OnRefusal        OnRefusal
	Drain            time.Duration // how long it keeps answering after the signal to stop
}

// Certificates says who issues the certificate of the webhook.
type Certificates struct {
	// Secret holds CA and certificate, issued and renewed here, in the namespace of the pod.
	Secret string
	// Directory has tls.crt and tls.key from another issuer, such as cert-manager; "" for our own.
	Directory  string
	Lifetime   time.Duration // of a certificate
	CALifetime time.Duration // lifetime of the CA
	Settle     time.Duration // between a new CA in the webhook's caBundle and its first certificate
}

// Clients says who may call the webhook.
type Clients struct {
	// CAFile has certificates of CAs in PEM. A client without a certificate of one of them is refused; "" accepts every client.
	CAFile string
	// Names are those that may be in a client's certificate, as common name or DNS name; empty for any.
	Names []string
}

// Sidecar is what is injected where the pod says nothing else.
type Sidecar struct {
	Image          string
	PullPolicy     corev1.PullPolicy
	Native         NativeSidecars
	CPURequest     resource.Quantity
	CPULimit       resource.Quantity
	MemoryRequest  resource.Quantity
	MemoryLimit    resource.Quantity
	StorageRequest resource.Quantity // of ephemeral storage
	StorageLimit   resource.Quantity
	Capabilities   annotation.Capabilities
	StatusPort     int
}

// Election is about the Lease of the replica that renews certificates.
type Election struct {
	LeaseName string
}

// Log is the form of the log and the lowest level to log.
type Log struct {
	Format logging.Format
	Level  slog.Level
}

// Pprof is the extra listener for profiles.
type Pprof struct {
	Enabled bool
	Address string
}

// Kubernetes says how to reach the API server.
type Kubernetes struct {
	Kubeconfig string  // path; "" means $KUBECONFIG, ~/.kube/config, or the service account of the pod
	QPS        float64 // requests per second; 0 means no limit on the client's side
	Burst      int     // requests that may exceed QPS for a moment; 0 means twice QPS
}

// Pod is the pod that the injector runs in, from the variables POD_NAME and POD_NAMESPACE, which the manifests fill
// through the downward API.
type Pod struct {
	Name      string
	Namespace string
}

// Default returns what holds when nothing is set.
func Default() Config {
	return Config{ //nolint:gosec // names of Secrets, nothing secret
		Webhook: Webhook{
			Address: ":9443", Service: "inpod-injector", Configuration: "inpod-injector", ReadLimits: true, OnRefusal: WithoutSidecar,
			Drain: 5 * time.Second,
		},
		Certificates: Certificates{ //nolint:gosec // likewise
			Secret: "inpod-injector-tls", Lifetime: 72 * time.Hour, CALifetime: 365 * 24 * time.Hour, Settle: time.Minute,
		},
		Sidecar: Sidecar{
			PullPolicy: corev1.PullIfNotPresent, Native: NativeAuto,
			CPURequest: resource.MustParse("5m"), MemoryRequest: resource.MustParse("16Mi"), MemoryLimit: resource.MustParse("64Mi"),
			Capabilities: annotation.CapabilitiesAsNeeded, StatusPort: sidecarapi.DefaultPort,
		},
		Election:        Election{LeaseName: "inpod-injector"},
		Log:             Log{Format: logging.FormatText, Level: slog.LevelInfo},
		Pprof:           Pprof{Address: "127.0.0.1:6060"},
		ListenAddress:   ":9090",
		DigestKeySecret: "inpod-digest-key",
	}
}
