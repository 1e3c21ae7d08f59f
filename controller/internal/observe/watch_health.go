package observe

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// After an outage of the API server the watches come back one after the other, seconds apart: client-go has each wait
// for itself, longer each time (tools/cache/reflector.go). What somebody changed together, in a ConfigMap and a Secret,
// is then seen in two parts. So no decision is made while some watches are stale.

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

// watchHealth is which watches of a part of the cache are away.
type watchHealth struct {
	mu      sync.Mutex
	away    map[any]time.Time // since when, by watch
	changed time.Time         // when one went, or came back after more than a moment
	back    time.Time         // when one came back after more than a moment
}

func newWatchHealth() *watchHealth { return &watchHealth{away: map[any]time.Time{}} }

// down notes that a watch is opened, and so is not open now.
func (s *watchHealth) down(which any, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, away := s.away[which]; !away {
		s.away[which], s.changed = now, now
	}
}

// up notes that a watch is open.
func (s *watchHealth) up(which any, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, away := s.away[which]
	delete(s.away, which)
	if away && now.Sub(since) > brief {
		s.changed, s.back = now, now
	}
}

// wait returns how long to wait before anything is concluded, 0 for not at all.
func (s *watchHealth) wait(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if left := s.back.Add(catchUp).Sub(now); left > 0 {
		return left
	}
	for _, since := range s.away {
		if now.Sub(since) > brief && now.Sub(s.changed) < endurance {
			return recheck
		}
	}
	return 0
}

// trackedListWatch notes when a watch is away. It embeds the original, so that client-go still finds its optional methods.
type trackedListWatch struct {
	cache.ListerWatcher

	health *watchHealth
}

// WatchWithContext implements [cache.ListerWatcherWithContext].
func (n *trackedListWatch) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	n.health.down(n, time.Now())
	w, err := cache.ToListerWatcherWithContext(n.ListerWatcher).WatchWithContext(ctx, options)
	if err == nil {
		n.health.up(n, time.Now())
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

// StaleFor returns how long to wait before anything is concluded about a namespace, because watches of it are away or have
// just come back; 0 for not at all.
func (o *Observer) StaleFor(namespace string) time.Duration {
	health := o.cacheOf(namespace).health
	if health == nil {
		return 0
	}
	return health.wait(time.Now())
}
