package annotation

import (
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
	AtPod            // written by inpod on pods, where nobody else writes it
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
	// Written tells that inpod writes it, and users do not.
	Written bool
	// Value is what it takes, in a few words of Markdown, and Page the page of the documentation that has more.
	Value, Page string
}

// Table is every key that means something to inpod, in the order of docs/annotations.md.
func (k Keys) Table() []Key {
	const (
		truth, names, duration      = "`\"true\"`", "names or regular expressions, separated by commas", "a duration, such as `30s`"
		readme, injecting, pacing   = "../README.md#annotations", "injecting.md", "pacing.md"
		kinds, decisions, anyObject = "kinds.md", "decisions.md", AtWorkload | AtTemplate
	)
	table := []Key{{Name: k.Auto, At: anyObject, Value: truth, Page: readme}}
	for _, kind := range source.Kinds() {
		table = append(table, Key{Name: k.AutoKind[kind], At: anyObject, Value: truth, Page: readme})
	}
	for _, kind := range source.Kinds() {
		table = append(table, Key{Name: k.Named[kind], At: anyObject, Value: names, Page: readme})
	}
	for _, kind := range source.Kinds() {
		table = append(table, Key{Name: k.Exclude[kind], At: anyObject, Value: names, Page: readme})
	}
	table = append(table,
		Key{Name: k.Search, At: anyObject, Value: truth, Page: readme},
		Key{Name: k.Match, At: AtSource, Value: truth, Page: readme},
		Key{Name: k.Ignore, At: anyObject | AtSource, Value: truth, Page: readme},
		Key{Name: RolloutStrategyKey, At: anyObject, Value: "`rollout`, `restart`", Page: kinds + "#argo-rollouts"},
		Key{Name: k.PausePeriod, At: anyObject | AtNamespace, Value: duration, Page: pacing},
		Key{Name: k.Window, At: anyObject | AtNamespace, Value: "`Mon-Fri 22:00-04:00 Europe/Berlin`", Page: pacing},
		Key{Name: k.NotifyOnly, At: anyObject | AtNamespace, Value: truth, Page: pacing},
		Key{Name: k.Settle, At: anyObject | AtNamespace, Value: duration, Page: pacing + "#settle"},
		Key{Name: k.OnFailure, At: anyObject, Value: "`rollout`, `none`", Page: decisions},
		Key{Name: k.Inject, At: AtTemplate | AsNamespaceLabel, Value: "`enabled`, `disabled`", Page: injecting},
	)
	for _, row := range injectionRows() {
		if name := Domain + row.key; name != k.Settle {
			table = append(table, Key{Name: name, At: AtTemplate | AtNamespace, Value: takes(row.key), Page: injecting})
		}
	}
	return append(table,
		Key{Name: Observed, At: AtWorkload, Written: true, Value: "keyed digests of what the pods are known to have", Page: "adr/0001-baseline.md"},
		Key{Name: Notified, At: AtWorkload, Written: true, Value: "a keyed digest of what was reported", Page: pacing},
		Key{Name: k.PausedAt, At: AtWorkload, Written: true, Value: "the time of the last rollout", Page: pacing},
		Key{Name: StandIn, At: AtWorkload, Written: true, Value: "the labels and annotations of a Job that is made again", Page: kinds + "#jobs"},
		Key{Name: LastReloadedFrom, At: AtTemplate, Written: true, Value: "what the last rollout was for", Page: "conformance.md"},
		Key{Name: InjectionRecord, At: AtPod, Written: true, Value: "what was added to the pod, or why nothing was", Page: injecting},
		Key{Name: Nudge, At: AtPod, Written: true, Value: "makes the kubelet refresh the volumes", Page: "security.md"},
		Key{Name: InjectedLabel, At: AsPodLabel, Written: true, Value: "`\"true\"`", Page: injecting},
		Key{Name: "reloader.stakater.com/meta-info", At: AsSourceLabel, Written: true, Value: "`reloader`", Page: "conformance.md"},
	)
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
		return "a duration, such as `30s`"
	case "signal-handled", "reload-skip-verify", "require-proof", "native-sidecar", "application-image", "share-processes":
		return "`\"true\"`, `\"false\"`"
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
