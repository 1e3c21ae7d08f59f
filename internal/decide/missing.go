package decide

import (
	"slices"

	"inpod.dev/inpod/internal/source"
)

// reloadsBesides reports whether a missing source stands in nobody's way: what changed is reloaded in pods that run,
// and none of it is missing. A rollout would break them, a reload does not.
func (a *evaluation) reloadsBesides(gaps []evaluated) bool {
	if len(a.changed) == 0 || !a.staysInPlace() {
		return false
	}
	return !slices.ContainsFunc(gaps, func(u evaluated) bool {
		return slices.ContainsFunc(a.changed, func(c Cause) bool { return c.Ref == u.Usages.Ref })
	})
}

// changedAfterTemplate reports whether a source without a baseline, or keys of it, were edited after the template that
// uses it: the pods may have started with what it was before. Nobody has looked in between. Of a source that was made
// later there was nothing before. What a wider policy brings was used before, so that its pods are not asked about.
func (a *evaluation) changedAfterTemplate(u *evaluated) bool {
	if a.before.References == "" || a.before.References == a.references {
		return false // no edit of the template has brought it
	}
	return a.HasBaseline && u.Snapshot != nil && u.Snapshot.Edited && u.referenced() &&
		a.Workload.TemplateChanged.Version != 0 && u.Snapshot.Changed.After(a.Workload.TemplateChanged)
}

// unknownRecord is a record that differs from any content, for a source where it is not known what the pods have.
func unknownRecord() source.Record { return source.Record{All: true, Binary: true} }
