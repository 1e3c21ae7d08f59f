package observe

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// selected is the set of namespaces that a selector picks by their labels. Each has a part of the cache of its own, so
// that the others cost no memory; one that begins to match is reconciled as a whole, and one that ceases to is
// forgotten.
type selected struct {
	namespaces cache.SharedIndexInformer
	synced     cache.DoneChecker
	changed    chan struct{} // of capacity 1: there is something to look at
	complete   chan struct{} // closed when all that matched at the start are in the cache
	open       map[string]*watchedNamespace
}

// watchedNamespace is a namespace whose part of the cache runs.
type watchedNamespace struct {
	*namespaceCache
	close func() // returns when nothing of it runs
}

// Name implements [cache.DoneChecker].
func (s *selected) Name() string { return "selected namespaces" }

// Done implements [cache.DoneChecker].
func (s *selected) Done() <-chan struct{} { return s.complete }

// selectNamespaces prepares a watch of the namespaces that the selector matches.
func (o *Observer) selectNamespaces() error {
	s := &selected{changed: make(chan struct{}, 1), complete: make(chan struct{}), open: map[string]*watchedNamespace{}}
	only := metav1.ListOptions{LabelSelector: o.options.NamespaceSelector}
	s.namespaces = cache.NewSharedIndexInformer(listWatch(o.options.Client, o.options.Client.CoreV1().Namespaces(), only), &corev1.Namespace{}, 0, nil)
	err := s.namespaces.SetTransform(func(object any) (any, error) {
		if meta, ok := object.(*corev1.Namespace); ok {
			return &corev1.Namespace{ObjectMeta: identity(meta)}, nil
		}
		return object, nil
	})
	if err != nil {
		return fmt.Errorf("observing namespaces: %w", err)
	}
	list := func() {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	registration, err := s.namespaces.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { list() },
		DeleteFunc: func(any) { list() },
	})
	if err != nil {
		return fmt.Errorf("observing namespaces: %w", err)
	}
	s.synced = registration.HasSyncedChecker()
	o.selected = s
	o.synced = append(o.synced, s)
	return nil
}

// runSelected keeps the parts of the selected namespaces up to date until ctx ends.
func (o *Observer) runSelected(ctx context.Context) {
	s := o.selected
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { s.namespaces.RunWithContext(ctx) })
	if !cache.WaitFor(ctx, "", s.synced) {
		return
	}
	opening := o.syncNamespaces(ctx)
	running.Go(func() {
		opening.Wait()
		close(s.complete)
	})
	for {
		select {
		case <-s.changed:
			o.syncNamespaces(ctx)
		case <-ctx.Done():
			for _, opened := range s.open {
				opened.close()
			}
			return
		}
	}
}

// syncNamespaces opens and closes parts of the cache until they are those of the namespaces that match. The group is
// done when those that were opened are in the cache.
func (o *Observer) syncNamespaces(ctx context.Context) *sync.WaitGroup {
	s := o.selected
	var opening sync.WaitGroup
	matching := s.namespaces.GetStore().ListKeys()
	for _, namespace := range matching {
		if s.open[namespace] != nil || slices.Contains(o.options.IgnoredNamespaces, namespace) {
			continue
		}
		nsCache, err := o.newNamespaceCache(namespace)
		if err != nil {
			o.options.Log.Error("watching namespace failed", "namespace", namespace, "error", err)
			continue
		}
		s.open[namespace] = o.start(ctx, namespace, nsCache, &opening)
	}
	for namespace, opened := range s.open {
		if slices.Contains(matching, namespace) {
			continue
		}
		delete(s.open, namespace)
		opened.close()
		o.options.Log.Info("namespace removed", "namespace", namespace)
		for _, key := range slices.Concat(opened.keys(), opened.strayKeys()) {
			o.options.Enqueue(key, WorkloadChanged)
		}
	}
	return &opening
}

// start runs a part, and takes it into the cache once it is whole. All of its workloads are enqueued then.
func (o *Observer) start(ctx context.Context, namespace string, p *namespaceCache, opening *sync.WaitGroup) *watchedNamespace {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { p.run(ctx, o.options.Log) })
	opening.Add(1)
	running.Go(func() {
		defer opening.Done()
		if !cache.WaitFor(ctx, "", p.synced...) || !o.publish(ctx, namespace, p) {
			return
		}
		o.options.Log.Info("namespace added", "namespace", namespace)
		for _, key := range slices.Concat(p.keys(), p.strayKeys()) {
			o.options.Enqueue(key, WorkloadChanged)
		}
		if o.options.Skipped == nil {
			return
		}
		for _, subject := range o.subjectsIn(p) {
			o.options.Skipped(subject)
		}
	})
	return &watchedNamespace{namespaceCache: p, close: func() {
		cancel()
		running.Wait()
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.parts, namespace)
	}}
}

// AddNamespace takes a namespace into the cache that was not in it, and keeps that part up to date until ctx ends.
func (o *Observer) AddNamespace(ctx context.Context, namespace string) error {
	nsCache, err := o.newNamespaceCache(namespace)
	if err != nil {
		return err
	}
	var opening sync.WaitGroup
	opened := o.start(ctx, namespace, nsCache, &opening)
	<-ctx.Done()
	opened.close()
	return nil
}

// publish takes a part into the cache, unless it was closed meanwhile.
func (o *Observer) publish(ctx context.Context, namespace string, p *namespaceCache) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	o.parts[namespace] = p
	return true
}
