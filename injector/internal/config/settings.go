package config

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/logging"
	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/settings/kubevalue"
)

const (
	sidecarSettings     settings.Section = "The sidecar, where the pod says nothing else"
	webhookSettings     settings.Section = "The webhook"
	certificateSettings settings.Section = "Its certificate"
	generalSettings     settings.Section = "General"
)

// table is everything that can be set, bound to the fields of c, in the order of the help text.
func table(c *Config) []settings.Setting {
	return append(append(sidecarTable(&c.Sidecar), webhookTable(c)...), generalTable(c)...)
}

func sidecarTable(c *Sidecar) []settings.Setting {
	var (
		pull   = settings.OneOf(&c.PullPolicy, "POLICY", nil, corev1.PullIfNotPresent, corev1.PullAlways, corev1.PullNever)
		native = settings.OneOf(&c.Native, "WHEN", nil, NativeAuto, NativeAlways, NativeNever)
		gets   = settings.OneOf(&c.Capabilities, "WHICH", nil, annotation.CapabilitiesAsNeeded, annotation.NoCapabilities)
	)
	const s = sidecarSettings
	return []settings.Setting{
		s.Setting("sidecar-image", settings.Text(&c.Image, "IMAGE"), "image of the sidecar; required"),
		s.Setting("sidecar-pull-policy", pull, "when a node pulls it: IfNotPresent, Always or Never"),
		s.Setting("native-sidecars", native, "inject native sidecars (init containers that keep running): auto is from Kubernetes 1.29 on; or always, never"),
		s.Setting("sidecar-cpu-request", kubevalue.Quantity(&c.CPURequest), "processor time that a sidecar requests; 0 for none"),
		s.Setting("sidecar-cpu-limit", kubevalue.Quantity(&c.CPULimit), "processor time that a sidecar may use; 0 for a limit only where the application has one, or a quota or LimitRange wants one"),
		s.Setting("sidecar-memory-request", kubevalue.Quantity(&c.MemoryRequest), "memory that a sidecar requests; 0 for none"),
		s.Setting("sidecar-memory-limit", kubevalue.Quantity(&c.MemoryLimit), "memory that a sidecar may use; 0 for no limit. One that runs programs of the application gets 256Mi if this is less"),
		s.Setting("sidecar-ephemeral-storage-request", kubevalue.Quantity(&c.StorageRequest), "ephemeral storage that a sidecar requests; 0 for none"),
		s.Setting("sidecar-ephemeral-storage-limit", kubevalue.Quantity(&c.StorageLimit), "ephemeral storage that a sidecar may use; 0 for no limit"),
		s.Setting("sidecar-capabilities", gets, "Linux capabilities of a sidecar that is root: as-needed, or none where a policy forbids added ones"),
		s.Setting("sidecar-status-port", settings.Integer(&c.StatusPort, "a whole number"), "port of the sidecar's status page"),
	}
}

func webhookTable(c *Config) []settings.Setting {
	const w, s = webhookSettings, certificateSettings
	return []settings.Setting{
		w.Setting("webhook-address", settings.Text(&c.Webhook.Address, "HOST:PORT"), "where the API server calls"),
		w.Setting("webhook-service", settings.Text(&c.Webhook.Service, "NAME"), "Service in front of it, for which the certificate is made"),
		w.Setting("webhook-configuration", settings.Text(&c.Webhook.Configuration, "NAME"), "MutatingWebhookConfiguration whose caBundle is kept up to date"),
		w.Setting("exclude-namespaces", settings.Names(&c.Webhook.Exclude, "NAME,…"), "never touch pods of these namespaces, besides the injector's own and those of the system"),
		w.Setting("read-limits", settings.Boolean(&c.Webhook.ReadLimits), "read LimitRanges and ResourceQuotas, so that the sidecar asks for what they allow, and is left out where it cannot fit"),
		w.Setting("limits-namespaces", settings.Names(&c.Webhook.LimitsNamespaces, "NAME,…"), "read them in these namespaces only; all without"),
		w.Setting("on-refusal", settings.OneOf(&c.Webhook.OnRefusal, "WHAT", nil, WithoutSidecar, Retry),
			"what to do where the API server refuses pods with the sidecar: without-sidecar makes them without it; retry changes nothing"),
		w.Setting("drain", settings.Duration(&c.Webhook.Drain), "how long to go on answering after the order to stop, until nobody calls any more"),
		w.Setting("client-authority-file", settings.Text(&c.Clients.AuthorityFile, "FILE"), "refuse callers without a certificate of the authorities in this file, in PEM; the API server has to be configured to show one"),
		w.Setting("client-names", settings.Names(&c.Clients.Names, "NAME,…"), "of these, only those whose certificate has one of these names, as common name or DNS name"),

		s.Setting("certificate-secret", settings.Text(&c.Certificates.Secret, "NAME"), "Secret in the namespace of the injector with the authority and the certificate, which all replicas share"),
		s.Setting("certificate-directory", settings.Text(&c.Certificates.Directory, "DIRECTORY"), "use tls.crt and tls.key in this directory, as cert-manager writes them, and issue nothing"),
		s.Setting("certificate-lifetime", settings.Duration(&c.Certificates.Lifetime), "how long a certificate is valid; it is renewed after two thirds of that"),
		s.Setting("authority-lifetime", settings.Duration(&c.Certificates.Authority), "how long the authority is valid; it is replaced after two thirds of that"),
		s.Setting("authority-settle", settings.Duration(&c.Certificates.Settle), "time for every API server to see a new authority before a certificate comes from it"),
	}
}

func generalTable(c *Config) []settings.Setting {
	format := settings.OneOf(&c.Log.Format, "FORMAT", map[string]logging.Format{"": logging.FormatText}, logging.Formats()...)
	const s = generalSettings
	return []settings.Setting{
		s.Setting("listen-address", settings.Text(&c.ListenAddress, "HOST:PORT"), "where /metrics, /live and /ready are served"),
		s.Setting("digest-key-secret", settings.Text(&c.DigestKeySecret, "NAME"), "Secret in the namespace of inpod that holds the key of all digests"),
		s.Setting("lease-name", settings.Text(&c.Election.LeaseName, "NAME"), "Lease in the namespace of inpod that the replicas compete for; one of them renews the certificate"),
		s.Setting("log-format", format, "form of the log: text or json"),
		s.Setting("log-level", settings.Level(&c.Log.Level), "least level of the log: "+strings.Join(logging.LevelNames(), ", ")),
		s.Setting("kubeconfig", settings.Text(&c.Kubernetes.Kubeconfig, "FILE"), "how to reach the cluster; without it KUBECONFIG, then ~/.kube/config, then the service account of the pod"),
		s.Setting("kube-api-qps", settings.Decimal(&c.Kubernetes.QPS, "a number"), "requests per second to the API server; 0 leaves the limit to the server"),
		s.Setting("kube-api-burst", settings.Integer(&c.Kubernetes.Burst, "a whole number"), "requests that may exceed --kube-api-qps for a moment; 0 means twice that"),
		s.Setting("enable-pprof", settings.Boolean(&c.Pprof.Enabled), "serve Go's profiles on an address of their own"),
		s.Setting("pprof-addr", settings.Text(&c.Pprof.Address, "HOST:PORT"), "the address for profiles"),
	}
}
