package annotation

import "inpod.dev/inpod/internal/source"

// Keys are the annotation keys that carry what users ask for.
type Keys struct {
	Auto      string                 // on a workload: every source
	AutoKind  map[source.Kind]string // on a workload: every source of one kind
	Named     map[source.Kind]string // on a workload: list of names
	Exclude   map[source.Kind]string // on a workload: list of names that never count
	Search    string                 // on a workload: sources that carry Match
	Match     string                 // on a source
	Ignore    string                 // on a source: never; on a workload: opted out
	OnFailure string                 // on a workload or its template, see [Policy]
	Inject    string                 // on a template, see [Policy]

	// On a workload or its template, see [Pacing].
	Settle      string
	NotifyOnly  string
	Window      string
	PausePeriod string
	BackOff     string
	PausedAt    string // on a workload, written by inpod
}

// DefaultKeys are Reloader's keys and inpod's own. Those for ClusterTrustBundles, which Reloader does not know, are made as
// its others are.
func DefaultKeys() Keys {
	return Keys{
		Auto: "reloader.stakater.com/auto",
		AutoKind: map[source.Kind]string{
			source.ConfigMap:           "configmap.reloader.stakater.com/auto",
			source.Secret:              "secret.reloader.stakater.com/auto",
			source.SecretProviderClass: "secretproviderclass.reloader.stakater.com/auto",
			source.ClusterTrustBundle:  "clustertrustbundle.reloader.stakater.com/auto",
		},
		Named: map[source.Kind]string{
			source.ConfigMap:           "configmap.reloader.stakater.com/reload",
			source.Secret:              "secret.reloader.stakater.com/reload",
			source.SecretProviderClass: "secretproviderclass.reloader.stakater.com/reload",
			source.ClusterTrustBundle:  "clustertrustbundle.reloader.stakater.com/reload",
		},
		Exclude: map[source.Kind]string{
			source.ConfigMap:           "configmaps.exclude.reloader.stakater.com/reload",
			source.Secret:              "secrets.exclude.reloader.stakater.com/reload",
			source.SecretProviderClass: "secretproviderclasses.exclude.reloader.stakater.com/reload",
			source.ClusterTrustBundle:  "clustertrustbundles.exclude.reloader.stakater.com/reload",
		},
		Search:    "reloader.stakater.com/search",
		Match:     "reloader.stakater.com/match",
		Ignore:    "reloader.stakater.com/ignore",
		OnFailure: "inpod.dev/on-failure",
		Inject:    "inpod.dev/inject",

		Settle:      "inpod.dev/settle",
		NotifyOnly:  "inpod.dev/notify-only",
		Window:      "inpod.dev/window",
		BackOff:     "inpod.dev/back-off",
		PausePeriod: "deployment.reloader.stakater.com/pause-period",
		PausedAt:    "deployment.reloader.stakater.com/paused-at",
	}
}

// Baseline carries the baseline of a workload, see [source.Baseline]. It is written by inpod.
const Baseline = "inpod.dev/baseline"

// FieldManager owns the fields that the controller writes.
const FieldManager = "inpod"

// Placeholder is on a Job that keeps the place of another one, see [workload.Placeholder]. It is written by inpod.
const Placeholder = "inpod.dev/placeholder"

// LastReloadedFrom is what the strategy "annotations" writes into a pod template. The key is Reloader's.
const LastReloadedFrom = "reloader.stakater.com/last-reloaded-from"

// RolloutStrategyKey is on a Rollout of Argo Rollouts, or on its template. The key is Reloader's.
const RolloutStrategyKey = "reloader.stakater.com/rollout-strategy"

// OnWorkload reports whether an annotation of a workload or of a pod template means something to inpod. All others need
// not be kept in memory.
func (k Keys) OnWorkload(key string) bool {
	switch key {
	case k.Auto, k.Search, k.Ignore, k.OnFailure, k.Inject, Baseline, LastReloadedFrom, RolloutStrategyKey:
		return true
	}
	if k.onPace(key) {
		return true
	}
	for _, keys := range []map[source.Kind]string{k.AutoKind, k.Named, k.Exclude} {
		for _, own := range keys {
			if key == own {
				return true
			}
		}
	}
	return false
}

// ReadSourceAnnotations reads what the annotations of a source ask for. Only the exact value "true" counts, as in
// Reloader.
func (k Keys) ReadSourceAnnotations(annotations map[string]string) (ignore, match bool) {
	return annotations[k.Ignore] == isTrue, annotations[k.Match] == isTrue
}

const isTrue = "true"
