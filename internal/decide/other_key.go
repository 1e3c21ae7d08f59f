package decide

import (
	"maps"
	"slices"
	"time"

	"inpod.dev/inpod/internal/source"
)

// A baseline of another digest key does not say what the content was. It says which sources it covers, which of them had
// other content while a change was held back, what was asked for, and the object says when it was written. What changed
// before that, and was not held back, the pods have. What changed later is compared with the age of the pods.

// ofOtherKey returns a baseline of another key as one of this key.
func (a *evaluation) ofOtherKey(old source.Baseline) source.Baseline {
	b := source.Baseline{
		UID: old.UID, Hides: old.Hides, Partial: old.Partial, Unknown: old.Unknown, UnknownSources: old.UnknownSources,
		Records: map[source.Ref]source.Record{}, Seen: map[source.Ref]int64{},
	}
	if !a.Workload.BaselineAt.IsZero() && !a.Workload.TemplateTime.After(a.Workload.BaselineAt) {
		b.Template, b.References = a.template, a.references // it is the one that the baseline was written with
	}
	asked := map[source.Ref]source.Record{}
	for _, use := range a.Uses {
		ref := use.Usages.Ref
		record, has := old.Records[ref]
		var isAsked bool
		if old.Asked != nil {
			_, isAsked = old.Asked.Records[ref]
		}
		switch since, held := old.Seen[ref]; {
		case !has && (!isAsked || use.Snapshot == nil):
		case use.Snapshot == nil, !isAsked && (record.Absent || record.Ignored):
			b.Records[ref] = record // it holds no digest that counts
		case isAsked && a.rolledAfter(use.Snapshot):
			b.Records[ref], asked[ref] = unknownRecord(), a.Digester.Record(use)
		default:
			b.Records[ref] = a.recordOfOtherKey(use, record, held)
			if held && b.Records[ref].Equal(unknownRecord()) {
				b.Seen[ref] = since
			}
		}
	}
	if len(asked) > 0 {
		next := *old.Asked
		next.Hashes, next.Unknown, next.Records = slices.Clone(next.Hashes), maps.Clone(next.Unknown), asked
		b.Asked = &next
	}
	return b
}

// recordOfOtherKey returns what the pods have of a source that is there: its content, or something unknown. held reports
// whether a change of it was held back.
func (a *evaluation) recordOfOtherKey(use source.SourceState, record source.Record, held bool) source.Record {
	current, changed := a.Digester.Record(use), use.Snapshot.ContentTime()
	written := a.Workload.BaselineAt
	switch {
	case a.Workload.ScaledToZero, use.Snapshot.Fresh, a.covered(use.Snapshot) && !held:
		return current
	case changed.IsZero():
		return a.orUnknown(held, use, current)
	case a.Workload.Rolling && a.Workload.TemplateTime.After(changed):
		return current // the rollout under way carries it
	case record.Immutable && !written.IsZero():
		return source.Record{All: true, Binary: true, Immutable: true} // it is another object
	case a.Workload.Selector == "" || a.Workload.Cron != nil || a.Workload.Job != nil:
		return a.orUnknown(held, use, current) // nobody knows which pods are its own, or others come by themselves
	case a.Pods == nil:
		a.unread = true
		return current
	case a.Pods.startedAfter(changed):
		return current
	case held:
		return unknownRecord()
	case written.IsZero() || !a.Pods.olderThan(changed):
		return a.orUnknown(false, use, current)
	case a.usesAll(use), a.asksSidecars(use):
		return unknownRecord()
	}
	return a.orUnknown(false, use, current)
}

// orUnknown returns an unknown record where a change is known to wait, and else the content, since nothing is rolled
// on a guess. That it is one is reported.
func (a *evaluation) orUnknown(held bool, use source.SourceState, current source.Record) source.Record {
	if held {
		return unknownRecord()
	}
	a.unclear = append(a.unclear, use.Usages.Ref)
	return current
}

// usesAll reports whether a workload uses every key of a source, so that any edit of it is a change.
func (a *evaluation) usesAll(use source.SourceState) bool {
	if use.Usages.Ref.Kind == source.SecretProviderClass {
		return true
	}
	for key, entry := range use.Snapshot.Keys {
		if live, frozen := use.Usages.Reach(key, entry.Binary); !live && !frozen {
			return false
		}
	}
	return true
}

// asksSidecars reports whether sidecars are asked what the pods have of a source, so that the question disturbs nobody.
func (a *evaluation) asksSidecars(use source.SourceState) bool {
	return a.InPlace.Sidecar && a.Workload.Cron == nil &&
		!slices.ContainsFunc(use.Usages.Usages, func(u source.Usage) bool { return !u.Live() })
}

// covered reports whether the baseline was written after a source had settled, so that the content was decided on. The
// API server cuts both times to seconds.
func (a *evaluation) covered(s *source.Snapshot) bool {
	changed, written := s.ContentTime(), a.Workload.BaselineAt
	return !changed.IsZero() && !written.IsZero() && written.Sub(changed) >= a.Settle+time.Second
}

// rolledAfter is the same for what was asked for: that is written when the source has settled, and not before.
func (a *evaluation) rolledAfter(s *source.Snapshot) bool {
	changed, written := s.ContentTime(), a.Workload.BaselineAt
	return !changed.IsZero() && !written.IsZero() && written.Sub(changed) > max(0, a.Settle-time.Second)
}

// contentUnknown names the followed sources whose content the pods may have or not.
func (a *evaluation) contentUnknown() string {
	var causes []Cause
	for _, u := range a.uses {
		if slices.Contains(a.unclear, u.Usages.Ref) && u.selection.Follows() {
			causes = append(causes, Cause{Ref: u.Usages.Ref, Selection: u.selection})
		}
	}
	if len(causes) == 0 {
		return ""
	}
	if a.OtherKey {
		return contentUnknownMessage(causes)
	}
	return contentUnseenMessage(causes)
}
