package reconcile

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/workload"
)

const (
	// firstRetry and lastRetry bound the time until a workload whose write failed is tried again.
	firstRetry = 500 * time.Millisecond
	lastRetry  = 2 * time.Minute
)

// QueueOptions are what a [Queue] needs.
type QueueOptions struct {
	// Settle is the quiet time after the last change of a source before a workload is decided on, SettleMax the longest that
	// further changes may delay that.
	Settle, SettleMax time.Duration
	Metrics           workqueue.MetricsProvider // nil for none
}

// Queue holds the workloads to reconcile, each once, and the times of the changes of their sources, which settle in it.
//
// It exists before the observer and the loop, and knows neither. While another replica leads it holds nothing: a new leader
// reconciles every workload.
type Queue struct {
	options QueueOptions

	others chan struct{} // of capacity 1: an object that is no workload has changed

	mu      sync.Mutex
	items   workqueue.TypedRateLimitingInterface[workload.Key] // nil while another replica leads
	changes map[workload.Key]changes
	// edited are the workloads in items that were added for anything else than a change of a source.
	edited map[workload.Key]struct{}
	// queued are the workloads in items that a call of Enqueue added, and due is until when others wait for a moment.
	queued map[workload.Key]struct{}
	due    map[workload.Key]time.Time
	// crowded reports whether many workloads were in queued and due since these had few.
	crowded bool
}

// manyWaiting is how many workloads are many, and a tenth of it is few.
const manyWaiting = 1000

// changes are those of the sources of one workload.
type changes struct {
	// first and last are the first and the last one that have not settled.
	first, last time.Time
	// since is the first one that has not led to an action, for the metric of the latency.
	since time.Time
}

// NewQueue returns a queue that drops everything until a [Loop] with it runs.
func NewQueue(options QueueOptions) *Queue {
	return &Queue{
		options: options, others: make(chan struct{}, 1), changes: map[workload.Key]changes{}, edited: map[workload.Key]struct{}{},
		queued: map[workload.Key]struct{}{}, due: map[workload.Key]time.Time{},
	}
}

// Enqueue has a workload reconciled. It never blocks.
func (q *Queue) Enqueue(key workload.Key, change observe.Change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.items == nil {
		return
	}
	if change == observe.SourceChanged {
		q.note(key, time.Now())
	} else {
		q.edited[key] = struct{}{}
	}
	q.queued[key] = struct{}{}
	q.crowded = q.crowded || len(q.queued)+len(q.due) >= manyWaiting
	q.items.Add(key)
}

// rested reports, once, that few workloads wait after many did, or after the start.
func (q *Queue) rested() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	rested := q.crowded && len(q.queued)+len(q.due) <= manyWaiting/10 && q.items != nil && q.items.Len() == 0
	q.crowded = q.crowded && !rested
	return rested
}

// again has a workload reconciled after a time.
func (q *Queue) again(key workload.Key, after time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.items != nil {
		q.due[key] = time.Now().Add(after)
		q.items.AddAfter(key, after)
	}
}

// without deletes a workload from a map, and returns another one when that was the last: a map keeps the memory of the
// most that it ever had, and at a start that is every workload.
func without[V any](m map[workload.Key]V, key workload.Key) map[workload.Key]V {
	if delete(m, key); len(m) > 0 {
		return m
	}
	return map[workload.Key]V{}
}

// taken notes that a workload was taken from the queue: whatever it waited for is over.
func (q *Queue) taken(key workload.Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queued, q.due = without(q.queued, key), without(q.due, key)
}

// waits reports whether a workload is in the queue, and until when it waits for a moment; zero if it does not.
func (q *Queue) waits(key workload.Key) (queued bool, due time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, queued = q.queued[key]
	return queued, q.due[key]
}

// retry has a workload reconciled again after a while that grows with each failure.
func (q *Queue) retry(key workload.Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.items != nil {
		q.edited[key] = struct{}{}
		q.due[key] = time.Now().Add(lastRetry)
		q.items.AddRateLimited(key)
	}
}

// wasEdited reports whether a workload that was taken had been added for anything else than a change of a source.
func (q *Queue) wasEdited(key workload.Key) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, ok := q.edited[key]
	q.edited = without(q.edited, key)
	return ok
}

// Mistaken has the objects that are no workloads checked again for keys that do not count. It never blocks.
func (q *Queue) Mistaken() {
	select {
	case q.others <- struct{}{}:
	default:
	}
}

// start makes the queue hold what is added from now on.
func (q *Queue) start() workqueue.TypedRateLimitingInterface[workload.Key] {
	items := workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[workload.Key](firstRetry, lastRetry),
		workqueue.TypedRateLimitingQueueConfig[workload.Key]{Name: "workloads", MetricsProvider: q.options.Metrics},
	)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items, q.changes, q.edited = items, map[workload.Key]changes{}, map[workload.Key]struct{}{}
	q.queued, q.due, q.crowded = map[workload.Key]struct{}{}, map[workload.Key]time.Time{}, true
	return items
}

// stop makes the queue drop what is added from now on, and ends those that wait for an item.
func (q *Queue) stop() {
	q.mu.Lock()
	items := q.items
	q.items = nil
	q.mu.Unlock()
	items.ShutDown()
}

// addAll has workloads reconciled.
func (q *Queue) addAll(keys []workload.Key) {
	for _, key := range keys {
		q.Enqueue(key, observe.WorkloadChanged)
	}
}

// changed notes a change of a source that was made at a time.
func (q *Queue) changed(key workload.Key, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.note(key, at)
}

// note is changed with q.mu held.
func (q *Queue) note(key workload.Key, at time.Time) {
	c := q.changes[key]
	if c.first.IsZero() {
		c.first = at
	}
	if c.since.IsZero() {
		c.since = at
	}
	if at.After(c.last) {
		c.last = at
	}
	q.changes[key] = c
}

// settle returns the quiet time of a workload, and the longest that further changes may delay it.
func (q *Queue) settle(w observe.Workload) (settle, longest time.Duration) {
	if own := w.Policy.Pacing.Settle; own != nil {
		return *own, max(*own, q.options.SettleMax)
	}
	return q.options.Settle, q.options.SettleMax
}

// settleRemaining returns how long to wait until the changes of a workload have settled. Once they have, later ones settle again.
func (q *Queue) settleRemaining(w observe.Workload) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.changes[w.View.Key]
	if c.first.IsZero() {
		return 0
	}
	settle, longest := q.settle(w)
	ready := c.last.Add(settle)
	if latest := c.first.Add(longest); latest.Before(ready) {
		ready = latest
	}
	if wait := time.Until(ready); wait > 0 {
		return wait
	}
	c.first, c.last = time.Time{}, time.Time{}
	q.changes[w.View.Key] = c
	return 0
}

// changedAt returns the first change that has not led to an action; zero for none.
func (q *Queue) changedAt(key workload.Key) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changes[key].since
}

// acted notes that the changes of a workload have led to an action, or to the finding that none is needed. It returns how long
// that took; ok is false if nothing had changed.
func (q *Queue) acted(key workload.Key) (took time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.changes[key]
	if c.since.IsZero() {
		return 0, false
	}
	took = time.Since(c.since)
	c.since = time.Time{}
	if c == (changes{}) {
		q.changes = without(q.changes, key)
	} else {
		q.changes[key] = c
	}
	return took, true
}

// forget drops what is known of the changes of a workload that does not exist any more.
func (q *Queue) forget(key workload.Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changes = without(q.changes, key)
}
