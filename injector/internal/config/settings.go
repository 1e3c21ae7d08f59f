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
	sidecarSettings     settings.Section = "The sidecar (defaults; annotations of the pod override them)"
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
		s.Setting("sidecar-pull-policy", pull, "pull policy of the image: IfNotPresent, Always or Never"),
		s.Setting("native-sidecars", native, "inject native sidecars (init containers that keep running): auto (from Kubernetes 1.29 on), always or never"),
		s.Setting("sidecar-cpu-request", kubevalue.Quantity(&c.CPURequest), "CPU request of a sidecar; 0 for none"),
		s.Setting("sidecar-cpu-limit", kubevalue.Quantity(&c.CPULimit), "CPU limit of a sidecar; with 0 it has a limit only if the application has one, or a quota or LimitRange requires one"),
		s.Setting("sidecar-memory-request", kubevalue.Quantity(&c.MemoryRequest), "memory request of a sidecar; 0 for none"),
		s.Setting("sidecar-memory-limit", kubevalue.Quantity(&c.MemoryLimit), "memory limit of a sidecar; 0 for none. A sidecar that runs programs of the application gets at least 256Mi"),
		s.Setting("sidecar-ephemeral-storage-request", kubevalue.Quantity(&c.StorageRequest), "ephemeral storage request of a sidecar; 0 for none"),
		s.Setting("sidecar-ephemeral-storage-limit", kubevalue.Quantity(&c.StorageLimit), "ephemeral storage limit of a sidecar; 0 for none"),
		s.Setting("sidecar-capabilities", gets, "Linux capabilities of a sidecar that runs as root: as-needed, or none if a policy forbids added ones"),
		s.Setting("sidecar-status-port", settings.Integer(&c.StatusPort, "a whole number"), "port of the sidecar's status page"),
	}
}

func webhookTable(c *Config) []settings.Setting {
	const w, s = webhookSettings, certificateSettings
	return []settings.Setting{
		w.Setting("webhook-address", settings.Text(&c.Webhook.Address, "HOST:PORT"), "address of the webhook, which the API server calls"),
		w.Setting("webhook-service", settings.Text(&c.Webhook.Service, "NAME"), "Service of the webhook, for which the certificate is issued"),
		w.Setting("webhook-configuration", settings.Text(&c.Webhook.Configuration, "NAME"), "MutatingWebhookConfiguration whose caBundle the injector updates"),
		w.Setting("exclude-namespaces", settings.Names(&c.Webhook.Exclude, "NAME,…"), "never inject into pods of these namespaces, nor of the injector's own and the system namespaces"),
		w.Setting("read-limits", settings.Boolean(&c.Webhook.ReadLimits), "read LimitRanges and ResourceQuotas, so that the sidecar requests what they allow, and is skipped if it cannot fit"),
		w.Setting("limits-namespaces", settings.Names(&c.Webhook.LimitsNamespaces, "NAME,…"), "read LimitRanges and ResourceQuotas only in these namespaces; the default is all"),
		w.Setting("on-refusal", settings.OneOf(&c.Webhook.OnRefusal, "WHAT", nil, WithoutSidecar, Retry),
			"what to do if the API server refuses pods with the sidecar: without-sidecar creates them without it; retry changes nothing"),
		w.Setting("drain", settings.Duration(&c.Webhook.Drain), "how long the webhook keeps answering after the signal to stop"),
		w.Setting("client-ca-file", settings.Text(&c.Clients.CAFile, "FILE"), "refuse clients without a certificate of the CAs in this PEM file; the API server must be configured to present one"),
		w.Setting("client-names", settings.Names(&c.Clients.Names, "NAME,…"), "accept only client certificates with one of these names, as common name or DNS name"),

		s.Setting("certificate-secret", settings.Text(&c.Certificates.Secret, "NAME"), "Secret in the namespace of the injector with the CA and the certificate, shared by all replicas"),
		s.Setting("certificate-directory", settings.Text(&c.Certificates.Directory, "DIRECTORY"), "use tls.crt and tls.key in this directory, as cert-manager writes them, and issue nothing"),
		s.Setting("certificate-lifetime", settings.Duration(&c.Certificates.Lifetime), "lifetime of a certificate; it is renewed after two thirds"),
		s.Setting("ca-lifetime", settings.Duration(&c.Certificates.CALifetime), "lifetime of the CA; it is replaced after two thirds"),
		s.Setting("ca-settle", settings.Duration(&c.Certificates.Settle), "time for every API server to load a new CA before it issues a certificate"),
	}
}

func generalTable(c *Config) []settings.Setting {
	format := settings.OneOf(&c.Log.Format, "FORMAT", map[string]logging.Format{"": logging.FormatText}, logging.Formats()...)
	const s = generalSettings
	return []settings.Setting{
		s.Setting("listen-address", settings.Text(&c.ListenAddress, "HOST:PORT"), "address of /metrics, /live and /ready"),
		s.Setting("digest-key-secret", settings.Text(&c.DigestKeySecret, "NAME"), "Secret in the namespace of inpod with the key of all digests"),
		s.Setting("lease-name", settings.Text(&c.Election.LeaseName, "NAME"), "Lease in the namespace of inpod for leader election; the leader renews the certificate"),
		s.Setting("log-format", format, "form of the log: text or json"),
		s.Setting("log-level", settings.Level(&c.Log.Level), "lowest level to log: "+strings.Join(logging.LevelNames(), ", ")),
		s.Setting("kubeconfig", settings.Text(&c.Kubernetes.Kubeconfig, "FILE"), "kubeconfig of the cluster; the default is KUBECONFIG, then ~/.kube/config, then the service account of the pod"),
		s.Setting("kube-api-qps", settings.Decimal(&c.Kubernetes.QPS, "a number"), "requests per second to the API server; 0 leaves the limit to the server"),
		s.Setting("kube-api-burst", settings.Integer(&c.Kubernetes.Burst, "a whole number"), "requests that may exceed --kube-api-qps for a moment; 0 means twice that"),
		s.Setting("enable-pprof", settings.Boolean(&c.Pprof.Enabled), "serve Go profiles on a separate address"),
		s.Setting("pprof-addr", settings.Text(&c.Pprof.Address, "HOST:PORT"), "address of the profiles"),
	}
}
