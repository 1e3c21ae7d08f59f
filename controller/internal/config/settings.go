package config

import (
	"strings"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/internal/logging"
	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/settings/kubevalue"
	"inpod.dev/inpod/internal/window"
)

const (
	reloaderSettings settings.Section = "Reloader's settings, with the same names and meaning"
	ownSettings      settings.Section = "Settings of inpod"
)

// table is everything that can be set, bound to the fields of c, in the order of the help text.
func table(c *Config) []settings.Setting {
	return append(reloaderTable(c), ownTable(c)...)
}

func reloaderTable(c *Config) []settings.Setting {
	var (
		strategy = settings.OneOf(&c.Reload.Strategy, "STRATEGY", map[string]Strategy{"default": EnvVars}, EnvVars, Annotations)
		// An empty format is Reloader's own default and what its chart renders.
		format = settings.OneOf(&c.Log.Format, "FORMAT", map[string]logging.Format{"": logging.FormatText}, logging.Formats()...)
	)
	const s = reloaderSettings
	return []settings.Setting{
		s.Setting("reload-strategy", strategy, "how a rollout is written into the pod template: env-vars or annotations"),
		s.Setting("auto-reload-all", settings.Boolean(&c.Reload.AutoAll), "treat every workload without annotations of its own as annotated with auto"),
		s.Setting("reload-on-create", settings.Boolean(&c.Reload.OnCreate), "start a rollout when a source in use appears"),
		s.Setting("reload-on-delete", settings.Boolean(&c.Reload.OnDelete), "start a rollout when a source in use disappears"),
		s.Setting("namespaces", settings.Names(&c.Namespaces, "NAME,…"), "watch only these namespaces, with permissions only in these; the default is KUBERNETES_NAMESPACE, else all namespaces"),
		s.Setting("namespaces-to-ignore", settings.Names(&c.Scope.IgnoredNamespaces, "NAME,…"), "do not watch these namespaces"),
		s.Setting("namespace-selector", kubevalue.Selector(&c.Scope.NamespaceSelector), "watch only namespaces whose labels match. Each has watches of its own; if most match, use --namespaces-to-ignore instead"),
		s.Setting("resource-label-selector", kubevalue.Selector(&c.Scope.SourceSelector), "watch only ConfigMaps and Secrets whose labels match"),
		s.Setting("resources-to-ignore", settings.Names(&c.Scope.IgnoredSources, "NAME,…"), "ignore configmaps or secrets, and need no permissions for them"),
		s.Setting("sync-after-restart", settings.Boolean(&c.Reload.SyncAfterRestart), "no effect: inpod always applies changes made while it was down, once"),
		s.Setting("enable-ha", settings.Boolean(&c.Election.Enabled), "elect one replica as leader; the others stand by. Needs POD_NAME and POD_NAMESPACE"),
		s.Setting("log-format", format, "form of the log: text or json"),
		s.Setting("log-level", settings.Level(&c.Log.Level), "lowest level to log: "+strings.Join(logging.LevelNames(), ", ")),
		s.Setting("auto-annotation", key(&c.Keys.Auto), "on a workload: start a rollout for every source it uses"),
		s.Setting("configmap-auto-annotation", key(&c.Keys.ConfigMapAuto), "on a workload: start a rollout for every ConfigMap it uses"),
		s.Setting("secret-auto-annotation", key(&c.Keys.SecretAuto), "on a workload: start a rollout for every Secret it uses"),
		s.Setting("configmap-annotation", key(&c.Keys.ConfigMap), "on a workload: start a rollout for the ConfigMaps in its value"),
		s.Setting("secret-annotation", key(&c.Keys.Secret), "on a workload: start a rollout for the Secrets in its value"),
		s.Setting("auto-search-annotation", key(&c.Keys.Search), "on a workload: start a rollout for the sources it uses that have the match annotation"),
		s.Setting("search-match-annotation", key(&c.Keys.Match), "on a source: match workloads that have the search annotation"),
		s.Setting("ignore-annotation", key(&c.Keys.Ignore), "on a source: never start a rollout for it"),
		s.Setting("pause-deployment-annotation", key(&c.Keys.PausePeriod), "on a workload: how long after a rollout the next one is delayed"),
		s.Setting("pause-deployment-time-annotation", key(&c.Keys.PausedAt), "on a workload with a pause: the time of its last rollout, written by inpod"),
		s.Setting("ignored-workload-types", settings.Names(&c.Kinds.Ignored, "NAME,…"), "ignore cronjobs or jobs, and need no permissions for them"),
		s.Setting("is-argo-rollouts", settings.Boolean(&c.Kinds.Rollout), "also watch Rollouts of Argo Rollouts. Reloader's spelling, --is-Argo-Rollouts, works as well"),
		s.Setting("enable-csi-integration", settings.Boolean(&c.Scope.Classes), "also watch SecretProviderClasses of the Secrets Store CSI driver"),
		s.Setting("webhook-url", settings.Text(&c.Webhook.URL, "URL"), "start no rollouts, and post each one to this URL instead. It is a password: set INPOD_WEBHOOK_URL from a Secret").Hidden(),
		s.Setting("metrics-by-namespace", settings.Boolean(&c.MetricsByNamespace), "also export reloader_reload_executed_total_by_namespace; METRICS_COUNT_BY_NAMESPACE=enabled does the same"),
		s.Setting("meta-info", settings.Boolean(&c.MetaInfo), "write Reloader's ConfigMap reloader-meta-info with build and settings; RELOADER_NAMESPACE=NAME does the same"),
		s.Setting("enable-pprof", settings.Boolean(&c.Pprof.Enabled), "serve Go profiles on a separate address"),
		s.Setting("pprof-addr", settings.Text(&c.Pprof.Address, "HOST:PORT"), "address of the profiles"),
	}
}

func ownTable(c *Config) []settings.Setting {
	const s = ownSettings
	return []settings.Setting{
		s.Setting("kubeconfig", settings.Text(&c.Kubernetes.Kubeconfig, "FILE"), "kubeconfig of the cluster; the default is KUBECONFIG, then ~/.kube/config, then the service account of the pod"),
		s.Setting("listen-address", settings.Text(&c.ListenAddress, "HOST:PORT"), "address of /metrics, /live and /ready"),
		s.Setting("settle", settings.Duration(&c.Pace.Settle), "quiet time (debounce) after the last change before a decision, so that several edits become one rollout"),
		s.Setting("settle-max", settings.Duration(&c.Pace.SettleMax), "longest time that further changes can delay a rollout"),
		s.Setting("notify-only", settings.Boolean(&c.Pace.NotifyOnly), "report changes in events and alerts and start no rollouts, except for workloads with inpod.dev/notify-only: \"false\""),
		s.Setting("window", settings.Text(&c.Pace.Window, "WINDOWS"), "maintenance window of workloads without inpod.dev/window: "+window.Form),
		s.Setting("namespace-defaults", settings.Boolean(&c.Scope.NamespaceDefaults), "use inpod.dev/window, inpod.dev/notify-only and the pause-period of a namespace as defaults for its workloads"),
		s.Setting("cluster-trust-bundles", settings.Boolean(&c.Scope.Bundles), "also watch ClusterTrustBundles that pods mount; needs permissions that only a ClusterRole can grant"),
		s.Setting("max-concurrent-rollouts", settings.Integer(&c.Pace.MaxRollouts, "a whole number"), "rollouts in progress at the same time; 0 means no limit"),
		s.Setting("max-concurrent-rollouts-per-namespace", settings.Integer(&c.Pace.MaxRolloutsPerNamespace, "a whole number"), "rollouts in progress at the same time in one namespace; 0 means no limit"),
		s.Setting("rollout-rate", settings.Decimal(&c.Pace.RolloutRate, "a number"), "rollouts started per second; 0 means no limit"),
		s.Setting("rollout-timeout", settings.Duration(&c.Pace.RolloutTimeout), "how long an incomplete rollout counts as in progress"),
		s.Setting("workers", settings.Integer(&c.Pace.Workers, "a whole number"), "workloads reconciled at the same time"),
		s.Setting("baseline-rate", settings.Decimal(&c.Pace.BaselineRate, "a number"), "baselines recorded per second for workloads seen for the first time"),
		s.Setting("reload-in-place", settings.Boolean(&c.InPlace.Enabled), "let sidecars reload applications if every pod has one and running containers see the change; if false, such a change starts a rollout"),
		s.Setting("reload-deadline", settings.Duration(&c.InPlace.Deadline), "how long a pod can take to confirm a reload before a rollout starts"),
		s.Setting("nudge-rate", settings.Decimal(&c.InPlace.NudgeRate, "a number"), "pods per second whose volumes are refreshed at once"),
		s.Setting("confirm-through", settings.OneOf(&c.InPlace.Through, "WAY", nil, Direct, PortForward, Auto), "how to reach sidecars: direct, at the pod address; portforward, through the API server, which needs permissions for pods/portforward; or auto, direct first and then portforward"),
		s.Setting("unreachable", settings.OneOf(&c.InPlace.Unreachable, "WHAT", nil, WaitUnreachable, RollUnreachable), "what to do if sidecars are unreachable for --reload-deadline, or their answers are not understood: wait, with a Warning event, or rollout"),
		s.Setting("evict-failed-pods", settings.Boolean(&c.InPlace.Evict), "let inpod evict pods that could not reload, as inpod.dev/on-failure says; if false, a rollout starts instead, and permissions for pods/eviction are not needed"),
		s.Setting("alert-on-reload", settings.Boolean(&c.Alert.Enabled), "post an alert for each rollout, reload and failure").Known("ALERT_ON_RELOAD"),
		s.Setting("alert-sink", settings.OneOf(&c.Alert.Sink, "SINK", nil, alert.Sinks()...), "form of the alerts: slack, teams, gchat, webhook (the text alone) or json").Known("ALERT_SINK"),
		s.Setting("alert-webhook-url", settings.Text(&c.Alert.URL, "URL"), "URL that alerts are posted to. It is a password: set INPOD_ALERT_WEBHOOK_URL from a Secret").Known("ALERT_WEBHOOK_URL").Hidden(),
		s.Setting("alert-webhook-proxy", settings.Text(&c.Alert.Proxy, "URL"), "HTTP proxy for alerts").Known("ALERT_WEBHOOK_PROXY").Hidden(),
		s.Setting("alert-additional-info", settings.Text(&c.Alert.Info, "TEXT"), "text before each alert, such as the name of the cluster").Known("ALERT_ADDITIONAL_INFO"),
		s.Setting("is-openshift", settings.Boolean(&c.Kinds.DeploymentConfig), "also watch DeploymentConfigs of OpenShift"),
		s.Setting("workload-kinds", settings.Names(&c.Kinds.Others, "KIND=GROUP/VERSION/RESOURCE,…"), "also watch these kinds, whose pod template is at spec.template, or at :PATH.TO.TEMPLATE after the resource"),
		s.Setting("webhook-proxy", settings.Text(&c.Webhook.Proxy, "URL"), "HTTP proxy for the webhook").Hidden(),
		s.Setting("kube-api-qps", settings.Decimal(&c.Kubernetes.QPS, "a number"), "requests per second to the API server; 0 leaves the limit to the server"),
		s.Setting("kube-api-burst", settings.Integer(&c.Kubernetes.Burst, "a whole number"), "requests that may exceed --kube-api-qps for a moment; 0 means twice that"),
		s.Setting("digest-key-secret", settings.Text(&c.DigestKeySecret, "NAME"), "Secret in the namespace of inpod with the key of all digests"),
		s.Setting("lease-name", settings.Text(&c.Election.LeaseName, "NAME"), "Lease in the namespace of inpod for leader election"),
		s.Setting("lease-duration", settings.Duration(&c.Election.LeaseDuration), "how long the others wait for a leader that does not renew its Lease"),
		s.Setting("lease-renew-deadline", settings.Duration(&c.Election.RenewDeadline), "how long a leader tries to renew its Lease before it gives up leadership"),
		s.Setting("lease-retry-period", settings.Duration(&c.Election.RetryPeriod), "time between two attempts to get or renew the Lease"),
	}
}

func key(field *string) settings.Value { return settings.Text(field, "KEY") }
