package decide

import (
	"fmt"
	"maps"
	"time"

	"inpod.dev/inpod/internal/source"
)

// A rule that holds something back holds what disturbs: rollouts and evictions. What running containers see, and
// sidecars reload, goes on beside it. So one decision may have two parts: its action is about its causes, and what is
// held waits.

// Hold is what waits of a decision.
type Hold struct {
	Reason  Reason
	Message string
	// Warning reports whether the user has to do something.
	Warning bool
	// Causes are the changes that wait, sorted by reference.
	Causes []Cause
}

// Waiting returns what waits of a decision: a part of it, or all that has changed. Its reason is "" for nothing.
func (d Decision) Waiting() Hold {
	if d.Held.Reason == "" && (d.Reason.Deferred() || d.Reason == BackOff) {
		return Hold{Reason: d.Reason, Message: d.Message, Warning: d.Warning, Causes: d.Causes}
	}
	return d.Held
}

// hold is a decision to leave what disturbs for later, and to reload the rest now where that is possible. message says
// why some changes wait, and after is when to decide again.
func (a *evaluation) hold(reason Reason, after time.Duration, message func([]Cause) string) Decision {
	live, frozen := a.parts()
	if len(live) == 0 || a.Unsettled || a.Workload.Stray || !a.reloads() {
		a.seeing(a.changed)
		decision := a.holding(reason, message(a.changed))
		decision.Warning, decision.After = !reason.Deferred(), after
		return decision
	}
	a.seeing(frozen)
	decision := a.reloading(live)
	decision.Held, decision.After = Hold{reason, message(frozen), !reason.Deferred(), frozen}, after
	return decision
}

// parts divides what has changed into what running containers see and what they do not. A key that arrives in both ways
// is frozen: a reload alone would not bring it. So is a source that is not recorded key by key.
func (a *evaluation) parts() (live, frozen []Cause) {
	for _, cause := range a.changed {
		seen, unseen := cause, cause
		seen.Diff.Changes, unseen.Diff.Changes = nil, nil
		for _, change := range cause.Diff.Changes {
			if change.Frozen {
				unseen.Diff.Changes = append(unseen.Diff.Changes, change)
			} else {
				seen.Diff.Changes = append(seen.Diff.Changes, change)
			}
		}
		switch {
		case len(unseen.Diff.Changes) == 0:
			live = append(live, cause)
		case len(seen.Diff.Changes) > 0 && a.waiting.Records[cause.Ref].ByKey():
			live, frozen = append(live, seen), append(frozen, unseen)
		default:
			frozen = append(frozen, cause)
		}
	}
	return live, frozen
}

// reloading decides on a part of what has changed as if it was all, and leaves the rest of it as it is.
func (a *evaluation) reloading(live []Cause) Decision {
	part := *a
	part.changed, part.baseline = live, a.waitingWithout(live)
	decision, _ := reloadInPlace(&part)
	if decision.Action == Reload {
		decision.Record, decision.Baseline = a.isNew(a.waiting), a.waiting
	}
	return decision
}

// waitingWithout returns what is to be recorded when some changes are taken up and all others wait.
func (a *evaluation) waitingWithout(taken []Cause) source.Baseline {
	b := a.waiting
	b.Records, b.Seen = maps.Clone(b.Records), maps.Clone(b.Seen)
	for _, cause := range taken {
		for _, u := range a.uses {
			switch {
			case u.Usages.Ref != cause.Ref:
			case len(u.diff.Changes) == len(cause.Diff.Changes):
				b.Records[cause.Ref] = a.baseline.Records[cause.Ref]
				delete(b.Seen, cause.Ref)
			default:
				b.Records[cause.Ref] = a.Digester.RecordChanges(u.SourceState, u.record, cause.Diff.Changes)
			}
		}
	}
	return b
}

// ContentOf names the content of what has changed, for a purpose. An edit of another key of a source is no other content.
func ContentOf(digester source.Digester, uses []source.SourceState, causes []Cause, purpose string) string {
	var changed []source.SourceState
	var keys []string
	for _, use := range uses {
		for _, cause := range causes {
			if cause.Ref != use.Usages.Ref {
				continue
			}
			changed = append(changed, use.OfChanges(cause.Diff.Changes))
			for _, change := range cause.Diff.Changes {
				keys = append(keys, change.Key) // also one that is gone
			}
		}
	}
	return digester.ConfigHash(changed, fmt.Sprintf("%s %q", purpose, keys))
}
