package decide

import (
	"slices"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// Wanted returns the sources that a decision on a workload has to know, sorted by reference: those that its template
// references, those that its lists name, and those that they named when the baseline was written. list returns what
// sources of a kind there are in the namespace of the workload; it is asked only where a list has patterns.
func Wanted(view workload.View, policy annotation.Policy, baseline source.Baseline, list func(source.Kind) []source.Ref) []source.SourceUsages {
	usages := slices.Clone(view.Usages)
	add := func(ref source.Ref) { usages = append(usages, source.Usage{Ref: ref, Via: source.ViaNamed}) }
	names := func(ref source.Ref) bool {
		return policy.Select(ref, false, false, false, false) == annotation.Named
	}
	for _, kind := range source.Kinds() {
		for _, name := range policy.Literals(kind) {
			if ref := kind.Ref(view.Key.Namespace, name); names(ref) {
				add(ref)
			}
		}
		if !policy.HasPatterns(kind) {
			continue
		}
		for _, ref := range list(kind) {
			if names(ref) {
				add(ref)
			}
		}
	}
	for ref := range baseline.Known() {
		if names(ref) {
			add(ref)
		}
	}
	return withoutNeedlessNames(source.GroupUsages(usages))
}

// withoutNeedlessNames drops the usage by name where the template references every key of the source: the template says
// more, and what is live stays live although it is named as well. Where the template references some keys, the name
// stands for the others.
func withoutNeedlessNames(scopes []source.SourceUsages) []source.SourceUsages {
	byName := func(u source.Usage) bool { return u.Via == source.ViaNamed }
	for i, scope := range scopes {
		references := slices.DeleteFunc(slices.Clone(scope.Usages), byName)
		switch {
		case len(references) == len(scope.Usages):
		case len(references) == 0:
			scopes[i].Usages = scope.Usages[:1] // a name may come from several places
		case slices.ContainsFunc(references, func(u source.Usage) bool { return u.Keys == nil }):
			scopes[i].Usages = references
		default:
			var keys []string
			for _, u := range references {
				keys = append(keys, u.Keys...)
			}
			slices.Sort(keys)
			scopes[i].Usages = slices.Concat(references, []source.Usage{{Ref: scope.Ref, Via: source.ViaNamed, Except: slices.Compact(keys)}})
		}
	}
	return scopes
}
