package observe

import (
	"context"
	"log/slog"
	"sync"

	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// namespaceCache is the cache of one namespace, or of all of them. It keeps itself up to date while it runs.
type namespaceCache struct {
	health    *watchHealth
	sources   map[source.Kind]cache.SharedIndexInformer
	workloads map[string]cache.SharedIndexInformer // by the name of the kind
	classes   *classes                             // nil if SecretProviderClasses are not watched
	pods      cache.SharedIndexInformer            // nil if pods are not watched
	always    []cache.SharedIndexInformer          // those of all of these that the API server surely serves
	optional  []*optionalInformer
	listed    []*listed // the parts that are compared with lists
	synced    []cache.DoneChecker
}

// newNamespaceCache prepares the cache of a namespace, or of all of them for "".
func (o *Observer) newNamespaceCache(namespace string) (*namespaceCache, error) {
	p := &namespaceCache{health: newWatchHealth(), sources: map[source.Kind]cache.SharedIndexInformer{}, workloads: map[string]cache.SharedIndexInformer{}}
	for _, kind := range o.options.Kinds {
		if kind.Path != nil {
			continue
		}
		informer, synced, err := o.workloadInformer(p, kind, namespace, nil, p.health)
		if err != nil {
			return nil, err
		}
		p.workloads[kind.Name] = p.add(informer, synced)
	}
	for _, optional := range o.optional {
		informer, synced, err := o.workloadInformer(p, optional.kind, namespace, optional, nil)
		if err != nil {
			return nil, err
		}
		i := &optionalInformer{SharedIndexInformer: informer, of: optional, synced: synced, settled: make(chan struct{})}
		p.optional = append(p.optional, i)
		p.synced = append(p.synced, i)
		p.workloads[optional.kind.Name] = informer
	}
	for _, kind := range o.options.Sources {
		if kind.ClusterScoped() {
			continue
		}
		if kind == source.SecretProviderClass {
			if err := o.watchClasses(p, namespace); err != nil {
				return nil, err
			}
			continue
		}
		informer, synced, err := o.sourceInformer(p, kind, namespace)
		if err != nil {
			return nil, err
		}
		p.sources[kind] = p.add(informer, synced)
	}
	if o.options.Pods {
		informer, synced, err := o.podInformer(namespace)
		if err != nil {
			return nil, err
		}
		p.pods = p.add(informer, synced)
	}
	return p, nil
}

func (p *namespaceCache) add(informer cache.SharedIndexInformer, synced cache.DoneChecker) cache.SharedIndexInformer {
	p.always = append(p.always, informer)
	p.synced = append(p.synced, synced)
	return informer
}

// run keeps the cache up to date until ctx ends.
func (p *namespaceCache) run(ctx context.Context, log *slog.Logger) {
	var running sync.WaitGroup
	for _, informer := range p.always {
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	for _, informer := range p.optional {
		running.Go(func() { informer.run(ctx, log) })
	}
	running.Wait()
}

// keys names the workloads, in no particular order.
func (p *namespaceCache) keys() []workload.Key {
	var keys []workload.Key
	for _, informer := range p.workloads {
		for _, object := range informer.GetStore().List() {
			if item, ok := object.(*workloadItem); ok {
				keys = append(keys, item.View.Key)
			}
		}
	}
	return keys
}

// Kept counts what is in memory, by kind: "Secret", "Deployment", …, and "Pod" for those that carry the sidecar.
func (o *Observer) Kept() map[string]int {
	kept := map[string]int{}
	count := func(kind string, informer cache.SharedIndexInformer) {
		if informer != nil {
			kept[kind] += len(informer.GetStore().ListKeys())
		}
	}
	if o.bundles != nil {
		count(o.bundles.of.kind.Name, o.bundles)
	}
	for _, nsCache := range o.watched() {
		for kind, informer := range nsCache.sources {
			count(string(kind), informer)
		}
		for kind, informer := range nsCache.workloads {
			count(kind, informer)
		}
		if nsCache.pods != nil {
			kept["Pod"] += len(nsCache.pods.GetIndexer().ListKeys()) - skippedIn(nsCache.pods)
		}
	}
	return kept
}
