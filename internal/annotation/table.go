package annotation

import (
	"slices"
	"strings"

	"inpod.dev/inpod/internal/source"
)

// Place is where a key stands; several are a set.
type Place uint8

// The places. All but the last three are those of annotations.
const (
	AtWorkload Place = 1 << iota
	AtTemplate
	AtSource
	AtNamespace
	AtPod            // written by inpod alone, on pods
	AsNamespaceLabel // a label of a namespace
	AsPodLabel       // a label that inpod writes on pods
	AsSourceLabel    // a label that inpod writes on a ConfigMap
)

// String names the places for people: "the workload or its pod template".
func (p Place) String() string {
	var names []string
	for _, place := range []struct {
		place Place
		name  string
	}{
		{AtWorkload, "the workload"},
		{AtTemplate, "the pod template"},
		{AtSource, "the ConfigMap, Secret or SecretProviderClass"},
		{AtNamespace, "the namespace"},
		{AtPod, "the pod"},
		{AsNamespaceLabel, "the namespace, as a label"},
		{AsPodLabel, "the pod, as a label"},
		{AsSourceLabel, "the ConfigMap, as a label"},
	} {
		if p&place.place != 0 {
			names = append(names, place.name)
		}
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// Key is one key that means something to inpod.
type Key struct {
	Name string
	// At is where it counts.
	At Place
	// Written reports whether inpod writes it, and users do not.
	Written bool
	// Value is what it takes, in a few words of Markdown.
	Value string
	// Meaning is what inpod does with it; empty for a key whose meaning is on Page.
	Meaning string
	// Page is where the documentation has more, in the folder docs; empty for a key that the table explains completely.
	Page string
}

// Table is every key that means something to inpod, in the order of docs/annotations.md.
func (k Keys) Table() []Key {
	table := slices.Concat(k.whatIsFollowed(), k.whenItRolls(), []Key{
		{
			Name: k.Inject, At: AtTemplate | AsNamespaceLabel, Value: "`enabled`, `disabled`", Page: "injecting.md",
			Meaning: "whether the pods get the sidecar. A workload with `enabled` counts as `auto`, unless another annotation says what it follows",
		},
	})
	for _, row := range injectionRows() {
		name, page := Domain+row.key, "injecting.md#the-sidecar-itself"
		if name == k.Settle {
			continue
		}
		if row.howTo {
			page = "injecting.md#how-to-reload"
		}
		table = append(table, Key{Name: name, At: AtTemplate | AtNamespace, Value: takes(row.key), Page: page})
	}
	return append(table, k.written()...)
}

const (
	isTrueValue   = "`\"true\"`"
	durationValue = "a duration, such as `30s`"
)

// whatIsFollowed are the keys that select sources. They are Reloader's.
func (k Keys) whatIsFollowed() []Key {
	const names, anyObject = "names or regular expressions, separated by commas", AtWorkload | AtTemplate
	table := []Key{{Name: k.Auto, At: anyObject, Value: isTrueValue, Meaning: "the workload follows every source that its pods use"}}
	for _, kind := range source.Kinds() {
		table = append(table, Key{Name: k.AutoKind[kind], At: anyObject, Value: isTrueValue, Meaning: "the same, for " + plural(kind) + " only"})
	}
	for _, kind := range source.Kinds() {
		table = append(table, Key{
			Name: k.Named[kind], At: anyObject, Value: names,
			Meaning: "the workload follows these " + plural(kind) + ", even if its pods do not use them",
		})
	}
	for _, kind := range source.Kinds() {
		table = append(table, Key{
			Name: k.Exclude[kind], At: anyObject, Value: names,
			Meaning: "the workload does not follow these " + plural(kind) + ". No other key changes that",
		})
	}
	return append(table,
		Key{Name: k.Search, At: anyObject, Value: isTrueValue, Meaning: "the workload follows the sources that its pods use and that carry `match`"},
		Key{Name: k.Match, At: AtSource, Value: isTrueValue, Meaning: "workloads with `search` follow this source"},
		Key{Name: k.Ignore, At: anyObject | AtSource, Value: isTrueValue, Meaning: "on a workload: it follows nothing. On a source: no workload follows it"},
	)
}

// whenItRolls are the keys that say when and how a change is applied.
func (k Keys) whenItRolls() []Key {
	const pacing, anyObject = "rollout-timing.md", AtWorkload | AtTemplate
	return []Key{
		{
			Name: RolloutStrategyKey, At: anyObject, Value: "`rollout`, `restart`", Page: "workload-kinds.md#argo-rollouts",
			Meaning: "on a Rollout: edit its pod template, or restart its pods",
		},
		{
			Name: k.PausePeriod, At: anyObject | AtNamespace, Value: durationValue, Page: pacing + "#pause-after-a-rollout",
			Meaning: "the minimum time between two rollouts. Changes within it become one rollout. The key counts for every kind of workload",
		},
		{
			Name: k.Window, At: anyObject | AtNamespace, Value: "`Mon-Fri 22:00-04:00 Europe/Berlin`", Page: pacing + "#maintenance-windows",
			Meaning: "inpod rolls the workload in these hours only",
		},
		{
			Name: k.NotifyOnly, At: anyObject | AtNamespace, Value: isTrueValue, Page: pacing + "#notify-only",
			Meaning: "inpod reports a change in an event and an alert, and starts no rollout",
		},
		{
			Name: k.BackOff, At: anyObject, Value: "`off`", Page: pacing + "#storms",
			Meaning: "the workload rolls at each change, also after ten rollouts without ten quiet minutes",
		},
		{
			Name: k.Settle, At: anyObject | AtNamespace, Value: durationValue, Page: pacing + "#settle",
			Meaning: "the quiet time after the last edit, before inpod rolls or the sidecar reloads. On a namespace: for the sidecar only",
		},
		{
			Name: k.OnFailure, At: anyObject, Value: "`evict`, `rollout`, `none`", Page: "decisions.md#when-a-reload-fails",
			Meaning: "what follows a failed reload: the eviction of the pods that failed, a rollout, or only a Warning event",
		},
	}
}

// written are the keys that inpod writes.
func (k Keys) written() []Key {
	return []Key{
		{Name: Baseline, At: AtWorkload, Written: true, Value: "keyed digests of the content that its pods run with", Page: "adr/0021-asked-and-taken-up.md"},
		{Name: Notified, At: AtWorkload, Written: true, Value: "a keyed digest of the last change that inpod reported, with `notify-only`", Page: "rollout-timing.md#notify-only"},
		{Name: k.PausedAt, At: AtWorkload, Written: true, Value: "the time of the last rollout, with a `pause-period`", Page: "rollout-timing.md#pause-after-a-rollout"},
		{Name: Placeholder, At: AtWorkload, Written: true, Value: "the labels and annotations of a Job that inpod is recreating, on the suspended Job that keeps its manifest", Page: "workload-kinds.md#jobs"},
		{Name: LastReloadedFrom, At: AtTemplate, Written: true, Value: "the source of the last rollout, with `--reload-strategy=annotations`", Page: "conformance.md#what-a-rollout-writes"},
		{Name: InjectionRecord, At: AtPod, Written: true, Value: "what the injector added to the pod, or why it added nothing", Page: "injecting.md#what-is-added"},
		{Name: Nudge, At: AtPod, Written: true, Value: "a changing text, which makes the kubelet refresh the volumes of the pod at once", Page: "security.md#the-controller"},
		{Name: InjectedLabel, At: AsPodLabel, Written: true, Value: isTrueValue + ", on a pod with the sidecar", Page: "injecting.md#what-is-added"},
		{Name: "reloader.stakater.com/meta-info", At: AsSourceLabel, Written: true, Value: "`reloader`, on the ConfigMap of `--meta-info`", Page: "conformance.md#operation"},
	}
}

// plural is such as ConfigMaps.
func plural(kind source.Kind) string {
	if kind == source.SecretProviderClass {
		return "SecretProviderClasses"
	}
	return string(kind) + "s"
}

// takes is what a key of the injector takes, in a few words.
func takes(key string) string {
	switch key {
	case keyPreset:
		return "[a name](presets.md)"
	case keySignal:
		return "`HUP`, `USR1`, …"
	case keyURL, "verify-url", "probe-url":
		return "a URL"
	case keyCommand, "validate-command":
		return "`[\"prog\",\"arg\"]`"
	case "reload-process", "reload-container":
		return "a name"
	case "reload-cmdline":
		return "a regular expression"
	case "reload-method":
		return "`POST`"
	case "reload-status":
		return "`200,204`, `200-299`"
	case "reload-body-from", "reload-ca-file":
		return "a path"
	case "watch":
		return "paths, separated by commas"
	case "reload-header-from":
		return "`NAME=PATH`, one per line"
	case "reload-attempts":
		return "a number"
	case "settle", "reload-timeout", "command-timeout", "verify-timeout":
		return durationValue
	case "signal-handled", "reload-skip-verify", "require-proof", "native-sidecar", "application-image", "share-processes":
		return isTrueValue + ", `\"false\"`"
	case "sidecar-image":
		return "an image"
	case "sidecar-capabilities":
		return "`as-needed`, `none`"
	case "sidecar-run-as-user":
		return "the number of a user"
	case "status-port":
		return "a port"
	}
	if strings.HasSuffix(key, "-request") || strings.HasSuffix(key, "-limit") {
		return "a quantity"
	}
	return ""
}
