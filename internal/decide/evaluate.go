package decide

import (
	"slices"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

// evaluation is an input with what all rules need to know about it.
type evaluation struct {
	Input

	uses     []evaluated
	shadow   source.Shadowing
	baseline source.Baseline // to be recorded when the current content is taken up
	waiting  source.Baseline // to be recorded while what has changed is not taken up: the rest of it
	follows  bool
	// before is the baseline with what the status says of what was asked for, and known its content together with that.
	before source.Baseline
	known  map[source.Ref]source.Record
	// compared is what isNew has compared last, complete.
	compared source.Baseline
	// resolved reports whether the pods have shown that they have what was asked for.
	resolved bool
	// claims are the config hashes of a rollout that was asked for before, where the baseline does not say so.
	claims []ConfigHash
	// annotated reports whether the workload carries a baseline, be it that of another object.
	annotated bool
	// named, references and template identify the lists, the references and the template of the workload.
	named, references, template source.KeyedDigest
	// immutable are the sources that are other objects than before, and could not be edited.
	immutable []Cause
	// undecided reports whether the pods have to say which came later, a source or the template.
	undecided bool
	// unread reports whether the pods have to say what a baseline of another key does not, and unclear are the sources
	// where they cannot say what they have.
	unread  bool
	unclear []source.Ref
	// asks reports whether the pods have to be listed.
	asks bool
	// uncovered reports whether something is used that the baseline says nothing about.
	uncovered bool
	// changed are the sources whose change calls for an action, quiet those for which an option has to be on, and carried
	// those that changed before the template was edited.
	changed, suppressed, inTemplate []Cause
}

// evaluated is one source with what the baseline says of it.
type evaluated struct {
	source.SourceState

	selection annotation.Selection
	record    source.Record
	recorded  bool
	// wasIgnored reports whether it carried the ignore annotation when the baseline was written.
	wasIgnored bool
	diff       source.Diff
}

func evaluate(in Input) *evaluation {
	a := &evaluation{Input: in, annotated: in.HasBaseline}
	if in.isCopy() {
		a.HasBaseline, a.Baseline = false, source.Baseline{}
	}
	a.named, a.references, a.template = a.namedLists(), a.referencesOf(), in.Digester.TemplateDigest(in.Workload.OwnTemplate[:])
	if a.HasBaseline && in.OtherKey {
		a.Baseline = a.ofOtherKey(a.Baseline)
	}
	a.before = a.resolve(a.Baseline)
	a.known = a.before.Known()
	a.baseline = source.Baseline{Records: make(map[source.Ref]source.Record, len(in.Uses)), Seen: map[source.Ref]int64{}}
	a.waiting = source.Baseline{Records: make(map[source.Ref]source.Record, len(in.Uses)), Seen: map[source.Ref]int64{}}
	a.uses = make([]evaluated, 0, len(in.Uses))
	before := make(map[source.Ref]source.Record, len(in.Uses))
	for _, use := range in.Uses {
		u := evaluated{SourceState: use}
		u.record, u.recorded = a.known[use.Usages.Ref]
		if u.record.Ignored {
			u.record, u.recorded, u.wasIgnored = source.Record{}, false, true
		}
		u.selection = a.selectionOf(u)
		a.uses = append(a.uses, u)
		if u.recorded && u.selection.Follows() && !a.carries(u) {
			before[use.Usages.Ref] = u.record
		}
	}
	a.shadow = in.Digester.Shadowing(in.Uses, before)
	var unseen []*evaluated
	for i := range a.uses {
		switch u := &a.uses[i]; {
		case u.selection.Follows() && a.cameUnseen(u):
			unseen = append(unseen, u)
		case u.selection.Follows():
			a.follow(u)
		case u.selection == annotation.Ignored && !u.referenced() && a.Policy.Select(u.Usages.Ref, false, false, false, false).Follows():
			a.note(u, source.Record{Ignored: true}) // a list names it: it is not one that came to be when it is not ignored any more
		}
	}
	for _, u := range unseen {
		a.followUnseen(u)
	}
	a.dropGone(a.baseline.Records)
	a.dropGone(a.waiting.Records)
	return a
}

// carries reports whether the template was edited after the source, so that the pods of it have the content. Where an old baseline
// was put back the template may have been, too, and its pods may be old.
func (a *evaluation) carries(u evaluated) bool {
	return a.Workload.RestoredBy == "" && u.Snapshot != nil && a.Workload.TemplateChanged.After(u.Snapshot.Changed)
}

func (a *evaluation) selectionOf(u evaluated) annotation.Selection {
	ref := u.Usages.Ref
	if u.Unseen && (!u.recorded || slices.Contains(a.Options.Ignored, ref.Kind)) {
		return annotation.NotSelected
	}
	if u.Snapshot != nil {
		return a.Policy.Select(ref, u.Snapshot.Ignore, u.Snapshot.Match, u.referenced(), a.Options.AutoAll)
	}
	// Of a source that is gone only the record shows whether it carried the match annotation.
	return a.Policy.Select(ref, false, u.recorded, u.referenced(), a.Options.AutoAll)
}

// referenced reports whether the template references the source.
func (u evaluated) referenced() bool {
	for _, usage := range u.Usages.Usages {
		if usage.Via != source.ViaNamed {
			return true
		}
	}
	return false
}

// follow notes how a followed source differs from its record.
func (a *evaluation) follow(u *evaluated) {
	a.follows = true
	if u.Usages.Hides() {
		a.baseline.Hides, a.waiting.Hides = true, true
	}
	if u.Usages.Ref.Kind == source.SecretProviderClass {
		a.followClass(u)
		return
	}
	switch {
	case !u.recorded && a.Ask && u.Snapshot != nil:
		u.record, u.recorded = unknownRecord(), true
	case !u.recorded && a.newlyMatched(*u):
		u.record, u.recorded = source.Record{Absent: true}, true
	case !u.recorded && a.changedAfterTemplate(u):
		u.record, u.recorded = unknownRecord(), true
	case !u.recorded:
		a.uncovered = true
		if u.Snapshot != nil || !u.Usages.Required() {
			a.note(u, a.Digester.Record(u.SourceState))
		}
		return
	}
	u.diff = a.shadow.Diff(u.SourceState, u.record)
	if u.diff.Uncovered && a.changedAfterTemplate(u) {
		u.record = unknownRecord()
		u.diff = a.shadow.Diff(u.SourceState, u.record)
	}
	a.uncovered = a.uncovered || u.diff.Uncovered
	u.diff.Changes = a.withCameBack(u)
	if a.keeps(u) {
		// The pods still have what they have: a source that is deleted and recreated with other content is a change.
		a.note(u, u.record)
	} else {
		a.note(u, a.Digester.Record(u.SourceState))
	}
	if u.diff.Hidden && !a.goneQuietly(u) {
		// What hides it may be what has changed and is not taken up: which content the pods have depends on both.
		a.waiting.Records[u.Usages.Ref] = u.record
	}
	if len(u.diff.Changes) == 0 {
		return
	}
	cause := Cause{Ref: u.Usages.Ref, Diff: u.diff, Selection: u.selection}
	switch {
	case u.record.Immutable && !u.diff.Deleted && !a.Workload.ScaledToZero:
		a.immutable = append(a.immutable, cause)
		a.note(u, u.record)
	case a.goneQuietly(u) || u.diff.Created && !a.Options.OnCreate && !u.diff.Replaces:
		a.suppressed = append(a.suppressed, cause)
	case a.carries(*u), a.mayCarry(*u) && a.Pods != nil && a.Pods.youngerThan(u.Snapshot.Changed.Time):
		a.inTemplate = append(a.inTemplate, cause)
	default:
		a.undecided = a.undecided || a.Pods == nil && a.mayCarry(*u)
		a.changed = append(a.changed, cause)
		a.waiting.Records[u.Usages.Ref] = u.record
		if since, seen := a.before.Seen[u.Usages.Ref]; seen {
			a.waiting.Seen[u.Usages.Ref] = since
		}
	}
}

// goneQuietly reports whether a source disappeared and that this is no change. It is one where something else has taken
// the place of what it brought: the pods get other content then, not none. One that is not seen any more may be there
// and hide what it hid. Before all that counted, a deletion may be from any time, and an upgrade rolls nothing.
func (a *evaluation) goneQuietly(u *evaluated) bool {
	return u.diff.Deleted && !a.Options.OnDelete && (!u.diff.Replaces || u.Unseen || !a.Baseline.Hides)
}

// keeps reports whether a source disappeared quietly and left nothing else in its place as far as is known, so that its
// record stays.
func (a *evaluation) keeps(u *evaluated) bool {
	return a.goneQuietly(u) && (!u.diff.Replaces || u.Unseen)
}

// followClass notes how a followed SecretProviderClass differs from its record. Where no pod has mounted it nothing is
// known of it, and what was recorded stays. Where every pod has started with what it has, nothing is to be done; it is
// recorded, but not while pods of before may still be there, which may have something rotated in yet.
func (a *evaluation) followClass(u *evaluated) {
	if u.Snapshot == nil {
		if u.recorded {
			a.note(u, u.record)
		}
		return
	}
	current := a.Digester.Record(u.SourceState)
	if !u.recorded {
		a.uncovered = true
		a.note(u, current)
		return
	}
	u.diff = a.Digester.Diff(u.SourceState, u.record)
	a.uncovered = a.uncovered || u.diff.Uncovered
	switch cause := (Cause{Ref: u.Usages.Ref, Diff: u.diff, Selection: u.selection}); {
	case len(u.diff.Changes) == 0:
	case u.Snapshot.Fresh && a.Workload.Rolling:
		current = u.record
	case u.Snapshot.Fresh:
	case a.Workload.TemplateChanged.After(u.Snapshot.Changed):
		a.inTemplate = append(a.inTemplate, cause)
	default:
		a.changed = append(a.changed, cause)
		a.note(u, current)
		a.waiting.Records[u.Usages.Ref] = u.record
		return
	}
	a.note(u, current)
}

// note says what is to be recorded of a source.
func (a *evaluation) note(u *evaluated, record source.Record) {
	a.baseline.Records[u.Usages.Ref] = record
	a.waiting.Records[u.Usages.Ref] = record
}

// forgetDeleted says what new pods take up, where that differs from what the present ones have: nothing of a source that is
// gone. If it comes back, any content of it is a change. Of one that is not seen it stays what is recorded.
func (a *evaluation) forgetDeleted() {
	for _, u := range a.uses {
		if a.keeps(&u) && !u.Unseen {
			a.baseline.Records[u.Usages.Ref] = a.Digester.Record(source.SourceState{Usages: u.Usages, Snapshot: &source.Snapshot{Ref: u.Usages.Ref}})
		}
	}
}

// newlyMatched reports whether a source without a record came to be since the baseline was written: a pattern names it,
// and the lists are those of the baseline. All other sources without a record came with an edit of the workload.
func (a *evaluation) newlyMatched(u evaluated) bool {
	return a.HasBaseline && u.selection == annotation.Named && !u.referenced() && u.Snapshot != nil &&
		a.before.Named == a.named && !a.before.Partial && !u.wasIgnored
}
