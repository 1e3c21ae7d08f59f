package decide

import (
	"slices"

	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
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

// cameUnseen reports whether an edit of the template has brought a source, or keys of it, when nobody has looked, and the
// source was written since inpod wrote the baseline, which was before that edit: it may have been written after the pods
// of the edit have read it. Of an optional source they may have read nothing. Where pods keep an older template it is not
// known which of them use the source.
func (a *evaluation) cameUnseen(u *evaluated) bool {
	w := a.Workload
	switch {
	case !a.HasBaseline || a.before.References == "" || a.before.References == a.references || a.OtherKey:
		return false // no edit of the template has brought it
	case w.TemplateChanged.Version != 0 || w.RestoredBy != "" || w.BaselineAt.IsZero():
		return false
	case w.Cron != nil || w.Job != nil || w.Stray || w.Selector == "" || w.ScaledToZero:
		return false
	case !w.Rolling && (w.Paused || w.Progress != workload.Complete && w.Progress != workload.ProgressUnknown):
		return false
	case u.Snapshot == nil || u.Usages.Ref.Kind == source.SecretProviderClass || !u.referenced() || !u.Usages.Required():
		return false
	case !u.Snapshot.ContentTime().After(w.BaselineAt):
		return false
	}
	return !u.recorded || a.shadow.Diff(u.SourceState, u.record).Uncovered
}

// followUnseen follows such a source. The pods say which came first, once the rollout of the template is complete. Where
// other changes call for a rollout, that one brings the source as well. Where the workload does not use every key, the
// edit may have been one of another key, or of a label: nothing is rolled on that guess.
func (a *evaluation) followUnseen(u *evaluated) {
	changed := u.Snapshot.ContentTime()
	older := false
	switch {
	case !a.Workload.Rolling && a.Pods != nil:
		older = a.Pods.haveRead(u.Usages, changed)
	case len(a.changed) > 0 && !a.staysInPlace():
		older = changed.After(a.Workload.TemplateTime)
	default:
		a.undecided = true
	}
	switch {
	case !older:
	case a.usesAll(u.SourceState), a.asksSidecars(u.SourceState):
		u.record, u.recorded = unknownRecord(), true
	default:
		a.unclear = append(a.unclear, u.Usages.Ref)
	}
	a.follow(u)
}

// unknownRecord is a record that differs from any content, for a source where it is not known what the pods have.
func unknownRecord() source.Record { return source.Record{All: true, Binary: true} }
