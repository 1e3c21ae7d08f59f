//go:build e2e

package e2e_test

import "inpod.dev/inpod/e2e/internal/framework"

// keys are the annotation keys that one controller follows.
type keys struct {
	auto, configmapAuto, secretAuto string // on a workload
	configmap, secret, search       string // on a workload
	match, ignore                   string // on a source
	pausePeriod, pausedAt           string // on a workload
}

// The lists of sources that never count have keys that cannot be set.
const (
	configmapsExclude = "configmaps.exclude.reloader.stakater.com/reload"
	secretsExclude    = "secrets.exclude.reloader.stakater.com/reload"
)

// reloaderKeys are the defaults: Reloader's.
func reloaderKeys() keys { return keysUnder("reloader.stakater.com") }

// keysUnder returns keys of the same form as Reloader's in another domain.
func keysUnder(domain string) keys {
	return keys{
		auto:          domain + "/auto",
		configmapAuto: "configmap." + domain + "/auto",
		secretAuto:    "secret." + domain + "/auto",
		configmap:     "configmap." + domain + "/reload",
		secret:        "secret." + domain + "/reload",
		search:        domain + "/search",
		match:         domain + "/match",
		ignore:        domain + "/ignore",
		pausePeriod:   "deployment." + domain + "/pause-period",
		pausedAt:      "deployment." + domain + "/paused-at",
	}
}

// config are the settings of a controller that follows the keys.
func (k keys) config() framework.Values {
	return framework.Values{
		"autoAnnotation":                k.auto,
		"configmapAutoAnnotation":       k.configmapAuto,
		"secretAutoAnnotation":          k.secretAuto,
		"configmapAnnotation":           k.configmap,
		"secretAnnotation":              k.secret,
		"autoSearchAnnotation":          k.search,
		"searchMatchAnnotation":         k.match,
		"ignoreAnnotation":              k.ignore,
		"pauseDeploymentAnnotation":     k.pausePeriod,
		"pauseDeploymentTimeAnnotation": k.pausedAt,
	}
}
