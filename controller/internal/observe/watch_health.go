package observe

import (
	"context"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// After an outage of the API server the watches come back one after the other, seconds apart: client-go has each wait
// for itself, longer each time (tools/cache/reflector.go). What somebody changed together, in a ConfigMap and a Secret,
// is then seen in two parts. So nothing is decided about a workload while watches that it depends on are stale.

const (
	// brief is how long a watch may be away without having missed the end of anything: servers end each after some minutes.
	brief = 500 * time.Millisecond
	// catchUp is how long a watch that is back takes to deliver what it has missed.
	catchUp = time.Second
	// endurance is how long a watch that stays away is waited for, since the last of them went or came.
	endurance = 30 * time.Second
	// recheck is when to ask again.
	recheck = time.Second
)

// watchHealth is which watches of a part of the cache are away, by the kind that they watch.
type watchHealth struct {
	mu   sync.Mutex
	away map[string]time.Time // since when
	back map[string]time.Time // when one came back after more than a moment
}

func newWatchHealth() *watchHealth {
	return &watchHealth{away: map[string]time.Time{}, back: map[string]time.Time{}}
}

// down notes that a watch is opened, and so is not open now.
func (s *watchHealth) down(kind string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, away := s.away[kind]; !away {
		s.away[kind] = now
	}
}

// up notes that a watch is open.
func (s *watchHealth) up(kind string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, away := s.away[kind]
	delete(s.away, kind)
	if away && now.Sub(since) > brief {
		s.back[kind] = now
	}
}

// wait returns how long to wait before anything is concluded from what the watches of some kinds bring, 0 for not at all. A watch
// that the server ended and that was opened again at once is no change of anything.
func (s *watchHealth) wait(now time.Time, kinds ...string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left time.Duration
	var changed time.Time // when one went or came back
	missing := false
	for _, kind := range kinds {
		left = max(left, s.back[kind].Add(catchUp).Sub(now))
		changed = later(changed, s.back[kind])
		if since, away := s.away[kind]; away && now.Sub(since) > brief {
			changed, missing = later(changed, since), true
		}
	}
	if left == 0 && missing && now.Sub(changed) < endurance {
		return recheck
	}
	return left
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// trackedListWatch notes when a watch is away. It embeds the original, so that client-go still finds its optional methods.
type trackedListWatch struct {
	cache.ListerWatcher

	health *watchHealth
	kind   string
}

// WatchWithContext implements [cache.ListerWatcherWithContext].
func (n *trackedListWatch) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	n.health.down(n.kind, time.Now())
	w, err := cache.ToListerWatcherWithContext(n.ListerWatcher).WatchWithContext(ctx, options)
	if err == nil {
		n.health.up(n.kind, time.Now())
	}
	return w, err
}

// ListWithContext implements [cache.ListerWatcherWithContext].
func (n *trackedListWatch) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return cache.ToListerWatcherWithContext(n.ListerWatcher).ListWithContext(ctx, options)
}

// IsWatchListSemanticsUnSupported passes on what client-go asks a client for (util/watchlist).
func (n *trackedListWatch) IsWatchListSemanticsUnSupported() bool {
	return noWatchList(n.ListerWatcher)
}

// noWatchList asks a lister what client-go asks a client for.
func noWatchList(lw cache.ListerWatcher) bool {
	asked, ok := lw.(interface{ IsWatchListSemanticsUnSupported() bool })
	return ok && asked.IsWatchListSemanticsUnSupported()
}

// StaleFor returns how long to wait before anything is concluded about a workload, because a watch that it depends on is away or
// has just come back; 0 for not at all. Others do not wait for that watch.
func (o *Observer) StaleFor(w Workload) time.Duration {
	health := o.cacheOf(w.View.Key.Namespace).health
	if health == nil {
		return 0
	}
	return health.wait(time.Now(), w.fedBy()...)
}

// fedBy names the kinds whose watches bring what is decided from about a workload.
func (w Workload) fedBy() []string {
	kinds := []string{w.View.Key.Kind}
	if w.View.TemplateOwner.Kind != "" {
		kinds = append(kinds, w.View.TemplateOwner.Kind)
	}
	for _, ref := range w.View.Refs() {
		kinds = append(kinds, string(ref.Kind))
	}
	for kind := range w.Policy.Lists() {
		kinds = append(kinds, string(kind))
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
