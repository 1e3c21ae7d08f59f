// Package judge decides whether a workload is as it has to be at the end of make stress, given what was done to it. It
// knows what each fault may cause.
//
// It is pure: it gets what was seen, and knows no cluster and no clock.
package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"inpod.dev/inpod/e2e/stress/internal/plan"
)

// UndoReported is the reason of the event that reports a rollout that was undone.
const UndoReported = "RolloutUndone"

// Workload is what was done to one workload, and what was seen of it.
type Workload struct {
	Kind plan.Kind
	Name string
	// Changes are those that its pods see, in order.
	Changes []plan.Applied
	// Settle is the time that two settled changes are apart at least.
	Settle time.Duration
	// Rolled is how often it was rolled, without the edits of its template by others.
	Rolled int
	// Behind are the sources whose content it has not taken up by what inpod has recorded, and Pods says what is wrong with
	// the content of its pods, "" for nothing.
	Behind []string
	Pods   string
	// Undone are the times at which its template was put back.
	Undone []time.Time
	// Events are the reasons of the events about it.
	Events []string
}

// Verdict is the result for one workload.
type Verdict struct {
	// Held reports whether it has old content because somebody has put back its template, and inpod has reported that.
	Held     bool
	Problems []string
}

// Of judges one workload.
func Of(w Workload) Verdict {
	var v Verdict
	say := func(format string, args ...any) {
		v.Problems = append(v.Problems, fmt.Sprintf("%s %s ", w.Kind, w.Name)+fmt.Sprintf(format, args...))
	}
	if settled := plan.Settled(w.Changes, w.Settle); w.Rolled > settled {
		say("was rolled %d times for %d settled changes", w.Rolled, settled)
	}
	if len(w.Behind) == 0 && w.Pods == "" {
		return v
	}
	what := w.Pods
	if len(w.Behind) > 0 {
		what = "has not taken up " + strings.Join(w.Behind, ", ")
	}
	switch {
	case !MayBeHeld(w.Changes, w.Undone):
		say("%s", what)
	case !slices.Contains(w.Events, UndoReported):
		say("%s: its template was put back, and no event %s reports that", what, UndoReported)
	default:
		v.Held = true
	}
	return v
}

// MayBeHeld reports whether a template that was put back may keep old content in the pods: not when a source was changed
// afterwards.
func MayBeHeld(changes []plan.Applied, undone []time.Time) bool {
	if len(undone) == 0 {
		return false
	}
	return len(changes) == 0 || !undone[len(undone)-1].Before(changes[len(changes)-1].Begin)
}

// Copy judges a copy of a workload, with its baseline, that was watched for a while: it is not rolled, unless a source was
// changed meanwhile or was about to settle.
func Copy(name string, changes []plan.Applied, copied time.Time, settle time.Duration, rolled int) (problem string) {
	may := 0
	for _, c := range changes {
		if c.End.After(copied.Add(-2 * settle)) {
			may++
		}
	}
	if rolled > may {
		return fmt.Sprintf("the copy of %s was rolled %d times, and %d changes may have led to a rollout", name, rolled, may)
	}
	return ""
}
