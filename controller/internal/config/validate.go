package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// jitter is how much client-go may stretch a retry period (leaderelection.JitterFactor).
const jitter = 1.2

// validator collects what is wrong with a Config. Each check names the setting, where its value came from, and what
// would be right.
type validator struct {
	config   *Config
	origin   func(name string) string
	problems []error
}

// validate returns everything that is wrong. Origin says where the value of the named setting came from.
func validate(c *Config, origin func(name string) string) []error {
	v := &validator{config: c, origin: origin}
	v.pace()
	v.kubernetes()
	v.election()
	v.annotationKeys()
	v.addresses()
	return v.problems
}

// wrong notes a problem of the named setting.
func (v *validator) wrong(name, format string, args ...any) {
	v.problems = append(v.problems, fmt.Errorf("%s: %s", v.origin(name), fmt.Sprintf(format, args...)))
}

func (v *validator) pace() {
	p := v.config.Pace
	if p.Settle < 0 {
		v.wrong("settle", "%s is negative; use 0s or more", p.Settle)
	}
	if p.SettleMax < p.Settle {
		v.wrong("settle-max", "%s is shorter than the settle time of %s (%s)", p.SettleMax, p.Settle, v.origin("settle"))
	}
	if p.Workers < 1 {
		v.wrong("workers", "%d is too few; use 1 or more", p.Workers)
	}
	if !(p.AdoptionRate > 0) { // not <= 0, which NaN would pass
		v.wrong("adoption-rate", "%v would never adopt a workload; use more than 0", p.AdoptionRate)
	}
}

func (v *validator) kubernetes() {
	k := v.config.Kubernetes
	if !(k.QPS >= 0) {
		v.wrong("kube-api-qps", "%v is not a rate; use 0 (no limit) or more", k.QPS)
	}
	switch {
	case k.Burst < 0:
		v.wrong("kube-api-burst", "%d is negative; use 0 (twice --kube-api-qps) or more", k.Burst)
	case k.Burst > 0 && k.QPS == 0:
		v.wrong("kube-api-burst", "%d has no effect without --kube-api-qps; set both or none", k.Burst)
	}
	for _, namespace := range v.config.Namespaces {
		if faults := validation.IsDNS1123Label(namespace); len(faults) > 0 {
			v.wrong("namespaces", "%q cannot be the name of a namespace: %s", namespace, strings.Join(faults, "; "))
		}
	}
	v.objectName("digest-key-secret", v.config.DigestKeySecret)
	v.objectName("lease-name", v.config.Election.LeaseName)
}

func (v *validator) objectName(name, object string) {
	if faults := validation.IsDNS1123Subdomain(object); len(faults) > 0 {
		v.wrong(name, "%q cannot be the name of an object: %s", object, strings.Join(faults, "; "))
	}
}

func (v *validator) election() {
	e := v.config.Election
	// A Lease counts in whole seconds.
	if e.LeaseDuration < time.Second || e.LeaseDuration%time.Second != 0 {
		v.wrong("lease-duration", "%s is not a whole number of seconds of at least 1s", e.LeaseDuration)
	}
	if e.RetryPeriod <= 0 {
		v.wrong("lease-retry-period", "%s is too short; use more than 0s", e.RetryPeriod)
	}
	if e.LeaseDuration <= e.RenewDeadline {
		v.wrong("lease-duration", "%s has to be longer than the renew deadline of %s (%s), or two replicas could act at once",
			e.LeaseDuration, e.RenewDeadline, v.origin("lease-renew-deadline"))
	}
	if least := time.Duration(float64(e.RetryPeriod) * jitter); e.RenewDeadline <= least {
		v.wrong("lease-renew-deadline", "%s has to be longer than %s, which is %v times the retry period of %s (%s)",
			e.RenewDeadline, least, jitter, e.RetryPeriod, v.origin("lease-retry-period"))
	}
	if e.Enabled && (v.config.Pod.Name == "" || v.config.Pod.Namespace == "") {
		v.wrong("enable-ha", "needs the environment variables POD_NAME and POD_NAMESPACE, which say who competes and where the Lease is; "+
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
	} {
		// Kubernetes compares annotation keys in lower case when it validates them.
		if faults := validation.IsQualifiedName(strings.ToLower(row.key)); len(faults) > 0 {
			v.wrong(row.name, "%q cannot be the key of an annotation: %s", row.key, strings.Join(faults, "; "))
			continue
		}
		if other, taken := seen[row.key]; taken {
			v.wrong(row.name, "the key %q is taken by --%s (%s); each needs its own", row.key, other, v.origin(other))
			continue
		}
		seen[row.key] = row.name
	}
}

func (v *validator) addresses() {
	v.address("listen-address", v.config.ListenAddress)
	v.address("pprof-addr", v.config.Pprof.Address)
	if v.config.Pprof.Enabled && v.config.Pprof.Address == v.config.ListenAddress {
		v.wrong("pprof-addr", "%q is the address of --listen-address too; profiles need one of their own", v.config.Pprof.Address)
	}
}

func (v *validator) address(name, address string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		v.wrong(name, "%q is not an address; use host:port or :port with a number, such as 127.0.0.1:9090 or :9090", address)
	}
}
