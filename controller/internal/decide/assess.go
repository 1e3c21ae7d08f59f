package decide

import (
	"maps"
	"slices"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

// assessment is an input with what all rules need to know about it.
type assessment struct {
	Input

	uses     []assessed
	shadow   source.Shadowing
	baseline source.Baseline // to be recorded when the current content is taken up
	waiting  source.Baseline // to be recorded while what has changed is not taken up: the rest of it
	follows  bool
	// uncovered tells that something is used that the baseline says nothing about.
	uncovered bool
	// changed are the sources whose change calls for an action, quiet those for which an option has to be on, and carried
	// those that changed before the template was edited.
	changed, quiet, carried []Cause
}

// assessed is one source with what the baseline says of it.
type assessed struct {
	source.Use

	selection annotation.Selection
	record    source.Record
	recorded  bool
	diff      source.Diff
}

func assess(in Input) *assessment {
	a := &assessment{Input: in}
	named := in.Sealer.NamedLists(in.Policy.Lists())
	a.baseline = source.Baseline{Named: named, Records: map[source.Ref]source.Record{}}
	a.waiting = source.Baseline{Named: named, Records: map[source.Ref]source.Record{}}
	before := map[source.Ref]source.Record{}
	for _, use := range in.Uses {
		u := assessed{Use: use}
		u.record, u.recorded = in.Baseline.Records[use.Scope.Ref]
		u.selection = a.selectionOf(u)
		a.uses = append(a.uses, u)
		if u.recorded && u.selection.Follows() && !a.carries(u) {
			before[use.Scope.Ref] = u.record
		}
	}
	a.shadow = in.Sealer.Shadowing(in.Uses, before)
	for i := range a.uses {
		if a.uses[i].selection.Follows() {
			a.follow(&a.uses[i])
		}
	}
	return a
}

// carries tells that the template was edited after the source, so that the pods of it have the content.
func (a *assessment) carries(u assessed) bool {
	return u.Snapshot != nil && a.Workload.TemplateChanged.After(u.Snapshot.Changed)
}

func (a *assessment) selectionOf(u assessed) annotation.Selection {
	ref := u.Scope.Ref
	if u.Unseen && (!u.recorded || slices.Contains(a.Options.Ignored, ref.Kind)) {
		return annotation.NotSelected
	}
	if u.Snapshot != nil {
		return a.Policy.Select(ref, u.Snapshot.Ignore, u.Snapshot.Match, u.referenced(), a.Options.AutoAll)
	}
	// Of a source that is gone only the record can tell whether it carried the match annotation.
	return a.Policy.Select(ref, false, u.recorded, u.referenced(), a.Options.AutoAll)
}

// referenced tells whether the template references the source.
func (u assessed) referenced() bool {
	for _, usage := range u.Scope.Usages {
		if usage.Via != source.ViaNamed {
			return true
		}
	}
	return false
}

// follow notes how a followed source differs from its record.
func (a *assessment) follow(u *assessed) {
	a.follows = true
	if u.Scope.Hides() {
		a.baseline.Hides, a.waiting.Hides = true, true
	}
	if u.Scope.Ref.Kind == source.SecretProviderClass {
		a.followClass(u)
		return
	}
	switch {
	case !u.recorded && a.Ask && u.Snapshot != nil:
		u.record, u.recorded = unlike(), true
	case !u.recorded && a.appeared(*u):
		u.record, u.recorded = source.Record{Absent: true}, true
	case !u.recorded && a.outran(u):
		u.record, u.recorded = unlike(), true
	case !u.recorded:
		a.uncovered = true
		if u.Snapshot != nil || !u.Scope.Required() {
			a.note(u, a.Sealer.Record(u.Use))
		}
		return
	}
	u.diff = a.shadow.Diff(u.Use, u.record)
	if u.diff.Uncovered && a.outran(u) {
		u.record = unlike()
		u.diff = a.shadow.Diff(u.Use, u.record)
	}
	a.uncovered = a.uncovered || u.diff.Uncovered
	if a.keeps(u) {
		// The pods still have what they have: a source that is deleted and made again with other content is a change.
		a.note(u, u.record)
	} else {
		a.note(u, a.Sealer.Record(u.Use))
	}
	if u.diff.Hidden && !a.goneQuietly(u) {
		// What hides it may be what has changed and is not taken up: which content the pods have depends on both.
		a.waiting.Records[u.Scope.Ref] = u.record
	}
	if len(u.diff.Changes) == 0 {
		return
	}
	cause := Cause{Ref: u.Scope.Ref, Diff: u.diff, Selection: u.selection}
	switch {
	case a.goneQuietly(u) || u.diff.Created && !a.Options.OnCreate && !u.diff.Replaces:
		a.quiet = append(a.quiet, cause)
	case a.carries(*u):
		a.carried = append(a.carried, cause)
	default:
		a.changed = append(a.changed, cause)
		a.waiting.Records[u.Scope.Ref] = u.record
	}
}

// goneQuietly tells that a source disappeared and that this is no change. It is one where something else has taken the place
// of what it brought: the pods get other content then, not none. One that is not seen any more may be there and hide what it
// hid. Before all that counted, a deletion may be from any time, and an upgrade rolls nothing.
func (a *assessment) goneQuietly(u *assessed) bool {
	return u.diff.Deleted && !a.Options.OnDelete && (!u.diff.Replaces || u.Unseen || !a.Baseline.Hides)
}

// keeps tells that a source disappeared quietly and left nothing else in its place as far as is known, so that its record
// stays.
func (a *assessment) keeps(u *assessed) bool {
	return a.goneQuietly(u) && (!u.diff.Replaces || u.Unseen)
}

// followClass notes how a followed SecretProviderClass differs from its record. Where no pod has mounted it nothing is
// known of it, and what was recorded stays. Where every pod has started with what it has, nothing is to be done; it is
// recorded, but not while pods of before may still be there, which may have something rotated in yet.
func (a *assessment) followClass(u *assessed) {
	if u.Snapshot == nil {
		if u.recorded {
			a.note(u, u.record)
		}
		return
	}
	current := a.Sealer.Record(u.Use)
	if !u.recorded {
		a.uncovered = true
		a.note(u, current)
		return
	}
	u.diff = a.Sealer.Diff(u.Use, u.record)
	a.uncovered = a.uncovered || u.diff.Uncovered
	switch cause := (Cause{Ref: u.Scope.Ref, Diff: u.diff, Selection: u.selection}); {
	case len(u.diff.Changes) == 0:
	case u.Snapshot.Fresh && a.Workload.Rolling:
		current = u.record
	case u.Snapshot.Fresh:
	case a.Workload.TemplateChanged.After(u.Snapshot.Changed):
		a.carried = append(a.carried, cause)
	default:
		a.changed = append(a.changed, cause)
		a.note(u, current)
		a.waiting.Records[u.Scope.Ref] = u.record
		return
	}
	a.note(u, current)
}

// note says what is to be recorded of a source.
func (a *assessment) note(u *assessed, record source.Record) {
	a.baseline.Records[u.Scope.Ref] = record
	a.waiting.Records[u.Scope.Ref] = record
}

// restarted says what new pods take up, where that differs from what the present ones have: nothing of a source that is
// gone. If it comes back, any content of it is a change. Of one that is not seen it stays what is recorded.
func (a *assessment) restarted() {
	for _, u := range a.uses {
		if a.keeps(&u) && !u.Unseen {
			a.baseline.Records[u.Scope.Ref] = a.Sealer.Record(source.Use{Scope: u.Scope, Snapshot: &source.Snapshot{Ref: u.Scope.Ref}})
		}
	}
}

// appeared tells of a source without a record that it came to be since the baseline was written: a pattern names it, and
// the lists are those of the baseline. All other sources without a record came with an edit of the workload.
func (a *assessment) appeared(u assessed) bool {
	return a.HasBaseline && u.selection == annotation.Named && !u.referenced() && u.Snapshot != nil &&
		a.Baseline.Named == a.baseline.Named
}

// isNew tells whether recording a baseline would change what is recorded. Without records there is none.
func (a *assessment) isNew(b source.Baseline) bool {
	if !a.HasBaseline {
		return len(b.Records) > 0
	}
	return a.Baseline.Named != b.Named || a.Baseline.Hides != b.Hides || !maps.EqualFunc(a.Baseline.Records, b.Records, source.Record.Equal)
}
