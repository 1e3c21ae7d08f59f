// Package config decides what the controller was asked to do: it turns flags, environment and a configuration file into
// one typed, validated [Config], or into an error that says what to write instead.
//
//	flag  >  environment  >  --config file  >  default
//
// Every setting is one row of the table in settings.go, which package settings reads: that row is its flag, its
// environment variable and its key in the file. Nothing is read from the process: arguments and environment come in as
// values.
package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/internal/logging"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// Strategy is how a rollout is written into a pod template. The values are those of Reloader's --reload-strategy.
type Strategy string

// The strategies.
const (
	EnvVars     Strategy = "env-vars"    // a STAKATER_… variable in one container
	Annotations Strategy = "annotations" // the annotation reloader.stakater.com/last-reloaded-from
)

// Config is everything that can be set on the controller.
type Config struct {
	// File is the configuration file that was read, "" for none.
	File string

	Reload     Reload
	Keys       Keys
	Namespaces []string // the namespaces to work in; empty means all of them
	Scope      Scope
	Election   Election
	Log        Log
	Pprof      Pprof
	Pace       Pace
	InPlace    InPlace
	Alert      Alert
	Webhook    Webhook
	Kubernetes Kubernetes
	Kinds      Kinds
	Pod        Pod

	// ListenAddress is where /metrics, /live and /ready are served, as host:port.
	ListenAddress string
	// MetricsByNamespace adds Reloader's counter of rollouts by namespace.
	MetricsByNamespace bool
	// MetaInfo writes Reloader's ConfigMap about the running program.
	MetaInfo bool
	// DigestKeySecret is the name of the Secret, in the namespace of the pod, that holds the key of all digests.
	DigestKeySecret string
}

// Reload says what makes a workload roll, and how that is written.
type Reload struct {
	Strategy Strategy
	AutoAll  bool // treat a workload without an annotation of its own as auto
	OnCreate bool // a source that appears counts as a change
	OnDelete bool // a source that disappears counts as a change
	// SyncAfterRestart is Reloader's, and has no effect: whatever changed meanwhile is found at each start.
	SyncAfterRestart bool
}

// Scope narrows what is watched. What is left out is not read, and costs no memory.
type Scope struct {
	IgnoredNamespaces []string // of those that would be watched
	NamespaceSelector string   // on the labels of namespaces, "" for all
	SourceSelector    string   // on the labels of ConfigMaps and Secrets, "" for all
	IgnoredSources    []string // configmaps, secrets
	Classes           bool     // watch SecretProviderClasses too
	Bundles           bool     // watch ClusterTrustBundles too
	NamespaceDefaults bool     // annotations of namespaces are defaults for their workloads
}

// Sources are the kinds of sources in namespaces to watch.
func (s Scope) Sources() []source.Kind {
	var kinds []source.Kind
	for _, kind := range []source.Kind{source.ConfigMap, source.Secret} {
		if !slices.Contains(s.Ignored(), kind) {
			kinds = append(kinds, kind)
		}
	}
	if s.Classes {
		kinds = append(kinds, source.SecretProviderClass)
	}
	return kinds
}

// Ignored are the kinds of sources in namespaces not to watch.
func (s Scope) Ignored() []source.Kind {
	var kinds []source.Kind
	for _, name := range s.IgnoredSources {
		if kind, ok := resources()[strings.ToLower(name)]; ok {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// Bundles reports whether ClusterTrustBundles are watched. Whoever may work in some namespaces only may not look at
// what is in none.
func (c Config) Bundles() bool { return c.Scope.Bundles && len(c.Namespaces) == 0 }

// Sources are the kinds of sources to watch.
func (c Config) Sources() []source.Kind {
	kinds := c.Scope.Sources()
	if c.Bundles() {
		kinds = append(kinds, source.ClusterTrustBundle)
	}
	return kinds
}

// Ignored are the kinds of sources that inpod does not read.
func (c Config) Ignored() []source.Kind {
	kinds := c.Scope.Ignored()
	if !c.Bundles() {
		kinds = append(kinds, source.ClusterTrustBundle)
	}
	return kinds
}

// Watched are the namespaces to watch by name, none for all, and the selector of those to watch by their labels. A selector
// has no say where names are given: whoever may work in some namespaces only may not look at the labels of all.
func (c Config) Watched() (namespaces []string, selector string) {
	if len(c.Namespaces) == 0 {
		return nil, c.Scope.NamespaceSelector
	}
	return slices.DeleteFunc(slices.Clone(c.Namespaces), func(name string) bool { return slices.Contains(c.Scope.IgnoredNamespaces, name) }), ""
}

// Defaults reports whether annotations of namespaces count. Whoever may work in some namespaces only may not look at
// them.
func (c Config) Defaults() bool { return c.Scope.NamespaceDefaults && len(c.Namespaces) == 0 }

// Notes are what whoever set this up should know of settings that have no effect.
func (c Config) Notes() []string {
	var notes []string
	if c.Reload.SyncAfterRestart {
		notes = append(notes, "--sync-after-restart has no effect: inpod always applies what changed while it was down, once, and starts no other rollouts")
	}
	if len(c.Namespaces) > 0 && c.Scope.NamespaceSelector != "" {
		notes = append(notes, "--namespace-selector has no effect, because --namespaces names them")
	}
	if len(c.Namespaces) > 0 && c.Scope.NamespaceDefaults {
		notes = append(notes, "--namespace-defaults has no effect, because --namespaces names them: annotate the workloads")
	}
	if len(c.Namespaces) > 0 && c.Scope.Bundles {
		notes = append(notes, "--cluster-trust-bundles has no effect, because --namespaces limits inpod to namespaces, and they are in none")
	}
	if len(c.Sources()) == 0 {
		notes = append(notes, "--resources-to-ignore leaves nothing to watch: neither ConfigMaps nor Secrets")
	}
	return notes
}

// resources are the names of kinds of sources in the API.
func resources() map[string]source.Kind {
	return map[string]source.Kind{"configmaps": source.ConfigMap, "secrets": source.Secret}
}

// Keys are the annotation keys that carry what users ask for.
type Keys struct {
	Auto          string
	ConfigMapAuto string
	SecretAuto    string
	ConfigMap     string // named list of ConfigMaps
	Secret        string // named list of Secrets
	Search        string
	Match         string // on the source, the counterpart of Search
	Ignore        string // on the source
	PausePeriod   string
	PausedAt      string // written by inpod
}

// Election is how replicas elect the one that acts.
type Election struct {
	Enabled       bool
	LeaseName     string
	LeaseDuration time.Duration // how long a silent leader keeps the others away
	RenewDeadline time.Duration // how long a leader tries to renew before it steps back
	RetryPeriod   time.Duration // time between two attempts
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

// Pace says how fast inpod acts.
type Pace struct {
	Settle       time.Duration // quiet time after the last change before a rollout is decided
	SettleMax    time.Duration // the longest that further changes may delay it
	Workers      int           // workloads decided on at the same time
	BaselineRate float64       // baselines recorded per second for workloads that have none
	NotifyOnly   bool          // report changes, and do nothing
	// MaxRollouts and MaxRolloutsPerNamespace are how many rollouts may be under way, and RolloutRate how many may begin
	// per second; 0 means no limit.
	MaxRollouts, MaxRolloutsPerNamespace int
	RolloutRate                          float64
	RolloutTimeout                       time.Duration // after how long a rollout does not count as under way any more

	Window string // when workloads may be rolled, see [window.Form]; "" for always
}

// InPlace is how pods with the sidecar reload new content.
type InPlace struct {
	// Evict has pods evicted that could not reload.
	Evict     bool
	Enabled   bool
	Deadline  time.Duration // how long a pod may take to confirm a reload before the workload is rolled
	NudgeRate float64       // pods per second that are made to refresh their volumes
	Through   Through       // how sidecars are reached
	// Unreachable is what is done with a workload whose sidecars cannot be reached, or with one that is not understood.
	Unreachable Unreachable
}

// Through is how the controller reaches sidecars.
type Through string

// The ways.
const (
	Direct      Through = "direct"      // at the addresses of their pods
	PortForward Through = "portforward" // through the API server and the kubelets
	Auto        Through = "auto"        // directly, and else through the API server
)

// Unreachable is what is done with a workload whose sidecars cannot be reached, or with one that is not understood, so
// that nobody knows what its pods have.
type Unreachable string

// The choices.
const (
	WaitUnreachable Unreachable = "wait"    // it is reported, and asked again
	RollUnreachable Unreachable = "rollout" // it is rolled, like one that has not confirmed in time
)

// Alert is where to send alerts. Reloader's variables ALERT_… are read too.
type Alert struct {
	Enabled bool
	Sink    alert.Sink
	URL     string // where to post; a password
	Proxy   string // an HTTP proxy to go through, "" for none
	Info    string // put in front of each text
}

// Webhook is the service that starts rollouts in place of inpod; none by default.
type Webhook struct {
	URL   string // where to post, "" for nowhere; a password
	Proxy string // an HTTP proxy to go through, "" for none
}

// Kubernetes says how to reach the API server.
type Kubernetes struct {
	Kubeconfig string  // path; "" means $KUBECONFIG, ~/.kube/config, or the service account of the pod
	QPS        float64 // requests per second; 0 means no limit on the client's side
	Burst      int     // requests that may exceed QPS for a moment; 0 means twice QPS
}

// Kinds are the kinds of workloads that are handled beside those that every cluster has.
type Kinds struct {
	Rollout          bool     // of Argo Rollouts
	DeploymentConfig bool     // of OpenShift
	Others           []string // each as in [workload.Form]
	Ignored          []string // jobs, cronjobs
}

// Table returns the kinds of workloads to handle.
func (k Kinds) Table() (workload.Table, error) {
	table := workload.Kinds()
	for _, kind := range []workload.Kind{workload.CronJob(), workload.JobKind()} {
		if !slices.ContainsFunc(k.Ignored, func(ignored string) bool { return strings.EqualFold(ignored, kind.Resource.Resource) }) {
			table = table.With(kind)
		}
	}
	if k.Rollout {
		table = table.With(workload.Rollout())
	}
	if k.DeploymentConfig {
		table = table.With(workload.DeploymentConfig())
	}
	for _, text := range k.Others {
		kind, err := workload.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		for _, known := range table {
			if known.Resource.GroupResource() == kind.Resource.GroupResource() {
				return nil, fmt.Errorf("%q: %s are handled already", text, kind.Resource.GroupResource())
			}
		}
		table = table.With(kind)
	}
	return table, nil
}

// Pod is the pod that the controller runs in, from the variables POD_NAME and POD_NAMESPACE, which the manifests fill
// through the downward API. Both are "" outside a cluster.
type Pod struct {
	Name      string
	Namespace string
	// ReloaderNamespace and ReloaderDeployment are Reloader's variables RELOADER_NAMESPACE and RELOADER_DEPLOYMENT_NAME.
	ReloaderNamespace, ReloaderDeployment string
}

// Place returns the namespace and the name of the Deployment, as far as they can be known. Reloader's chart puts them into
// variables; without those the pod knows both.
func (p Pod) Place() (namespace, deployment string) {
	deployment = p.ReloaderDeployment
	// The pod of a Deployment is called NAME-HASH-RANDOM.
	if parts := strings.Split(p.Name, "-"); deployment == "" && len(parts) > 2 {
		deployment = strings.Join(parts[:len(parts)-2], "-")
	}
	return cmp.Or(p.ReloaderNamespace, p.Namespace, "default"), deployment
}

// Default returns what holds when nothing is set.
func Default() Config {
	return Config{ //nolint:gosec // names of annotations and of a Secret, nothing secret
		Reload: Reload{Strategy: EnvVars},
		Keys: Keys{
			Auto:          "reloader.stakater.com/auto",
			ConfigMapAuto: "configmap.reloader.stakater.com/auto",
			SecretAuto:    "secret.reloader.stakater.com/auto",
			ConfigMap:     "configmap.reloader.stakater.com/reload",
			Secret:        "secret.reloader.stakater.com/reload",
			Search:        "reloader.stakater.com/search",
			Match:         "reloader.stakater.com/match",
			Ignore:        "reloader.stakater.com/ignore",
			PausePeriod:   "deployment.reloader.stakater.com/pause-period",
			PausedAt:      "deployment.reloader.stakater.com/paused-at",
		},
		Election: Election{
			LeaseName:     "inpod-controller",
			LeaseDuration: 15 * time.Second,
			RenewDeadline: 10 * time.Second,
			RetryPeriod:   2 * time.Second,
		},
		Log:             Log{Format: logging.FormatText, Level: slog.LevelInfo},
		Pprof:           Pprof{Address: "127.0.0.1:6060"},
		Pace:            Pace{Settle: 2 * time.Second, SettleMax: 10 * time.Second, Workers: 8, BaselineRate: 20, RolloutTimeout: 10 * time.Minute},
		InPlace:         InPlace{Enabled: true, Evict: true, Deadline: 2 * time.Minute, NudgeRate: 200, Through: Direct, Unreachable: WaitUnreachable},
		Alert:           Alert{Sink: alert.Raw},
		ListenAddress:   ":9090",
		DigestKeySecret: "inpod-digest-key",
	}
}
