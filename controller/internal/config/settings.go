package config

import (
	"strings"

	"inpod.dev/inpod/internal/telemetry"
)

// environmentPrefix is what the environment variables of all settings begin with.
const environmentPrefix = "INPOD_"

// section is a heading of the help text.
type section string

const (
	reloaderSettings section = "Reloader's settings, with the same names and meaning"
	ownSettings      section = "Settings of inpod"
	otherSettings    section = "Other"
)

// setting is one row of the table: a flag, an environment variable and a key in the file.
type setting struct {
	name    string
	section section
	value   value
	usage   string
}

// variable is the environment variable of the setting.
func (s setting) variable() string { return variableOf(s.name) }

func variableOf(name string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// settings is the table of everything that can be set, bound to the fields of c, in the order of the help text. The
// name of the configuration file is not in it: a file cannot name itself.
func settings(c *Config) []setting {
	return append(reloaderTable(c), ownTable(c)...)
}

func reloaderTable(c *Config) []setting {
	var (
		strategy = oneOf(&c.Reload.Strategy, "STRATEGY", map[string]Strategy{"default": EnvVars}, EnvVars, Annotations)
		// An empty format is Reloader's own default and what its chart renders.
		format = oneOf(&c.Log.Format, "FORMAT", map[string]telemetry.Format{"": telemetry.FormatText}, telemetry.Formats()...)
	)
	const s = reloaderSettings
	return []setting{
		{"reload-strategy", s, strategy, "how a rollout is written into the pod template: env-vars or annotations"},
		{"auto-reload-all", s, boolean(&c.Reload.AutoAll), "treat every workload that says nothing else as annotated with auto"},
		{"reload-on-create", s, boolean(&c.Reload.OnCreate), "roll when a source that is used appears"},
		{"reload-on-delete", s, boolean(&c.Reload.OnDelete), "roll when a source that is used disappears"},
		{"namespaces", s, names(&c.Namespaces, "NAME,…"), "work in these namespaces only, with rights in these only; without it KUBERNETES_NAMESPACE names one, and otherwise it is all"},
		{"enable-ha", s, boolean(&c.Election.Enabled), "elect one replica that acts; the others are ready to take over. Needs POD_NAME and POD_NAMESPACE"},
		{"log-format", s, format, "form of the log: text or json"},
		{"log-level", s, level(&c.Log.Level), "least level of the log: " + strings.Join(telemetry.LevelNames(), ", ")},
		{"auto-annotation", s, key(&c.Keys.Auto), "on a workload: roll for every source it uses"},
		{"configmap-auto-annotation", s, key(&c.Keys.ConfigMapAuto), "on a workload: roll for every ConfigMap it uses"},
		{"secret-auto-annotation", s, key(&c.Keys.SecretAuto), "on a workload: roll for every Secret it uses"},
		{"configmap-annotation", s, key(&c.Keys.ConfigMap), "on a workload: roll for the ConfigMaps named here"},
		{"secret-annotation", s, key(&c.Keys.Secret), "on a workload: roll for the Secrets named here"},
		{"auto-search-annotation", s, key(&c.Keys.Search), "on a workload: roll for the sources it uses that carry the match annotation"},
		{"search-match-annotation", s, key(&c.Keys.Match), "on a source: found by workloads that carry the search annotation"},
		{"ignore-annotation", s, key(&c.Keys.Ignore), "on a source: never roll for it"},
		{"enable-pprof", s, boolean(&c.Pprof.Enabled), "serve Go's profiles on an address of their own"},
		{"pprof-addr", s, text(&c.Pprof.Address, "HOST:PORT"), "the address for profiles"},
	}
}

func ownTable(c *Config) []setting {
	const s = ownSettings
	return []setting{
		{"kubeconfig", s, text(&c.Kubernetes.Kubeconfig, "FILE"), "how to reach the cluster; without it KUBECONFIG, then ~/.kube/config, then the service account of the pod"},
		{"listen-address", s, text(&c.ListenAddress, "HOST:PORT"), "where /metrics, /live and /ready are served"},
		{"settle", s, duration(&c.Pace.Settle), "quiet time after the last change before a rollout is decided, so that several edits become one"},
		{"settle-max", s, duration(&c.Pace.SettleMax), "the longest that further changes may put a rollout off"},
		{"workers", s, integer(&c.Pace.Workers, "a whole number"), "workloads handled at the same time"},
		{"adoption-rate", s, decimal(&c.Pace.AdoptionRate, "a number"), "baselines recorded per second for workloads that inpod sees for the first time"},
		{"kube-api-qps", s, decimal(&c.Kubernetes.QPS, "a number"), "requests per second to the API server; 0 leaves the limit to the server"},
		{"kube-api-burst", s, integer(&c.Kubernetes.Burst, "a whole number"), "requests that may exceed --kube-api-qps for a moment; 0 means twice that"},
		{"digest-key-secret", s, text(&c.DigestKeySecret, "NAME"), "Secret in the namespace of inpod that holds the key of all digests"},
		{"lease-name", s, text(&c.Election.LeaseName, "NAME"), "Lease in the namespace of inpod that the replicas compete for"},
		{"lease-duration", s, duration(&c.Election.LeaseDuration), "how long a silent leader keeps the others away"},
		{"lease-renew-deadline", s, duration(&c.Election.RenewDeadline), "how long a leader tries to renew before it steps back"},
		{"lease-retry-period", s, duration(&c.Election.RetryPeriod), "time between two attempts to get or renew the Lease"},
	}
}

func key(field *string) value { return text(field, "KEY") }
