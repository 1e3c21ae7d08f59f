package inplace

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

const (
	// nudgesAtOnce bounds the nudges under way, and nudgesOfOne those in one namespace: a nudge takes as long as the
	// admission webhooks of others do.
	nudgesAtOnce = 64
	nudgesOfOne  = 16
	// nudgeTimeout bounds one nudge.
	nudgeTimeout = 30 * time.Second
	// kubeletPeriod is after how long the kubelet of a pod has brought new content by itself, or is about to.
	kubeletPeriod = time.Minute
)

// pendingNudge is a nudge that waits.
type pendingNudge struct {
	pod  observe.Pod
	key  workload.Key
	ref  source.Ref // what has changed, the first of several
	text string
	// needed reports whether the pod still needs it. Where the last answer is stale it asks the pod.
	needed func(ctx context.Context, stale bool) bool
	// asked is when the pod was last known not to have the content, and since when the nudge waits.
	asked, since time.Time
	// by is the reload task that wants it, nil for none.
	by *reloadTask

	gone bool // it has been dropped
}

// pendingNudges are the nudges that wait in one term. There is one for each pod at most, with the newest text. They are
// served namespace after namespace, in it source after source, and for each of these workload after workload.
type pendingNudges struct {
	pace    *rate.Limiter
	metrics *metrics
	log     *slog.Logger
	wake    chan struct{} // holds one token while there may be something to do

	mu      sync.Mutex
	byPod   map[types.UID]*pendingNudge // those that have not been taken
	ready   fairQueue[*pendingNudge]
	taken   int
	spared  int            // nudges that the pace lets pass beyond its rate
	held    map[string]int // taken, by namespace
	last    map[types.UID]lastNudged
	sweepAt int // entries in last at which those of long ago are dropped
}

// lastNudged is when a pod was nudged, or had no need, and until when that matters.
type lastNudged struct{ at, until time.Time }

func newPendingNudges(pace *rate.Limiter, m *metrics, log *slog.Logger) *pendingNudges {
	const few = 1024
	return &pendingNudges{
		pace: pace, metrics: m, log: log, wake: make(chan struct{}, 1), sweepAt: few,
		byPod: map[types.UID]*pendingNudge{}, held: map[string]int{}, last: map[types.UID]lastNudged{},
	}
}

// add has a pod nudged, and not before so much time has passed since the last nudge. Of several for one pod
// the last one counts, in the place of the first.
func (q *pendingNudges) add(n pendingNudge, interval time.Duration) {
	now := time.Now()
	n.since = now
	q.mu.Lock()
	defer q.mu.Unlock()
	if waiting, ok := q.byPod[n.pod.UID]; ok {
		waiting.pod, waiting.text, waiting.needed, waiting.asked, waiting.since, waiting.by = n.pod, n.text, n.needed, n.asked, n.since, n.by
		return
	}
	q.byPod[n.pod.UID] = &n
	last := q.last[n.pod.UID]
	if wait := last.at.Add(interval).Sub(now); wait > 0 {
		time.AfterFunc(wait, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.enqueue(&n)
		})
		return
	}
	q.enqueue(&n)
}

func (q *pendingNudges) enqueue(n *pendingNudge) {
	if n.gone {
		return
	}
	q.ready.push([]string{n.pod.Namespace, n.ref.String(), n.key.String()}, n)
	q.signal()
}

func (q *pendingNudges) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// drop drops the nudge that a reload task wants for a pod: the pod has the content.
func (q *pendingNudges) drop(pod types.UID, by *reloadTask) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n, ok := q.byPod[pod]; ok && n.by == by {
		n.gone = true
		delete(q.byPod, pod)
		q.metrics.left()
	}
}

// waits reports whether a nudge of a pod waits, and when the last one was sent, or found not to be needed.
func (q *pendingNudges) waits(pod types.UID) (waits bool, last time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, waits = q.byPod[pod]
	return waits, q.last[pod].at
}

// waiting is how many nudges wait.
func (q *pendingNudges) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.byPod)
}

// run has pods nudged until ctx ends.
func (q *pendingNudges) run(ctx context.Context, nudge func(context.Context, *pendingNudge) error) {
	var under sync.WaitGroup
	defer under.Wait()
	for q.await(ctx) && q.awaitPace(ctx) {
		n := q.take(time.Now())
		if n == nil {
			q.spare()
			continue
		}
		under.Go(func() {
			defer q.leave(n)
			defer q.recovered(n)
			if !n.needed(ctx, time.Since(n.asked) > fresh) {
				q.metrics.left()
				q.spare()
				return
			}
			bounded, cancel := context.WithTimeout(ctx, nudgeTimeout)
			defer cancel()
			q.metrics.nudged(nudge(bounded, n) == nil)
		})
	}
}

// recovered ends a panic: the pod is left to its kubelet.
func (q *pendingNudges) recovered(n *pendingNudge) {
	if fault := recover(); fault != nil {
		q.metrics.panics.Inc()
		q.log.Error("recovered from panic, leaving this pod to its kubelet", "workload", n.key, "pod", n.pod.Name, "panic", fault, "stack", string(debug.Stack()))
	}
}

// awaitPace waits until the pace lets one more nudge pass. It reports false where ctx ends first.
func (q *pendingNudges) awaitPace(ctx context.Context) bool {
	q.mu.Lock()
	if q.spared > 0 {
		q.spared--
		q.mu.Unlock()
		return true
	}
	q.mu.Unlock()
	return q.pace.Wait(ctx) == nil
}

// spare gives back what a nudge that is not needed has taken of the pace.
func (q *pendingNudges) spare() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spared = min(q.spared+1, q.pace.Burst())
}

// await waits until a nudge may be taken. It reports false where ctx ends first.
func (q *pendingNudges) await(ctx context.Context) bool {
	for {
		q.mu.Lock()
		may := q.taken < nudgesAtOnce && q.ready.any(q.mayTake)
		q.mu.Unlock()
		if may {
			return ctx.Err() == nil
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return false
		}
	}
}

func (q *pendingNudges) mayTake(namespace string) bool { return q.held[namespace] < nudgesOfOne }

// take returns the next nudge; nil for none. One that has waited for as long as a kubelet takes by itself is dropped.
func (q *pendingNudges) take(now time.Time) *pendingNudge {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		n, ok := q.ready.pop(q.mayTake)
		switch {
		case !ok:
			return nil
		case n.gone:
			continue
		case now.Sub(n.since) > kubeletPeriod:
			delete(q.byPod, n.pod.UID)
			q.metrics.left()
			continue
		}
		delete(q.byPod, n.pod.UID)
		q.taken++
		q.held[n.pod.Namespace]++
		q.note(n.pod.UID, now)
		return n
	}
}

// note keeps when a pod was nudged, for as long as an interval may be.
func (q *pendingNudges) note(pod types.UID, now time.Time) {
	q.last[pod] = lastNudged{at: now, until: now.Add(longestInterval)}
	if len(q.last) < q.sweepAt {
		return
	}
	for id, last := range q.last {
		if last.until.Before(now) {
			delete(q.last, id)
		}
	}
	q.sweepAt = max(q.sweepAt, 2*len(q.last))
}

// leave gives the place of a nudge back, and has the reload task that wanted it look at the pod.
func (q *pendingNudges) leave(n *pendingNudge) {
	namespace := n.pod.Namespace
	q.mu.Lock()
	defer q.mu.Unlock()
	if n.by != nil {
		n.by.nudged()
	}
	q.taken--
	if q.held[namespace]--; q.held[namespace] == 0 {
		delete(q.held, namespace)
	}
	q.signal()
}
