package reconcile

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

const (
	// mistakesPause is the least time between two passes over them.
	mistakesPause = 2 * time.Second
	// misplacedAfter is how long the key of a workload may stand on a source that no workload follows, or on a namespace in which none
	// has it, before it is reported: the workloads may come later.
	misplacedAfter = time.Minute
	// mistakesBurst is how many are reported in one pass: a tool may make thousands of the same.
	mistakesBurst = 50
)

// mistakes reports mistakes until ctx ends, each once while it stays.
func (l *Loop) mistakes(ctx context.Context) {
	reported, since := map[string]bool{}, map[string]time.Time{}
	for {
		again := l.reportMistakes(reported, since, time.Now())
		if !wait(ctx, mistakesPause, nil) {
			return
		}
		if again == 0 {
			again = math.MaxInt64
		}
		if !wait(ctx, again, l.queue.others) {
			return
		}
	}
}

// wait returns true after a time, or when there is something to look at, and false when ctx ends first.
func wait(ctx context.Context, d time.Duration, or <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-or:
		return true
	case <-ctx.Done():
		return false
	}
}

// reportMistakes reports what was not reported, and forgets what is no mistake any more. It returns when to reconcile
// again, 0 for not before something changes.
func (l *Loop) reportMistakes(reported map[string]bool, since map[string]time.Time, now time.Time) (again time.Duration) {
	present := map[string]bool{}
	burst := mistakesBurst
	for _, mistake := range l.options.Sources.Mistakes() {
		for _, problem := range mistake.Problems {
			message := problem.String()
			id := string(mistake.About.UID) + " " + message
			present[id] = true
			if reported[id] {
				continue
			}
			if problem.Misplaced {
				if since[id].IsZero() {
					since[id] = now
				}
				if left := since[id].Add(misplacedAfter).Sub(now); left > 0 {
					again = soonest(again, left)
					continue
				}
				if l.counts(mistake, problem.Key) {
					reported[id] = true // tools put the same keys onto everything, and the workload has it
					continue
				}
			}
			if burst == 0 {
				again = soonest(again, mistakesPause)
				continue
			}
			burst--
			reported[id] = true
			l.options.Log.Warn("annotation ignored", "kind", mistake.About.Kind, "namespace", mistake.About.Namespace, "name", mistake.About.Name, "message", message)
			l.stateOf(&mistake.About, corev1.EventTypeWarning, EventInvalidAnnotation, message)
		}
	}
	maps.DeleteFunc(reported, func(id string, _ bool) bool { return !present[id] })
	maps.DeleteFunc(since, func(id string, _ time.Time) bool { return !present[id] || reported[id] })
	return again
}

// counts reports whether a key that stands where it does nothing does its work where it counts.
func (l *Loop) counts(mistake observe.Mistake, key string) bool {
	if mistake.Source.Name == "" {
		return l.options.Sources.Carries(mistake.About.Namespace, key)
	}
	return l.isFollowed(mistake.Source)
}

// isFollowed reports whether a workload follows a source, or asks for something of its own.
func (l *Loop) isFollowed(ref source.Ref) bool {
	snapshot := l.options.Cache.Source(ref)
	if snapshot == nil {
		return false
	}
	return slices.ContainsFunc(l.options.Sources.WorkloadsUsing(ref), func(key workload.Key) bool {
		w, exists := l.options.Cache.Workload(key)
		return exists && w.Policy.Select(ref, snapshot.Ignore, snapshot.Match, true, l.options.Rules.AutoAll).Follows()
	})
}
