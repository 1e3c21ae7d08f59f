package decide

import (
	"slices"

	"inpod.dev/inpod/internal/source"
)

// reloadsBesides tells that a missing source stands in nobody's way: what changed is reloaded in pods that run, and none of
// it is missing. A rollout would break them, a reload does not.
func (a *assessment) reloadsBesides(gaps []assessed) bool {
	if len(a.changed) == 0 || !a.staysInPlace() {
		return false
	}
	return !slices.ContainsFunc(gaps, func(u assessed) bool {
		return slices.ContainsFunc(a.changed, func(c Cause) bool { return c.Ref == u.Scope.Ref })
	})
}

// outran tells of a source, or of keys of it, of which nothing is recorded that it was edited after the template which uses
// it: the pods may have started with what it was before. Nobody has looked in between. Of a source that was made later
// there was nothing before.
func (a *assessment) outran(u *assessed) bool {
	return a.HasBaseline && u.Snapshot != nil && u.Snapshot.Edited && u.referenced() &&
		a.Workload.TemplateChanged.Version != 0 && u.Snapshot.Changed.After(a.Workload.TemplateChanged)
}

// unlike is a record that differs from any content, for a source of which it is not known what the pods have.
func unlike() source.Record { return source.Record{All: true, Binary: true} }
