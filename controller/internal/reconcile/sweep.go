package reconcile

import (
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"
	"time"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// The sweep is a net under the queue. Every change in the cache wakes its workloads, and everything that waits is woken by
// a timer or by who gives a slot back. Where that is not so there is a bug, and a change would stay unnoticed until the next
// one or the next leader. So the sweep compares every workload with the cache, without a request, and has those reconciled
// that nobody has woken.

const (
	// sweepEvery is how long one pass over all workloads takes.
	sweepEvery = 5 * time.Minute
	// sweepPause is the least time between two parts of a pass.
	sweepPause = time.Second
	// sweepConfirm is how long a workload has to be behind with nothing queued. The cache is changed before the handlers of
	// the informers are called, and a slot is given before its workload is woken.
	sweepConfirm = 30 * time.Second
	// sweepOverdue is how late a timer may be.
	sweepOverdue = time.Minute
)

// lostWakeUp is what should have woken a workload, and did not.
type lostWakeUp string

const (
	// lostChange is that of a change of the workload, or of a source.
	lostChange lostWakeUp = "change"
	// lostWait is that of a timer.
	lostWait lostWakeUp = "wait"
	// lostSlot is that of a slot for a write or a rollout.
	lostSlot lostWakeUp = "slot"
	// lostDecision is any other: the same decision is another one now.
	lostDecision lostWakeUp = "decision"
	// lostEvent is one of a watch: the cache itself was behind.
	lostEvent lostWakeUp = "event"
)

// suspicion is a workload that was behind at a time.
type suspicion struct {
	lost   lostWakeUp
	inputs uint64
	since  time.Time
}

// EventsLost counts objects that the cache had otherwise than the cluster: [observe.Observer.CompareWithLists].
func (l *Loop) EventsLost(objects int) {
	l.metrics.swept.WithLabelValues(string(lostEvent)).Add(float64(objects))
}

// sweep goes over all workloads again and again until ctx ends, a few at a time.
func (l *Loop) sweep(ctx context.Context) {
	suspects := map[workload.Key]suspicion{}
	var rest []workload.Key
	pause, share := sweepEvery, 0
	for {
		timer := time.NewTimer(untilNext(pause, suspects))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if len(rest) == 0 {
			rest = l.known()
			pause, share = sweepPace(len(rest))
		}
		now, next := time.Now(), min(share, len(rest))
		part := rest[:next]
		for key, suspect := range suspects {
			if now.Sub(suspect.since) >= sweepConfirm {
				part = append(slices.Clip(part), key)
			}
		}
		for _, key := range part {
			l.sweepOne(key, suspects, now)
		}
		rest = rest[next:]
	}
}

// untilNext is the time until the next part, or until a suspicion has to be confirmed.
func untilNext(pause time.Duration, suspects map[workload.Key]suspicion) time.Duration {
	for _, suspect := range suspects {
		pause = min(pause, max(time.Second, time.Until(suspect.since.Add(sweepConfirm))))
	}
	return pause
}

// sweepPace returns the time between two parts of a pass over some workloads, and how many workloads a part has.
func sweepPace(workloads int) (pause time.Duration, share int) {
	pause = max(sweepPause, sweepEvery/time.Duration(max(1, workloads)))
	parts := int(sweepEvery / pause)
	return pause, max(1, (workloads+parts-1)/parts)
}

// known are the workloads in the cache, and those that were and that are remembered.
func (l *Loop) known() []workload.Key {
	keys := l.options.Cache.Workloads()
	l.mu.Lock()
	for key := range l.states {
		keys = append(keys, key)
	}
	l.mu.Unlock()
	slices.SortFunc(keys, workload.Key.Compare)
	return slices.Compact(keys)
}

// sweepOne compares one workload with the cache, and has it reconciled if it is behind for long enough.
func (l *Loop) sweepOne(key workload.Key, suspects map[workload.Key]suspicion, now time.Time) {
	lost, inputs := l.lost(key, now)
	before, suspected := suspects[key]
	switch {
	case lost == "":
		delete(suspects, key)
	case !suspected || before.lost != lost || before.inputs != inputs:
		suspects[key] = suspicion{lost, inputs, now}
	case now.Sub(before.since) >= sweepConfirm:
		delete(suspects, key)
		l.metrics.swept.WithLabelValues(string(lost)).Inc()
		l.options.Log.Warn("sweep found a workload that nothing had woken, reconciling it now; please report this bug",
			"workload", key, "lost", lost, "since", before.since)
		l.queue.Enqueue(key, observe.WorkloadChanged)
	}
}

// lost returns what should have woken a workload and did not, "" for nothing, and what identifies its state.
func (l *Loop) lost(key workload.Key, now time.Time) (what lostWakeUp, inputs uint64) {
	defer func() {
		if fault := recover(); fault != nil { // a worker meets it too, and reports it
			what = ""
		}
	}()
	w, exists := l.options.Cache.Workload(key)
	var working *sync.Mutex
	l.mu.Lock()
	s, known := l.states[key]
	if known {
		working = s.working
	}
	l.mu.Unlock()
	switch queued, _ := l.queue.waits(key); {
	case queued || !exists && !known:
		return "", 0
	case !known || !exists:
		return lostChange, w.View.Fingerprint()
	case !working.TryLock():
		return "", 0 // a worker has it
	}
	defer working.Unlock()
	queued, due := l.queue.waits(key)
	writes, unusedWrite := l.writes.standing(key)
	rolls, unusedRollout := l.limiter.standing(key)
	switch {
	case queued:
		return "", 0
	case s.uid != w.View.UID:
		return lostChange, w.View.Fingerprint()
	case !due.IsZero() && now.After(due.Add(sweepOverdue)):
		return lostWait, uint64(due.UnixNano())
	case due.IsZero() && (unusedWrite || unusedRollout):
		return lostSlot, s.inputs
	case writes || rolls || s.inputs == 0:
		return "", 0
	}
	in, _ := l.gather(w, s)
	switch inputs = inputsOf(w.View, in.Uses); {
	case inputs != s.inputs:
		return lostChange, inputs
	case !due.IsZero() || s.outcome == (outcome{}):
		return "", inputs
	}
	if decision := l.options.Decide(in); wants(decision) && outcomeOf(decision) != s.outcome {
		return lostDecision, inputs
	}
	return "", inputs
}

// wants reports whether anything is to be done.
func wants(decision decide.Decision) bool {
	return !decision.AskPods && (decision.Action != decide.None || decision.Record)
}

// outcome is what was decided. With the same inputs the causes are the same.
type outcome struct {
	action decide.Action
	reason decide.Reason
	held   decide.Reason
	record bool
}

func outcomeOf(decision decide.Decision) outcome {
	return outcome{decision.Action, decision.Reason, decision.Held.Reason, decision.Record}
}

// inputsOf identifies what wakes a workload when it changes: its view and the content of its sources. It is never 0.
func inputsOf(view workload.View, uses []source.SourceState) uint64 {
	sum := view.Fingerprint()
	for _, use := range uses {
		if use.Snapshot == nil {
			continue
		}
		// Keys are in no order, so that their hashes are added.
		name := use.Usages.Ref.String()
		sum += hashOf(name, strconv.FormatBool(use.Snapshot.Ignore), strconv.FormatBool(use.Snapshot.Match))
		for key, entry := range use.Snapshot.Keys {
			sum += hashOf(name, key, string(entry.Digest[:]), strconv.FormatBool(entry.Binary))
		}
	}
	return max(1, sum)
}

func hashOf(parts ...string) uint64 {
	h := fnv.New64a()
	for _, part := range parts {
		_, _ = h.Write([]byte(part))
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}
