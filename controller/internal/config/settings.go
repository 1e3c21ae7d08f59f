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
		s.Setting("auto-reload-all", settings.Boolean(&c.Reload.AutoAll), "treat every workload that says nothing else as annotated with auto"),
		s.Setting("reload-on-create", settings.Boolean(&c.Reload.OnCreate), "roll when a source that is used appears"),
		s.Setting("reload-on-delete", settings.Boolean(&c.Reload.OnDelete), "roll when a source that is used disappears"),
		s.Setting("namespaces", settings.Names(&c.Namespaces, "NAME,…"), "work in these namespaces only, with rights in these only; without it KUBERNETES_NAMESPACE names one, and otherwise it is all"),
		s.Setting("namespaces-to-ignore", settings.Names(&c.Scope.IgnoredNamespaces, "NAME,…"), "leave these namespaces out"),
		s.Setting("namespace-selector", kubevalue.Selector(&c.Scope.NamespaceSelector), "work in the namespaces whose labels match. Each is watched for itself: where most match, rather ignore the others"),
		s.Setting("resource-label-selector", kubevalue.Selector(&c.Scope.SourceSelector), "watch only ConfigMaps and Secrets whose labels match"),
		s.Setting("resources-to-ignore", settings.Names(&c.Scope.IgnoredSources, "NAME,…"), "ignore configmaps, or secrets, and need no rights on them"),
		s.Setting("sync-after-restart", settings.Boolean(&c.Reload.SyncAfterRestart), "has no effect: what changed while inpod was away is always applied, once"),
		s.Setting("enable-ha", settings.Boolean(&c.Election.Enabled), "elect one replica that acts; the others are ready to take over. Needs POD_NAME and POD_NAMESPACE"),
		s.Setting("log-format", format, "form of the log: text or json"),
		s.Setting("log-level", settings.Level(&c.Log.Level), "least level of the log: "+strings.Join(logging.LevelNames(), ", ")),
		s.Setting("auto-annotation", key(&c.Keys.Auto), "on a workload: roll for every source it uses"),
		s.Setting("configmap-auto-annotation", key(&c.Keys.ConfigMapAuto), "on a workload: roll for every ConfigMap it uses"),
		s.Setting("secret-auto-annotation", key(&c.Keys.SecretAuto), "on a workload: roll for every Secret it uses"),
		s.Setting("configmap-annotation", key(&c.Keys.ConfigMap), "on a workload: roll for the ConfigMaps named here"),
		s.Setting("secret-annotation", key(&c.Keys.Secret), "on a workload: roll for the Secrets named here"),
		s.Setting("auto-search-annotation", key(&c.Keys.Search), "on a workload: roll for the sources it uses that carry the match annotation"),
		s.Setting("search-match-annotation", key(&c.Keys.Match), "on a source: found by workloads that carry the search annotation"),
		s.Setting("ignore-annotation", key(&c.Keys.Ignore), "on a source: never roll for it"),
		s.Setting("pause-deployment-annotation", key(&c.Keys.PausePeriod), "on a workload: how long nothing is rolled after a rollout"),
		s.Setting("pause-deployment-time-annotation", key(&c.Keys.PausedAt), "on a workload with a pause: the time of its last rollout, written by inpod"),
		s.Setting("ignored-workload-types", settings.Names(&c.Kinds.Ignored, "NAME,…"), "ignore cronjobs, or jobs, and need no rights on them"),
		s.Setting("is-argo-rollouts", settings.Boolean(&c.Kinds.Rollout), "handle the Rollouts of Argo Rollouts too. Reloader's spelling, --is-Argo-Rollouts, works as well"),
		s.Setting("enable-csi-integration", settings.Boolean(&c.Scope.Classes), "follow the SecretProviderClasses of the secrets-store CSI driver too"),
		s.Setting("webhook-url", settings.Text(&c.Webhook.URL, "URL"), "roll nothing, and post what is to be rolled to this address. It is a password: rather set INPOD_WEBHOOK_URL from a Secret").Hidden(),
		s.Setting("metrics-by-namespace", settings.Boolean(&c.MetricsByNamespace), "export reloader_reload_executed_total_by_namespace as well; METRICS_COUNT_BY_NAMESPACE=enabled does the same"),
		s.Setting("meta-info", settings.Boolean(&c.MetaInfo), "write Reloader's ConfigMap reloader-meta-info, which says which build runs with which settings; RELOADER_NAMESPACE=NAME does the same"),
		s.Setting("enable-pprof", settings.Boolean(&c.Pprof.Enabled), "serve Go's profiles on an address of their own"),
		s.Setting("pprof-addr", settings.Text(&c.Pprof.Address, "HOST:PORT"), "the address for profiles"),
	}
}

func ownTable(c *Config) []settings.Setting {
	const s = ownSettings
	return []settings.Setting{
		s.Setting("kubeconfig", settings.Text(&c.Kubernetes.Kubeconfig, "FILE"), "how to reach the cluster; without it KUBECONFIG, then ~/.kube/config, then the service account of the pod"),
		s.Setting("listen-address", settings.Text(&c.ListenAddress, "HOST:PORT"), "where /metrics, /live and /ready are served"),
		s.Setting("settle", settings.Duration(&c.Pace.Settle), "quiet time after the last change before a rollout is decided, so that several edits become one"),
		s.Setting("settle-max", settings.Duration(&c.Pace.SettleMax), "the longest that further changes may put a rollout off"),
		s.Setting("notify-only", settings.Boolean(&c.Pace.NotifyOnly), "report changes in events and alerts, and roll nothing, where a workload does not say inpod.dev/notify-only: \"false\""),
		s.Setting("window", settings.Text(&c.Pace.Window, "WINDOWS"), "when workloads may be rolled that do not say inpod.dev/window: "+window.Form),
		s.Setting("namespace-defaults", settings.Boolean(&c.Scope.NamespaceDefaults), "read inpod.dev/window, inpod.dev/notify-only and the pause-period of namespaces too, as defaults for their workloads"),
		s.Setting("cluster-trust-bundles", settings.Boolean(&c.Scope.Bundles), "follow the ClusterTrustBundles that pods mount too; needs rights on them, which no role of a namespace can give"),
		s.Setting("max-concurrent-rollouts", settings.Integer(&c.Pace.MaxRollouts, "a whole number"), "rollouts that may be under way at the same time; 0 means no limit"),
		s.Setting("max-concurrent-rollouts-per-namespace", settings.Integer(&c.Pace.MaxRolloutsPerNamespace, "a whole number"), "the same in one namespace"),
		s.Setting("rollout-rate", settings.Decimal(&c.Pace.RolloutRate, "a number"), "rollouts that may begin per second; 0 means no limit"),
		s.Setting("rollout-timeout", settings.Duration(&c.Pace.RolloutTimeout), "how long a rollout that does not complete counts as under way"),
		s.Setting("workers", settings.Integer(&c.Pace.Workers, "a whole number"), "workloads handled at the same time"),
		s.Setting("baseline-rate", settings.Decimal(&c.Pace.BaselineRate, "a number"), "baselines recorded per second for workloads that inpod sees for the first time"),
		s.Setting("reload-in-place", settings.Boolean(&c.InPlace.Enabled), "leave it to the sidecars to reload where every pod has one and running containers see the change; without it such a change rolls"),
		s.Setting("reload-deadline", settings.Duration(&c.InPlace.Deadline), "how long a pod may take to confirm a reload before its workload is rolled"),
		s.Setting("nudge-rate", settings.Decimal(&c.InPlace.NudgeRate, "a number"), "pods per second whose volumes are refreshed at once"),
		s.Setting("confirm-through", settings.OneOf(&c.InPlace.Through, "WAY", nil, Direct, PortForward, Auto), "how sidecars are asked: direct, at the addresses of their pods; portforward, through the API server, which needs rights on pods/portforward; or auto, directly and else through the API server"),
		s.Setting("unreachable", settings.OneOf(&c.InPlace.Unreachable, "WHAT", nil, WaitUnreachable, RollUnreachable), "what is done with a workload whose sidecars cannot be reached within --reload-deadline, or answer what is not understood: wait, with a Warning event, or rollout"),
		s.Setting("alert-on-reload", settings.Boolean(&c.Alert.Enabled), "post an alert for each rollout and reload, and for each failure").Known("ALERT_ON_RELOAD"),
		s.Setting("alert-sink", settings.OneOf(&c.Alert.Sink, "SINK", nil, alert.Sinks()...), "form of the alerts: slack, teams, gchat, webhook (the text alone) or json").Known("ALERT_SINK"),
		s.Setting("alert-webhook-url", settings.Text(&c.Alert.URL, "URL"), "where alerts are posted. It is a password: rather set INPOD_ALERT_WEBHOOK_URL from a Secret").Known("ALERT_WEBHOOK_URL").Hidden(),
		s.Setting("alert-webhook-proxy", settings.Text(&c.Alert.Proxy, "URL"), "HTTP proxy for alerts").Known("ALERT_WEBHOOK_PROXY").Hidden(),
		s.Setting("alert-additional-info", settings.Text(&c.Alert.Info, "TEXT"), "put in front of each alert, such as the name of the cluster").Known("ALERT_ADDITIONAL_INFO"),
		s.Setting("is-openshift", settings.Boolean(&c.Kinds.DeploymentConfig), "handle the DeploymentConfigs of OpenShift too"),
		s.Setting("workload-kinds", settings.Names(&c.Kinds.Others, "KIND=GROUP/VERSION/RESOURCE,…"), "handle these kinds too, which have a pod template at spec.template, or where :PATH.TO.TEMPLATE after the resource says"),
		s.Setting("webhook-proxy", settings.Text(&c.Webhook.Proxy, "URL"), "HTTP proxy for the webhook").Hidden(),
		s.Setting("kube-api-qps", settings.Decimal(&c.Kubernetes.QPS, "a number"), "requests per second to the API server; 0 leaves the limit to the server"),
		s.Setting("kube-api-burst", settings.Integer(&c.Kubernetes.Burst, "a whole number"), "requests that may exceed --kube-api-qps for a moment; 0 means twice that"),
		s.Setting("digest-key-secret", settings.Text(&c.DigestKeySecret, "NAME"), "Secret in the namespace of inpod that holds the key of all digests"),
		s.Setting("lease-name", settings.Text(&c.Election.LeaseName, "NAME"), "Lease in the namespace of inpod that the replicas compete for"),
		s.Setting("lease-duration", settings.Duration(&c.Election.LeaseDuration), "how long a silent leader keeps the others away"),
		s.Setting("lease-renew-deadline", settings.Duration(&c.Election.RenewDeadline), "how long a leader tries to renew before it steps back"),
		s.Setting("lease-retry-period", settings.Duration(&c.Election.RetryPeriod), "time between two attempts to get or renew the Lease"),
	}
}

func key(field *string) settings.Value { return settings.Text(field, "KEY") }
