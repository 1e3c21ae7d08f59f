// Package observe reads the cluster: it keeps small pictures of workloads and
// sources in memory, and says which workloads a change concerns.
//
// Objects are reduced on their way in. Of a ConfigMap or Secret one digest per
// key stays, of a workload a [workload.View]; values and pod templates are
// garbage as soon as they have been looked at. Nothing is decided here.
//
//	list, watch ──► transform: digests, views ──► store, with an index source → workloads
//	                                                  │
//	                    a difference ──► Notify(workload key, what kind of change)
package observe

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// Change says what made a workload worth a look.
type Change string

// The changes.
const (
	SourceChanged   Change = "SourceChanged"   // content that it uses or names is different
	WorkloadChanged Change = "WorkloadChanged" // its template or annotations are different, it is new or it is gone
)

// Options are what an [Observer] needs. All fields are required but Namespaces.
type Options struct {
	Client kubernetes.Interface
	// Dynamic reads the kinds that come as JSON; nil if there are none.
	Dynamic dynamic.Interface
	// Namespaces are the ones to watch; empty means all.
	Namespaces []string
	Keys       annotation.Keys
	// Kinds are the kinds of workloads to watch.
	Kinds workload.Table
	// Notify is called for each workload that a change concerns, from several goroutines. It must not block.
	Notify func(workload.Key, Change)
	Log    *slog.Logger
	// Pods tells to watch the pods that carry the sidecar. Hurry is then called for each workload that uses or names a
	// source that changed, before Notify; it must not block.
	Pods  bool
	Hurry func(workload.Key, source.Ref)
}

// Observer is a picture of the cluster that keeps itself up to date.
type Observer struct {
	options Options
	// sources and workloads are by kind and then by namespace; a picture of all namespaces has the one key "".
	sources   map[source.Kind]map[string]cache.SharedIndexInformer
	workloads map[string]map[string]cache.SharedIndexInformer
	optional  []*optionalKind
	pods      map[string]cache.SharedIndexInformer
	synced    []cache.DoneChecker
}

// New prepares an observer; nothing is read before [Observer.Run].
func New(options Options) (*Observer, error) {
	o := &Observer{
		options:   options,
		sources:   map[source.Kind]map[string]cache.SharedIndexInformer{},
		workloads: map[string]map[string]cache.SharedIndexInformer{},
		pods:      map[string]cache.SharedIndexInformer{},
	}
	namespaces := options.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	for _, kind := range options.Kinds {
		o.workloads[kind.Name] = map[string]cache.SharedIndexInformer{}
		var optional *optionalKind
		if kind.Path != nil {
			optional = o.mayLack(kind)
		}
		for _, namespace := range namespaces {
			informer, err := o.workloadInformer(kind, namespace, optional)
			if err != nil {
				return nil, err
			}
			o.workloads[kind.Name][namespace] = informer
		}
	}
	for _, kind := range []source.Kind{source.ConfigMap, source.Secret} {
		o.sources[kind] = map[string]cache.SharedIndexInformer{}
		for _, namespace := range namespaces {
			informer, err := o.sourceInformer(kind, namespace)
			if err != nil {
				return nil, err
			}
			o.sources[kind][namespace] = informer
		}
	}
	if !options.Pods {
		return o, nil
	}
	for _, namespace := range namespaces {
		informer, err := o.podInformer(namespace)
		if err != nil {
			return nil, err
		}
		o.pods[namespace] = informer
	}
	return o, nil
}

// Run keeps the picture up to date until ctx ends.
func (o *Observer) Run(ctx context.Context) {
	var informers sync.WaitGroup
	for _, informer := range o.all() {
		informers.Go(func() { informer.RunWithContext(ctx) })
	}
	for _, kind := range o.optional {
		informers.Go(func() { o.runOptional(ctx, kind) })
	}
	informers.Wait()
}

// WaitForSync returns true once everything that existed at the start has been seen, and false if ctx ends first.
func (o *Observer) WaitForSync(ctx context.Context) bool {
	return cache.WaitFor(ctx, "", o.synced...)
}

// HasSynced tells whether everything that existed at the start has been seen.
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

// all returns what is there for sure.
func (o *Observer) all() []cache.SharedIndexInformer {
	var all []cache.SharedIndexInformer
	for _, byNamespace := range o.sources {
		for _, informer := range byNamespace {
			all = append(all, informer)
		}
	}
	for _, kind := range o.options.Kinds {
		if kind.Path != nil {
			continue // see runOptional
		}
		for _, informer := range o.workloads[kind.Name] {
			all = append(all, informer)
		}
	}
	for _, informer := range o.pods {
		all = append(all, informer)
	}
	return all
}

// in returns the informer for a namespace, nil if the namespace is not watched.
func in(byNamespace map[string]cache.SharedIndexInformer, namespace string) cache.SharedIndexInformer {
	if informer, ok := byNamespace[""]; ok {
		return informer
	}
	return byNamespace[namespace]
}

// Workload is a workload with what its user asked for.
type Workload struct {
	workload.View

	Policy   annotation.Policy
	Problems []annotation.Problem
}

// Workload returns a workload; ok is false if it does not exist. Pods that carry the sidecar ask for it as their template
// would: the injector may have added it because their namespace asks.
func (o *Observer) Workload(key workload.Key) (w Workload, ok bool) {
	item, ok := o.item(key)
	if !ok {
		return Workload{}, false
	}
	w = item.Workload
	if borrowers := o.borrowers(key); item.Lender != (workload.Key{}) {
		w = o.borrowing(item)
	} else if len(borrowers) > 0 {
		w = o.lending(item, borrowers)
	}
	w.Policy.Injected = w.Policy.Injected || o.carriesSidecar(key)
	return w, true
}

// Workloads returns the keys of all workloads, in no particular order.
func (o *Observer) Workloads() []workload.Key {
	var keys []workload.Key
	for _, byNamespace := range o.workloads {
		for _, informer := range byNamespace {
			for _, object := range informer.GetStore().List() {
				if item, ok := object.(*workloadItem); ok {
					keys = append(keys, item.View.Key)
				}
			}
		}
	}
	return keys
}

// Source returns the snapshot of a source, which must not be modified; nil if it does not exist.
func (o *Observer) Source(ref source.Ref) *source.Snapshot {
	informer := in(o.sources[ref.Kind], ref.Namespace)
	if informer == nil {
		return nil
	}
	item, ok := lookUp[*sourceItem](informer, ref.Namespace, ref.Name)
	if !ok {
		return nil
	}
	return &item.Snapshot
}

// Sources returns the sources of a kind in a namespace, sorted by name.
func (o *Observer) Sources(kind source.Kind, namespace string) []source.Ref {
	informer := in(o.sources[kind], namespace)
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
			refs = append(refs, item.Ref)
		}
	}
	slices.SortFunc(refs, source.Ref.Compare)
	return refs
}

// dependents returns the workloads that use or name a source.
func (o *Observer) dependents(ref source.Ref) []workload.Key {
	var keys []workload.Key
	for _, byNamespace := range o.workloads {
		informer := in(byNamespace, ref.Namespace)
		if informer == nil {
			continue
		}
		for _, item := range indexed(informer, indexValue(ref)) {
			keys = append(keys, o.related(item.View.Key, item.Lender)...)
		}
		for _, item := range indexed(informer, anyOf(ref.Kind, ref.Namespace)) {
			if item.Policy.Select(ref, false, false, false, false) == annotation.Named {
				keys = append(keys, o.related(item.View.Key, item.Lender)...)
			}
		}
	}
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

func lookUp[T any](informer cache.SharedIndexInformer, namespace, name string) (item T, ok bool) {
	object, exists, err := informer.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return item, false
	}
	item, ok = object.(T)
	return item, ok
}
