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
// that the rollout is complete, or for [Limits.Timeout]; the others wait in the order in which they came.
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
	t.reset(nil, time.Time{})
	return t
}

// reset begins with rollouts that are under way already, which another replica has started.
func (t *rolloutLimiter) reset(rolling []workload.Key, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held, t.queue, t.rate = map[workload.Key]*slot{}, nil, nil
	if t.limits.Rate > 0 {
		t.rate = rate.NewLimiter(rate.Limit(t.limits.Rate), 1)
	}
	for _, key := range rolling {
		t.held[key] = &slot{started: now}
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

// start notes that a workload that has a slot is rolled.
func (t *rolloutLimiter) start(key workload.Key, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mine := t.held[key]; mine != nil {
		mine.started, mine.begins = now, time.Time{}
	}
	t.count()
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

// grant hands out what turns there are, and returns who got one.
func (t *rolloutLimiter) grant() (served []workload.Key) {
	defer t.count()
	inNamespace := map[string]int{}
	for key := range t.held {
		inNamespace[key.Namespace]++
	}
	for i := 0; i < len(t.queue); {
		key := t.queue[i]
		if t.limits.Total > 0 && len(t.held) >= t.limits.Total {
			break
		}
		if t.limits.PerNamespace > 0 && inNamespace[key.Namespace] >= t.limits.PerNamespace {
			i++ // those of other namespaces need not wait for it
			continue
		}
		t.queue = slices.Delete(t.queue, i, i+1)
		t.held[key] = &slot{}
		inNamespace[key.Namespace]++
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

// rolling returns the workloads that a former leader may have rolled: they follow something and are not complete.
func (l *Loop) rolling(keys []workload.Key) []workload.Key {
	var rolling []workload.Key
	for _, key := range keys {
		if w, ok := l.options.Cache.Workload(key); ok && w.View.Rolling && w.View.Annotations[annotation.Baseline] != "" {
			rolling = append(rolling, key)
		}
	}
	return rolling
}
