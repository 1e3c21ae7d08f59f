package decide

import (
	"maps"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

// assessment is an input with what all rules need to know about it.
type assessment struct {
	Input

	uses     []assessed
	baseline source.Baseline // to be recorded when the current content is taken up
	follows  bool
	// uncovered tells that something is used that the baseline says nothing about.
	uncovered bool
	// changed are the sources whose change calls for an action, quiet those for which an option has to be on.
	changed, quiet []Cause
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
	a := &assessment{Input: in, baseline: source.Baseline{Records: map[source.Ref]source.Record{}}}
	a.baseline.Named = in.Sealer.NamedLists(in.Policy.Lists())
	for _, use := range in.Uses {
		u := assessed{Use: use}
		u.record, u.recorded = in.Baseline.Records[use.Scope.Ref]
		u.selection = a.selectionOf(u)
		if u.selection.Follows() {
			a.follow(&u)
		}
		a.uses = append(a.uses, u)
	}
	return a
}

func (a *assessment) selectionOf(u assessed) annotation.Selection {
	ref := u.Scope.Ref
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
	ref := u.Scope.Ref
	a.follows = true
	switch {
	case !u.recorded && a.appeared(*u):
		u.record, u.recorded = source.Record{Absent: true}, true
	case !u.recorded:
		a.uncovered = true
		if u.Snapshot != nil || !u.Scope.Required() {
			a.baseline.Records[ref] = a.Sealer.Record(u.Use)
		}
		return
	}
	u.diff = a.Sealer.Diff(u.Use, u.record)
	a.uncovered = a.uncovered || u.diff.Uncovered
	a.baseline.Records[ref] = a.Sealer.Record(u.Use)
	if len(u.diff.Changes) == 0 {
		return
	}
	cause := Cause{Ref: ref, Diff: u.diff, Selection: u.selection}
	switch {
	case u.diff.Deleted && !a.Options.OnDelete:
		// The pods still have what they have: a source that is deleted and made again with other content is a change.
		a.baseline.Records[ref] = u.record
		a.quiet = append(a.quiet, cause)
	case u.diff.Created && !a.Options.OnCreate:
		a.quiet = append(a.quiet, cause)
	default:
		a.changed = append(a.changed, cause)
	}
}

// appeared tells of a source without a record that it came to be since the baseline was written: a pattern names it, and
// the lists are those of the baseline. All other sources without a record came with an edit of the workload.
func (a *assessment) appeared(u assessed) bool {
	return a.HasBaseline && u.selection == annotation.Named && !u.referenced() && u.Snapshot != nil &&
		a.Baseline.Named == a.baseline.Named
}

// sameRecords tells whether recording now would change the baseline.
func (a *assessment) sameRecords() bool {
	return a.HasBaseline && a.Baseline.Named == a.baseline.Named &&
		maps.EqualFunc(a.Baseline.Records, a.baseline.Records, source.Record.Equal)
}
