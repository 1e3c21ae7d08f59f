package decide

import (
	"fmt"
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
			sentences = append(sentences, fmt.Sprintf("Volume %s (%s) is mounted with subPath at %s in container %s: the kubelet never renews it there, "+
				"so that what it holds expires. Mount the volume as a whole, without subPath", r.Volume, r.Kind, r.Path, r.Container))
		}
	}
	return sentences
}

// rollsFor reports whether the workload follows a source.
func (a *evaluation) rollsFor(ref source.Ref) bool {
	return ref.Name != "" && slices.ContainsFunc(a.uses, func(u evaluated) bool { return u.Usages.Ref == ref && u.selection.Follows() })
}
