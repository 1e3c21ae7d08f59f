// Package observe reads the cluster: it keeps small caches of workloads and sources in memory, and reports which
// workloads a change concerns.
//
// Objects are reduced on their way in. Of a ConfigMap or Secret one digest per key stays, of a workload a
// [workload.View]; values and pod templates are garbage as soon as they have been reduced. Nothing is decided here.
//
//	list, watch ──► transform: digests, views ──► store, with an index source → workloads
//	                                                  │
//	                    a difference ──► Enqueue(workload key, kind of change)
package observe

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// Change says why a workload is enqueued.
type Change string

// The changes.
const (
	SourceChanged   Change = "SourceChanged"   // content that it uses or names is different
	WorkloadChanged Change = "WorkloadChanged" // its template or annotations are different, it is new or it is gone
)

// Options are what an [Observer] needs. All fields are required but those that narrow what is watched.
type Options struct {
	Client kubernetes.Interface
	// Dynamic reads the kinds that come as JSON; nil if there are none.
	Dynamic dynamic.Interface
	// Metadata lists metadata, to compare the cache with; nil for no comparison.
	Metadata metadata.Interface
	// Namespaces are the ones to watch; empty means all.
	Namespaces []string
	// NamespaceSelector, if it is not empty, selects the namespaces to watch by their labels, instead of Namespaces.
	NamespaceSelector string
	// IgnoredNamespaces are left out where all namespaces are watched, or those of a selector.
	IgnoredNamespaces []string
	// Sources are the kinds of sources to watch, and SourceSelector selects among them by their labels; "" means all.
	Sources        []source.Kind
	SourceSelector string
	Keys           annotation.Keys
	// SelectorLabels are the keys of labels in the selectors: they are never reported as meaning nothing.
	SelectorLabels []string
	// NamespaceDefaults has the observer read annotations of namespaces too, which say when their workloads may be
	// rolled.
	NamespaceDefaults bool
	// Kinds are the kinds of workloads to watch.
	Kinds workload.Table
	// Enqueue is called for each workload that a change concerns, from several goroutines. It must not block.
	Enqueue func(workload.Key, Change)
	Log     *slog.Logger
	// Mistaken is called when an object that is no workload begins or ceases to have keys that do not count; nil for nobody. It
	// must not block.
	Mistaken func()
	// Seen is called for each source that was created, updated or deleted; nil for nobody.
	Seen func(kind source.Kind, event string)
	// Pods has the observer watch the pods that carry the sidecar, and those that have asked for it and got none.
	// NudgeNow is then called for each workload that uses or names a source that changed, before Enqueue; it must not
	// block.
	Pods     bool
	NudgeNow func(workload.Key, source.Ref)
	// Skipped is called for each subject whose pods without sidecar may have changed; nil for nobody. It must not block.
	Skipped func(Subject)
}

// Observer is a cache of the cluster that keeps itself up to date.
type Observer struct {
	options  Options
	checker  *annotation.Checker
	optional []*optionalKind
	// classKinds are those of the secrets-store CSI driver: classes, and the statuses of pods. Empty if they are not watched.
	classKinds []*optionalKind
	bundles    *optionalInformer         // of ClusterTrustBundles; nil if they are not watched
	selected   *selected                 // nil unless namespaces are selected by their labels
	defaults   cache.SharedIndexInformer // of namespaces; nil unless their annotations count
	synced     []cache.DoneChecker

	mu    sync.RWMutex
	parts map[string]*namespaceCache // by namespace; a cache of all namespaces has the one key ""
}

// New prepares an observer; nothing is read before [Observer.Run].
func New(options Options) (*Observer, error) {
	o := &Observer{options: options, checker: annotation.NewChecker(options.Keys, options.SelectorLabels...), parts: map[string]*namespaceCache{}}
	for _, kind := range options.Kinds {
		if kind.Path != nil {
			o.optional = append(o.optional, newOptionalKind(kind))
		}
	}
	if slices.Contains(options.Sources, source.SecretProviderClass) {
		for _, name := range []string{"SecretProviderClass", "SecretProviderClassPodStatus"} {
			o.classKinds = append(o.classKinds, newOptionalKind(classKind(name)))
		}
	}
	if slices.Contains(options.Sources, source.ClusterTrustBundle) {
		if err := o.watchBundles(); err != nil {
			return nil, err
		}
	}
	if options.NamespaceDefaults {
		if err := o.watchDefaults(); err != nil {
			return nil, err
		}
	}
	if options.NamespaceSelector != "" {
		if err := o.selectNamespaces(); err != nil {
			return nil, err
		}
		return o, nil
	}
	namespaces := options.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	for _, namespace := range namespaces {
		nsCache, err := o.newNamespaceCache(namespace)
		if err != nil {
			return nil, err
		}
		o.parts[namespace] = nsCache
		o.synced = append(o.synced, nsCache.synced...)
	}
	return o, nil
}

// Run keeps the cache up to date until ctx ends.
func (o *Observer) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, kind := range slices.Concat(o.optional, o.classKinds) {
		running.Go(func() { o.awaitServed(ctx, kind) })
	}
	if o.bundles != nil {
		running.Go(func() { o.awaitServed(ctx, o.bundles.of) })
		running.Go(func() { o.bundles.run(ctx, o.options.Log) })
	}
	if o.defaults != nil {
		running.Go(func() { o.defaults.RunWithContext(ctx) })
	}
	if o.selected != nil {
		o.runSelected(ctx)
	} else {
		for _, nsCache := range o.watched() {
			running.Go(func() { nsCache.run(ctx, o.options.Log) })
		}
	}
	running.Wait()
}

// WaitForSync returns true once everything that existed at the start has been seen, and false if ctx ends first.
func (o *Observer) WaitForSync(ctx context.Context) bool {
	return cache.WaitFor(ctx, "", o.synced...)
}

// HasSynced reports whether everything that existed at the start has been seen.
func (o *Observer) HasSynced() bool {
	for _, checker := range o.synced {
		select {
		case <-checker.Done():
		default:
			return false
		}
	}
	return true
}

// cacheOf returns the part of the cache that a namespace is in; an empty one if it is not watched.
func (o *Observer) cacheOf(namespace string) *namespaceCache {
	o.mu.RLock()
	defer o.mu.RUnlock()
	for _, key := range []string{"", namespace} {
		if nsCache, ok := o.parts[key]; ok {
			return nsCache
		}
	}
	return &namespaceCache{}
}

// watched returns all parts of the cache.
func (o *Observer) watched() []*namespaceCache {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return slices.Collect(maps.Values(o.parts))
}

// Workload is a workload with what its user asked for.
type Workload struct {
	workload.View

	Policy   annotation.Policy
	Problems []annotation.Problem
	// About is what events are about where that is not the workload itself: what controls pods whose workload is not
	// known, or such a pod; nil for all others.
	About *corev1.ObjectReference
	// ListedAt is when the lists of names were written, at the latest; zero where there are none.
	ListedAt time.Time
	// AskedAt is when inpod asked for a rollout, at the latest; zero if it never has. The API server cuts it to seconds.
	AskedAt time.Time
}

// Workload returns a workload; ok is false if it does not exist. Pods that carry the sidecar ask for it as their template
// would: the injector may have added it because their namespace asks.
func (o *Observer) Workload(key workload.Key) (w Workload, ok bool) {
	item, ok := o.item(key)
	if !ok {
		return o.strayWorkload(key)
	}
	w, _ = o.acting(item)
	return o.withSourceAnnotations(o.withDefaults(w)), true
}

// Workloads returns the keys of all workloads, in no particular order.
func (o *Observer) Workloads() []workload.Key {
	var keys []workload.Key
	for _, nsCache := range o.watched() {
		keys = append(append(keys, nsCache.keys()...), nsCache.strayKeys()...)
	}
	return keys
}

// Source returns the snapshot of a source, which must not be modified; nil if it does not exist.
func (o *Observer) Source(ref source.Ref) *source.Snapshot {
	switch ref.Kind {
	case source.SecretProviderClass:
		return o.class(ref)
	case source.ClusterTrustBundle:
		return o.bundle(ref)
	case source.ConfigMap, source.Secret:
	}
	informer := o.cacheOf(ref.Namespace).sources[ref.Kind]
	if informer == nil {
		return nil
	}
	item, ok := storedIn[*sourceItem](informer, ref.Namespace, ref.Name)
	if !ok {
		return nil
	}
	return item.snapshot()
}

// Sources returns the sources of a kind that workloads of a namespace may name, sorted by name.
func (o *Observer) Sources(kind source.Kind, namespace string) []source.Ref {
	switch kind {
	case source.SecretProviderClass:
		return o.classNames(namespace)
	case source.ClusterTrustBundle:
		return o.bundleNames()
	case source.ConfigMap, source.Secret:
	}
	informer := o.cacheOf(namespace).sources[kind]
	if informer == nil {
		return nil
	}
	objects, err := informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return nil // the index is made in sourceInformer
	}
	var refs []source.Ref
	for _, object := range objects {
		if item, ok := object.(*sourceItem); ok {
			refs = append(refs, item.ref())
		}
	}
	slices.SortFunc(refs, source.Ref.Compare)
	return refs
}

// workloadsUsing returns the workloads that use or name a source.
func (o *Observer) workloadsUsing(ref source.Ref) []workload.Key {
	nsCaches := []*namespaceCache{o.cacheOf(ref.Namespace)}
	if ref.Kind.ClusterScoped() {
		nsCaches = o.watched()
	}
	var keys []workload.Key
	for _, nsCache := range nsCaches {
		for _, informer := range nsCache.workloads {
			for _, item := range indexed(informer, indexValue(ref)) {
				keys = append(keys, o.related(item.View.Key, item.TemplateOwner)...)
			}
			for _, item := range indexed(informer, anyOf(ref.Kind, ref.Namespace)) {
				if item.Policy.Select(ref, false, false, false, false) == annotation.Named {
					keys = append(keys, o.related(item.View.Key, item.TemplateOwner)...)
				}
			}
		}
	}
	keys = append(keys, straysThatUse(ref, nsCaches)...)
	slices.SortFunc(keys, workload.Key.Compare)
	return slices.Compact(keys)
}

// indexed returns the workloads under one value of the index bySource.
func indexed(informer cache.SharedIndexInformer, value string) []*workloadItem {
	objects, err := informer.GetIndexer().ByIndex(bySource, value)
	if err != nil {
		return nil // the index is made in workloadInformer
	}
	items := make([]*workloadItem, 0, len(objects))
	for _, object := range objects {
		if item, ok := object.(*workloadItem); ok {
			items = append(items, item)
		}
	}
	return items
}

func storedIn[T any](informer cache.SharedIndexInformer, namespace, name string) (item T, ok bool) {
	object, exists, err := informer.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return item, false
	}
	item, ok = object.(T)
	return item, ok
}
