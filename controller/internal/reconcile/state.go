package reconcile

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// staleWait is how long to wait for the watch to deliver our own last write. It arrives by itself and brings the key
// back into the queue; this is for a watch that has just broken. After staleMax the cache counts as it is: resource
// versions go back when a cluster is restored from a backup.
const (
	staleWait = 5 * time.Second
	staleMax  = time.Minute
)

// The back-off of a workload that is rolled again and again: so many rollouts are free, and after them each waits twice
// as long as the one before. A time without rollouts makes them free again.
const (
	freeRollouts = 10
	firstBackOff = 30 * time.Second
	longBackOff  = 15 * time.Minute
	calm         = 10 * time.Minute
)

// state is what a leader remembers of one workload. Losing it costs a baseline that waits again, or a warning that is
// reported again; nothing that has to survive is here. A key is handled by one worker at a time.
type state struct {
	uid types.UID
	// working is held by the worker that has the workload, or by the sweep.
	working *sync.Mutex
	// inputs identifies what was decided from last, 0 where a timer is to bring the workload back before it is decided;
	// and outcome what was decided, if it was.
	inputs  uint64
	outcome outcome

	// pendingBaseline is a baseline that waits to be written, for the rate or because it could not be, and replaces the
	// annotation that it takes the place of.
	pendingBaseline stored
	pendingReplaces string
	// stray is the baseline of pods whose workload is not known, which no object could carry. Without it they are
	// asked.
	stray *source.Baseline
	// baselineAt is when its baseline may be written.
	baselineAt time.Time
	// written is the resource version of our own last write, and writtenAt its time.
	written   uint64
	writtenAt time.Time
	// lastWritten is the baseline in that write.
	lastWritten stored
	// unread is a text that was reported since it cannot be read.
	unread string
	// overwroteAt is when a baseline was written over one that something else had put back; zero after a rollout.
	overwroteAt time.Time
	// listed is what the pods have said last, nil for nothing, and unlisted reports whether they cannot be listed.
	listed   *listed
	unlisted bool
	// missing is since when a source is missing.
	missing time.Time
	// conflicts are the writes in a row that met another state than the one in the cache.
	conflicts int
	// idle is since when what the workload asks for matches nothing.
	idle map[string]time.Time
	// reported are the warnings that were reported.
	reported map[string]bool
	// refusals are the kinds of writes that are not accepted.
	refusals map[decide.Action]refusalState
	// notified is the content that was reported where nothing is to be done.
	notified string

	// evictAt is when the next eviction may be tried that a budget did not allow, and evictWait the wait until then.
	evictAt   time.Time
	evictWait time.Duration
	// evicting reports whether pods were evicted whose places are not all taken.
	evicting bool
	// blockedAt is since when an eviction waits for other pods.
	blockedAt       time.Time
	blockedReported bool
	// evictForbidden reports whether the API server has forbidden an eviction.
	evictForbidden bool

	// busy is what was reported of a Job that has to wait.
	busy     string
	rollouts int
	rolledAt time.Time
}

// state returns the state of a workload; Loop.mu is held.
func (l *Loop) state(key workload.Key) *state {
	s, ok := l.states[key]
	if !ok {
		s = &state{working: &sync.Mutex{}}
		l.states[key] = s
	}
	return s
}

// exclusive waits until nobody else has a workload, and returns what gives it free.
func (l *Loop) exclusive(key workload.Key) (free func()) {
	l.mu.Lock()
	working := l.state(key).working
	l.mu.Unlock()
	working.Lock()
	return working.Unlock
}

// restoreSettle makes a workload settle whose sources were changed right before this replica began to lead: whoever makes several
// changes may be in the middle of it, and the replica that saw the first ones is gone.
func (l *Loop) restoreSettle(key workload.Key, now time.Time) {
	w, exists := l.options.Cache.Workload(key)
	if !exists {
		return
	}
	settle, _ := l.queue.settle(w)
	refs := w.View.Refs()
	for _, kind := range source.Kinds() {
		for _, name := range w.Policy.Literals(kind) {
			refs = append(refs, kind.Ref(key.Namespace, name))
		}
	}
	for _, ref := range refs {
		snapshot := l.options.Cache.Source(ref)
		if snapshot == nil || snapshot.Changed.Time.IsZero() {
			continue
		}
		// The API server cuts the time to seconds, and its clock may be ahead of ours.
		changed := snapshot.Changed.Time.Add(time.Second)
		if changed.After(now) {
			changed = now
		}
		if now.Sub(changed) < settle {
			l.queue.changed(key, changed)
		}
	}
}

// stale reports whether a workload is in the cache as it was before our own last write.
func (s *state) stale(w observe.Workload, now time.Time) bool {
	return w.View.Version != 0 && w.View.Version < s.written && now.Sub(s.writtenAt) < staleMax
}

// begin returns the state of a workload for one reconciliation. A workload that was deleted and recreated starts from
// nothing.
func (l *Loop) begin(key workload.Key, w observe.Workload) *state {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state(key)
	if s.uid != w.View.UID {
		if s.pendingBaseline.is {
			l.metrics.pending.Dec()
		}
		*s = state{uid: w.View.UID, working: s.working}
	}
	return s
}

func (l *Loop) forget(key workload.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.states[key]; ok && s.pendingBaseline.is {
		l.metrics.pending.Dec()
	}
	delete(l.states, key)
	l.queue.forget(key)
}

// missingGrace returns how long to wait before a missing source is reported: a tool that applies several objects may
// not have created it yet.
func (l *Loop) missingGrace(w observe.Workload, s *state, decision decide.Decision) time.Duration {
	if decision.Reason != decide.SourceMissing {
		s.missing = time.Time{}
		return 0
	}
	now := time.Now()
	if s.missing.IsZero() {
		s.missing = now
	}
	settle, _ := l.queue.settle(w)
	return max(0, s.missing.Add(settle).Sub(now))
}

// rolled counts a rollout, or the evictions of one decision.
func (s *state) rolled(now time.Time) {
	if s.rollouts > 0 && now.Sub(s.rolledAt) > calm+s.backOff() {
		s.rollouts = 0
	}
	s.rollouts++
	s.rolledAt = now
}

// notBefore is the time until which the next rollout has to wait.
func (s *state) notBefore(now time.Time) time.Time {
	wait := s.backOff()
	if wait == 0 || now.Sub(s.rolledAt) > calm+wait {
		return time.Time{}
	}
	return s.rolledAt.Add(wait)
}

func (s *state) backOff() time.Duration {
	wait := time.Duration(0)
	for n := freeRollouts; n <= s.rollouts; n++ {
		wait = min(max(firstBackOff, 2*wait), longBackOff)
		if wait == longBackOff {
			break
		}
	}
	return wait
}
