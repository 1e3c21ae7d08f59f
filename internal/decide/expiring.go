package decide

import (
	"slices"

	"inpod.dev/inpod/internal/source"
)

// expiring says which files of the pods expire, in the order of the template: the kubelet renews them in their volume, and
// never where they are mounted with subPath. It says nothing of workloads that ask for nothing, and nothing of a source
// whose changes replace the pods.
func (a *evaluation) expiring() []string {
	if a.Policy.OptedOut || !a.Policy.Asks() && !a.Options.AutoAll {
		return nil
	}
	var sentences []string
	for _, r := range a.Workload.Frozen {
		if !a.rollsFor(r.Ref) {
			sentences = append(sentences, expiringMessage(r))
		}
	}
	return sentences
}

// rollsFor reports whether the workload follows a source.
func (a *evaluation) rollsFor(ref source.Ref) bool {
	return ref.Name != "" && slices.ContainsFunc(a.uses, func(u evaluated) bool { return u.Usages.Ref == ref && u.selection.Follows() })
}
