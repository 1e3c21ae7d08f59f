package config

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/settings/kubevalue"
	"inpod.dev/inpod/internal/window"
)

// jitter is how much client-go may stretch a retry period (leaderelection.JitterFactor).
const jitter = 1.2

// validator checks a Config.
type validator struct {
	settings.Check
	config *Config
}

// validate returns everything that is wrong. Origin says where the value of the named setting came from.
func validate(c *Config, origin func(name string) string) error {
	v := &validator{Check: settings.Check{Origin: origin}, config: c}
	v.pace()
	v.kubernetes()
	v.scope()
	v.ignoredKinds()
	v.election()
	v.annotationKeys()
	v.addresses()
	v.alert()
	v.webhook()
	v.kinds()
	return v.Err()
}

func (v *validator) pace() {
	p := v.config.Pace
	if p.Settle < 0 {
		v.Wrong("settle", "%s is negative; use 0s or more", p.Settle)
	}
	if p.SettleMax < p.Settle {
		v.Wrong("settle-max", "%s is shorter than the settle time of %s (%s)", p.SettleMax, p.Settle, v.Origin("settle"))
	}
	if _, err := window.Parse(p.Window); p.Window != "" && err != nil {
		v.Wrong("window", "%q is no maintenance window: %v", p.Window, err)
	}
	for name, n := range map[string]int{"max-concurrent-rollouts": p.MaxRollouts, "max-concurrent-rollouts-per-namespace": p.MaxRolloutsPerNamespace} {
		if n < 0 {
			v.Wrong(name, "%d is negative; use 0 (no limit) or more", n)
		}
	}
	if !(p.RolloutRate >= 0) {
		v.Wrong("rollout-rate", "%v is not a rate; use 0 (no limit) or more", p.RolloutRate)
	}
	if p.RolloutTimeout <= 0 {
		v.Wrong("rollout-timeout", "%s would let no rollout count; use more than 0s", p.RolloutTimeout)
	}
	if p.Workers < 1 {
		v.Wrong("workers", "%d is too few; use 1 or more", p.Workers)
	}
	if v.config.InPlace.Deadline <= 0 {
		v.Wrong("reload-deadline", "%s leaves no time to reload; use more than 0s", v.config.InPlace.Deadline)
	}
	if !(v.config.InPlace.NudgeRate > 0) {
		v.Wrong("nudge-rate", "%v would never refresh a volume; use more than 0, or --reload-in-place=false", v.config.InPlace.NudgeRate)
	}
	if !(p.BaselineRate > 0) { // not <= 0, which NaN would pass
		v.Wrong("baseline-rate", "%v would never record the baseline of a workload; use more than 0", p.BaselineRate)
	}
}

// alert checks what would be found out only when there is something to report. Addresses are passwords: they are not
// repeated.
func (v *validator) alert() {
	a := v.config.Alert
	switch {
	case a.Enabled && a.URL == "":
		v.Wrong("alert-on-reload", "needs --alert-webhook-url, or better INPOD_ALERT_WEBHOOK_URL from a Secret")
	case a.URL != "":
		if _, err := alert.NewPoster(a.URL, a.Proxy); err != nil {
			v.Wrong("alert-webhook-url", "%v", err)
		}
	}
}

func (v *validator) kinds() {
	if _, err := v.config.Kinds.Table(); err != nil {
		v.Wrong("workload-kinds", "%v", err)
	}
}

func (v *validator) webhook() {
	w := v.config.Webhook
	if w.URL == "" {
		return
	}
	if _, err := alert.NewPoster(w.URL, w.Proxy); err != nil {
		v.Wrong("webhook-url", "%v", err)
	}
}

func (v *validator) kubernetes() {
	k := v.config.Kubernetes
	if !(k.QPS >= 0) {
		v.Wrong("kube-api-qps", "%v is not a rate; use 0 (no limit) or more", k.QPS)
	}
	switch {
	case k.Burst < 0:
		v.Wrong("kube-api-burst", "%d is negative; use 0 (twice --kube-api-qps) or more", k.Burst)
	case k.Burst > 0 && k.QPS == 0:
		v.Wrong("kube-api-burst", "%d has no effect without --kube-api-qps; set both or none", k.Burst)
	}
	for _, namespace := range v.config.Namespaces {
		kubevalue.Namespace(&v.Check, "namespaces", namespace)
	}
	kubevalue.ObjectName(&v.Check, "digest-key-secret", v.config.DigestKeySecret)
	kubevalue.ObjectName(&v.Check, "lease-name", v.config.Election.LeaseName)
}

func (v *validator) scope() {
	for _, namespace := range v.config.Scope.IgnoredNamespaces {
		kubevalue.Namespace(&v.Check, "namespaces-to-ignore", namespace)
	}
	if namespaces, _ := v.config.Watched(); len(v.config.Namespaces) > 0 && len(namespaces) == 0 {
		v.Wrong("namespaces-to-ignore", "leaves nothing of --namespaces (%s) to work in", v.Origin("namespaces"))
	}
	for _, name := range v.config.Scope.IgnoredSources {
		if _, known := resources()[strings.ToLower(name)]; !known {
			v.Wrong("resources-to-ignore", "%q is not among what can be ignored: configmaps, secrets", name)
		}
	}
}

func (v *validator) ignoredKinds() {
	for _, name := range v.config.Kinds.Ignored {
		if lower := strings.ToLower(name); lower != "jobs" && lower != "cronjobs" {
			v.Wrong("ignored-workload-types", "%q is not among what can be ignored: jobs, cronjobs", name)
		}
	}
}

func (v *validator) election() {
	e := v.config.Election
	// A Lease counts in whole seconds.
	if e.LeaseDuration < time.Second || e.LeaseDuration%time.Second != 0 {
		v.Wrong("lease-duration", "%s is not a whole number of seconds of at least 1s", e.LeaseDuration)
	}
	if e.RetryPeriod <= 0 {
		v.Wrong("lease-retry-period", "%s is too short; use more than 0s", e.RetryPeriod)
	}
	if e.LeaseDuration <= e.RenewDeadline {
		v.Wrong("lease-duration", "%s must be longer than the renew deadline of %s (%s), or two replicas could act at once",
			e.LeaseDuration, e.RenewDeadline, v.Origin("lease-renew-deadline"))
	}
	if least := time.Duration(float64(e.RetryPeriod) * jitter); e.RenewDeadline <= least {
		v.Wrong("lease-renew-deadline", "%s must be longer than %s, which is %v times the retry period of %s (%s)",
			e.RenewDeadline, least, jitter, e.RetryPeriod, v.Origin("lease-retry-period"))
	}
	if e.Enabled && (v.config.Pod.Name == "" || v.config.Pod.Namespace == "") {
		v.Wrong("enable-ha", "needs the environment variables POD_NAME and POD_NAMESPACE, which say who competes and where the Lease is; "+
			"in a pod set them with valueFrom.fieldRef (metadata.name, metadata.namespace), elsewhere run with POD_NAME=$(hostname) POD_NAMESPACE=default")
	}
}

func (v *validator) annotationKeys() {
	k := v.config.Keys
	seen := map[string]string{}
	for _, row := range []struct{ name, key string }{
		{"auto-annotation", k.Auto},
		{"configmap-auto-annotation", k.ConfigMapAuto},
		{"secret-auto-annotation", k.SecretAuto},
		{"configmap-annotation", k.ConfigMap},
		{"secret-annotation", k.Secret},
		{"auto-search-annotation", k.Search},
		{"search-match-annotation", k.Match},
		{"ignore-annotation", k.Ignore},
		{"pause-deployment-annotation", k.PausePeriod},
		{"pause-deployment-time-annotation", k.PausedAt},
	} {
		// Kubernetes compares annotation keys in lower case when it validates them.
		if faults := validation.IsQualifiedName(strings.ToLower(row.key)); len(faults) > 0 {
			v.Wrong(row.name, "%q cannot be the key of an annotation: %s", row.key, strings.Join(faults, "; "))
			continue
		}
		if other, taken := seen[row.key]; taken {
			v.Wrong(row.name, "the key %q is taken by --%s (%s); each needs its own", row.key, other, v.Origin(other))
			continue
		}
		seen[row.key] = row.name
	}
}

func (v *validator) addresses() {
	v.Address("listen-address", v.config.ListenAddress)
	v.Address("pprof-addr", v.config.Pprof.Address)
	if v.config.Pprof.Enabled && v.config.Pprof.Address == v.config.ListenAddress {
		v.Wrong("pprof-addr", "%q is the address of --listen-address too; profiles need one of their own", v.config.Pprof.Address)
	}
}
