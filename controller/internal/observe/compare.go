package observe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// A watch promises to deliver every event. Where one is lost nevertheless, the cache differs from the cluster until the
// object is written again. So each part of the cache is compared with a list from time to time: of metadata only, page by
// page. Where they differ for longer than a watch may lag, the watch is ended so that client-go lists everything again.

const (
	// compareEvery is how long it takes until all parts of the cache have been compared.
	compareEvery = time.Hour
	// comparePause is the least time between two requests, and comparePage what each returns at most.
	comparePause = time.Second
	comparePage  = 500
	// compareTimeout bounds one request.
	compareTimeout = 30 * time.Second
	// compareConfirm is how long a watch may lag.
	compareConfirm = 30 * time.Second
)

// errVersions says that resource versions are no numbers, so that nothing can be compared.
var errVersions = errors.New("resource versions are no numbers")

// listed is a part of the cache, and how its objects are listed.
type listed struct {
	kind      string
	resource  schema.GroupVersionResource
	namespace string
	only      metav1.ListOptions
	informer  cache.SharedIndexInformer
	renew     *renewable
	optional  *optionalKind // nil for a kind that every cluster has
}

// CompareWithLists compares the cache with the cluster until ctx ends, one part after the other. found is called with the
// number of objects that differ.
func (o *Observer) CompareWithLists(ctx context.Context, found func(objects int)) {
	if o.options.Metadata == nil {
		return
	}
	for {
		var parts []*listed
		for _, nsCache := range o.watched() {
			parts = append(parts, nsCache.listed...)
		}
		pause := max(comparePause, compareEvery/time.Duration(max(1, len(parts))))
		if len(parts) == 0 && !pauseFor(ctx, pause) {
			return
		}
		for _, part := range parts {
			if !pauseFor(ctx, pause) {
				return
			}
			if n := o.compare(ctx, part); n > 0 {
				found(n)
			}
		}
	}
}

func pauseFor(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// compare compares a part of the cache, has it listed again if it differs, and returns how many objects do.
func (o *Observer) compare(ctx context.Context, part *listed) int {
	if part.informer.IsStopped() || !part.informer.HasSynced() || part.optional != nil && !part.optional.listed.Load() {
		return 0
	}
	log := o.options.Log.With("kind", part.kind, "namespace", part.namespace)
	differs := map[string]string{}
	for round := range 2 {
		now, err := o.differences(ctx, part)
		if err != nil {
			log.Debug("comparing the cache with a list failed", "error", err)
			return 0
		}
		for key, before := range differs {
			if cached, still := now[key]; !still || cached != before {
				delete(differs, key)
			}
		}
		if round == 0 {
			differs = now
		}
		if len(differs) == 0 {
			return 0
		}
		if round == 0 && !pauseFor(ctx, compareConfirm) {
			return 0
		}
	}
	if part.informer.IsStopped() {
		return 0 // its namespace is not watched any more: what is cached stays as it was
	}
	for key, how := range differs {
		log.Warn("cache differs from the cluster, listing the kind again; please report this bug", "object", key, "cached", how)
	}
	part.renew.again()
	return len(differs)
}

// differences lists a part of the cache and returns which objects are older in the cache than in the list, with the version
// that is cached: "" for none. An object that only the cache has is one, too.
func (o *Observer) differences(ctx context.Context, part *listed) (map[string]string, error) {
	resource := part.resource
	if part.optional != nil {
		resource = part.optional.resource()
	}
	differs, inList := map[string]string{}, map[string]struct{}{}
	options := part.only
	options.Limit = comparePage
	var newest uint64
	for {
		page, err := o.page(ctx, resource, part.namespace, options)
		if err != nil {
			return nil, err
		}
		if newest, err = strconv.ParseUint(page.ResourceVersion, 10, 64); err != nil {
			return nil, errVersions
		}
		for i := range page.Items {
			item := &page.Items[i]
			key := item.Namespace + "/" + item.Name
			inList[key] = struct{}{}
			is, err := strconv.ParseUint(item.ResourceVersion, 10, 64)
			if err != nil {
				return nil, errVersions
			}
			if text, version := part.cached(key); version < is {
				differs[key] = text
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
		if !pauseFor(ctx, comparePause) {
			return nil, ctx.Err()
		}
	}
	for _, key := range part.informer.GetStore().ListKeys() {
		if _, has := inList[key]; has {
			continue
		}
		if text, version := part.cached(key); version > 0 && version <= newest {
			differs[key] = text
		}
	}
	return differs, nil
}

func (o *Observer) page(ctx context.Context, resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	ctx, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	page, err := o.options.Metadata.Resource(resource).Namespace(namespace).List(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", resource.GroupResource(), err)
	}
	return page, nil
}

// cached returns the version of an object in the cache; 0 for none.
func (l *listed) cached(key string) (text string, version uint64) {
	object, exists, err := l.informer.GetStore().GetByKey(key)
	if err != nil || !exists {
		return "", 0
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return "", 0
	}
	text = accessor.GetResourceVersion()
	version, err = strconv.ParseUint(text, 10, 64)
	if err != nil {
		return "", 0
	}
	return text, version
}

// renewable is a ListerWatcher whose watch can be ended so that client-go lists again. It embeds the original, so that
// client-go still finds its optional methods.
type renewable struct {
	cache.ListerWatcher

	mu   sync.Mutex
	open *renewableWatch // the newest
}

// again has everything listed again.
func (r *renewable) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open != nil {
		r.open.expire()
	}
}

// ListWithContext implements [cache.ListerWatcherWithContext].
func (r *renewable) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return cache.ToListerWatcherWithContext(r.ListerWatcher).ListWithContext(ctx, options)
}

// WatchWithContext implements [cache.ListerWatcherWithContext].
func (r *renewable) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	w, err := cache.ToListerWatcherWithContext(r.ListerWatcher).WatchWithContext(ctx, options)
	if err != nil {
		return nil, err
	}
	renewed := &renewableWatch{Interface: w, events: make(chan watch.Event), expired: make(chan struct{}), stopped: make(chan struct{})}
	renewed.expire = sync.OnceFunc(func() { close(renewed.expired) })
	renewed.stop = sync.OnceFunc(func() { close(renewed.stopped) })
	r.mu.Lock()
	r.open = renewed
	r.mu.Unlock()
	go renewed.forward()
	return renewed, nil
}

// IsWatchListSemanticsUnSupported passes on what client-go asks a client for (util/watchlist).
func (r *renewable) IsWatchListSemanticsUnSupported() bool { return noWatchList(r.ListerWatcher) }

// renewableWatch is a watch that can end as one does whose resource version is too old.
type renewableWatch struct {
	watch.Interface

	events           chan watch.Event
	expired, stopped chan struct{}
	expire, stop     func()
}

// ResultChan implements [watch.Interface].
func (w *renewableWatch) ResultChan() <-chan watch.Event { return w.events }

// Stop implements [watch.Interface].
func (w *renewableWatch) Stop() {
	w.stop()
	w.Interface.Stop()
}

// forward passes events on until the watch ends.
func (w *renewableWatch) forward() {
	defer close(w.events)
	for {
		var event watch.Event
		select {
		case <-w.stopped:
			return
		case <-w.expired:
			event = watch.Event{Type: watch.Error, Object: &metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired, Message: "the cache differs from the cluster",
			}}
		case next, ok := <-w.Interface.ResultChan():
			if !ok {
				return
			}
			event = next
		}
		select {
		case <-w.stopped:
			return
		case w.events <- event:
		}
		if event.Type == watch.Error {
			w.Interface.Stop()
			return
		}
	}
}
