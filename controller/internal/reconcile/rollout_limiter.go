package reconcile

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/workload"
)

// Limits say how many rollouts may be under way, so that a source which many workloads use is no storm. 0 is no limit.
type Limits struct {
	// Total and PerNamespace are how many workloads may be rolling at the same time.
	Total, PerNamespace int
	// Rate is how many rollouts may begin per second.
	Rate float64
	// Timeout is after how long a rollout does not count any more. One that is stuck must not hold up the others.
	Timeout time.Duration
}

// rolloutLimiter grants workloads permission to start a rollout. A workload that gets one has it until its status says
// that the rollout is complete, or for [Limits.Timeout]; the others wait, see grant.
type rolloutLimiter struct {
	limits            Limits
	waiting, underWay prometheus.Gauge

	mu    sync.Mutex
	rate  *rate.Limiter
	held  map[workload.Key]*slot
	queue []workload.Key // those without a slot
}

// slot is the right to roll one workload.
type slot struct {
	// begins is when the rate allows to use it; zero if nobody has asked.
	begins time.Time
	// started is when the rollout began; zero before.
	started time.Time
}

func newRolloutLimiter(limits Limits, registerer prometheus.Registerer) *rolloutLimiter {
	t := &rolloutLimiter{
		limits: limits,
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "inpod_rollouts_waiting", Help: "Workloads waiting for a rollout slot.",
		}),
		underWay: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "inpod_rollouts_in_progress", Help: "Rollouts started by inpod that are neither complete nor older than --rollout-timeout.",
		}),
	}
	registerer.MustRegister(t.waiting, t.underWay)
	t.reset(nil)
	return t
}

// reset begins with rollouts that are under way already, which another replica has started at a time.
func (t *rolloutLimiter) reset(rolling map[workload.Key]time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held, t.queue, t.rate = map[workload.Key]*slot{}, nil, nil
	if t.limits.Rate > 0 {
		t.rate = rate.NewLimiter(rate.Limit(t.limits.Rate), 1)
	}
	for key, started := range rolling {
		t.held[key] = &slot{started: started}
	}
	t.count()
}

// Acquire reports whether a workload may be rolled now. If not, wait is when to ask again, or 0: it will be woken.
func (t *rolloutLimiter) Acquire(key workload.Key, now time.Time) (granted bool, wait time.Duration, wake []workload.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[key] == nil && !slices.Contains(t.queue, key) {
		t.queue = append(t.queue, key)
	}
	wake = slices.DeleteFunc(t.grant(), func(other workload.Key) bool { return other == key })
	mine := t.held[key]
	if mine == nil {
		return false, 0, wake
	}
	if mine.begins.IsZero() {
		mine.begins = now
		if t.rate != nil {
			mine.begins = now.Add(t.rate.ReserveN(now, 1).DelayFrom(now))
		}
	}
	wait = max(0, mine.begins.Sub(now))
	return wait == 0, wait, wake
}

// standing reports whether a workload waits for a slot, and whether it has one that it does not use.
func (t *rolloutLimiter) standing(key workload.Key) (waits, unused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine := t.held[key]
	return mine == nil && slices.Contains(t.queue, key), mine != nil && mine.started.IsZero()
}

// start notes that a workload that has a slot is rolled.
func (t *rolloutLimiter) start(key workload.Key, now time.Time) (wake []workload.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine := t.held[key]; mine != nil {
		mine.started, mine.begins = now, time.Time{}
	}
	return t.grant()
}

// seen notes whether a workload is rolling by its status. left is when its slot ends in any case, 0 if it has none.
func (t *rolloutLimiter) seen(key workload.Key, rolling bool, now time.Time) (left time.Duration, wake []workload.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine := t.held[key]
	if mine == nil || mine.started.IsZero() {
		return 0, nil
	}
	if left = mine.started.Add(t.limits.Timeout).Sub(now); rolling && left > 0 {
		return left, nil
	}
	delete(t.held, key)
	return 0, t.grant()
}

// Release takes a workload out that does not want to be rolled now: nothing is to be done any more, or it did not work. A
// rollout that has started goes on.
func (t *rolloutLimiter) Release(key workload.Key) (wake []workload.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = slices.DeleteFunc(t.queue, func(other workload.Key) bool { return other == key })
	if mine := t.held[key]; mine != nil && mine.started.IsZero() {
		delete(t.held, key)
	}
	return t.grant()
}

// Forget takes a workload out that does not exist any more.
func (t *rolloutLimiter) Forget(key workload.Key) (wake []workload.Key) {
	t.mu.Lock()
	delete(t.held, key)
	t.mu.Unlock()
	return t.Release(key)
}

// grant hands out what slots there are, and returns who got one. The namespace with the fewest comes first, and of one namespace
// who came first. Half of the slots at most wait for writes of one namespace: they may take as long as its admission webhooks, and
// be refused then.
func (t *rolloutLimiter) grant() (served []workload.Key) {
	defer t.count()
	held, unstarted := map[string]int{}, map[string]int{}
	for key, one := range t.held {
		held[key.Namespace]++
		if one.started.IsZero() {
			unstarted[key.Namespace]++
		}
	}
	for t.limits.Total == 0 || len(t.held) < t.limits.Total {
		next := -1
		for i, key := range t.queue {
			switch {
			case t.limits.PerNamespace > 0 && held[key.Namespace] >= t.limits.PerNamespace:
			case t.limits.Total > 0 && unstarted[key.Namespace] >= max(1, t.limits.Total/2):
			case next < 0 || held[key.Namespace] < held[t.queue[next].Namespace]:
				next = i
			}
			if next >= 0 && (t.limits.Total == 0 || held[t.queue[next].Namespace] == 0) {
				break // nobody comes before it
			}
		}
		if next < 0 {
			break
		}
		key := t.queue[next]
		t.queue = slices.Delete(t.queue, next, next+1)
		t.held[key] = &slot{}
		held[key.Namespace]++
		unstarted[key.Namespace]++
		served = append(served, key)
	}
	return served
}

func (t *rolloutLimiter) count() {
	underWay := 0
	for _, one := range t.held {
		if !one.started.IsZero() {
			underWay++
		}
	}
	t.underWay.Set(float64(underWay))
	t.waiting.Set(float64(len(t.held) - underWay + len(t.queue)))
}

// rolling returns the workloads that a former leader has rolled, and when. What is not complete for another reason, such as pods
// that crash or a rollout of somebody else, is none of ours; and one that is stuck does not begin again with each leader.
func (l *Loop) rolling(keys []workload.Key, now time.Time) map[workload.Key]time.Time {
	rolling := map[workload.Key]time.Time{}
	for _, key := range keys {
		w, ok := l.options.Cache.Workload(key)
		if !ok || !w.View.Rolling || w.AskedAt.IsZero() || w.View.Annotations[annotation.Baseline] == "" {
			continue
		}
		if now.Sub(w.AskedAt) < l.options.Limits.Timeout {
			rolling[key] = w.AskedAt
		}
	}
	return rolling
}
