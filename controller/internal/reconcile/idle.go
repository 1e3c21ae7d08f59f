package reconcile

import (
	"maps"
	"slices"
	"time"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/source"
)

// idleAfter is how long what a workload asks for may match nothing before that is reported: who applies several objects, or has a
// tool that does, may come to the sources later, or delete one to make it again.
const idleAfter = 10 * time.Minute

// idle returns what a workload asks for and nothing has matched for a while, and when to check again, 0 for not before
// something changes. The while begins when the lists were written or, as far as this replica has seen it, when nothing
// matched any more.
func (l *Loop) idle(w observe.Workload, s *state, in decide.Input, decision decide.Decision) (messages []string, after time.Duration) {
	if w.ListedAt.IsZero() || w.Policy.OptedOut || l.options.Rules.Filtered {
		s.idle = nil
		return nil, 0
	}
	since := map[string]time.Time{}
	// lasts reports whether something has matched nothing for long enough.
	lasts := func(what string) bool {
		since[what] = in.Now
		if before, ok := s.idle[what]; ok {
			since[what] = before
		}
		left := later(since[what], w.ListedAt).Add(idleAfter).Sub(in.Now)
		after = soonest(after, left)
		return left <= 0
	}
	namespace := w.View.Key.Namespace
	for _, kind := range []source.Kind{source.ConfigMap, source.Secret} {
		if slices.Contains(l.options.Rules.Ignored, kind) {
			continue
		}
		items := slices.DeleteFunc(w.Policy.Idle(kind, matched(in, kind)), func(item string) bool { return !lasts(string(kind) + "/" + item) })
		if len(items) > 0 {
			messages = append(messages, nothingMatches(l.options.Keys.Named[kind], kind, namespace, items))
		}
	}
	unmarked := func(p annotation.Problem) bool { return p.Key == l.options.Keys.Match } // a source has it, with a value that does not count
	if decision.Reason == decide.NotFollowed && searches(w) && !slices.ContainsFunc(w.Problems, unmarked) && lasts("search") {
		messages = append(messages, nothingFound(l.options.Keys.Search, l.options.Keys.Match))
	}
	if s.idle = since; len(since) == 0 {
		s.idle = nil
	}
	return messages, after
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// matched returns the names of the sources of a kind that exist, or that the baseline has.
func matched(in decide.Input, kind source.Kind) []string {
	names := map[string]bool{}
	for _, use := range in.Uses {
		if use.Snapshot != nil && use.Usages.Ref.Kind == kind {
			names[use.Usages.Ref.Name] = true
		}
	}
	for ref, record := range in.Baseline.Known() {
		if ref.Kind == kind && !record.Absent {
			names[ref.Name] = true
		}
	}
	return slices.Collect(maps.Keys(names))
}

// searches reports whether the workload searches among what it uses, and asks for nothing else there.
func searches(w observe.Workload) bool {
	return slices.ContainsFunc(w.View.Refs(), func(ref source.Ref) bool { return w.Policy.Searches(ref.Kind) })
}
