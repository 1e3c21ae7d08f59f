//go:build e2e

package framework

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// Recorder counts the edits of pod templates in one namespace, each of which is a rollout. It sees every write, so that
// two that follow each other closely are two. (The generation does not show it: that of a Deployment also counts edits
// of its annotations.)
type Recorder struct {
	cluster   *Cluster
	namespace string

	mu       sync.Mutex
	seen     map[Workload]record
	failure  error
	progress chan struct{} // closed, and made again, when anything above changes
}

// record is what was seen of one workload.
type record struct {
	template string
	edits    int
	version  uint64
}

// Record begins to count, until ctx ends. Templates that there are already count nothing.
func (c *Cluster) Record(ctx context.Context, namespace string) (*Recorder, error) {
	r := &Recorder{cluster: c, namespace: namespace, seen: map[Workload]record{}, progress: make(chan struct{})}
	for kind, resource := range kinds() {
		_, watcher, err := ListAndWatch(ctx, c.Client.AppsV1().RESTClient(), resource, namespace, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		go r.follow(ctx, kind, watcher)
	}
	return r, nil
}

func (r *Recorder) follow(ctx context.Context, kind string, watcher watch.Interface) {
	for event := range watcher.ResultChan() {
		var err error
		switch event.Type {
		case watch.Added, watch.Modified:
			err = r.see(kind, event.Object)
		case watch.Error:
			err = fmt.Errorf("watching %ss of %s: %v", kind, r.namespace, event.Object)
		case watch.Deleted, watch.Bookmark:
		}
		if err != nil {
			r.change(func() { r.failure = err })
			return
		}
	}
	r.change(func() {
		r.failure = fmt.Errorf("watching %ss of %s has ended: %w", kind, r.namespace, context.Cause(ctx))
	})
}

func (r *Recorder) see(kind string, object runtime.Object) error {
	state, err := stateOf(object)
	if err != nil {
		return err
	}
	template, err := json.Marshal(state.Template)
	if err != nil {
		return err
	}
	version, err := strconv.ParseUint(state.ResourceVersion, 10, 64)
	if err != nil {
		return err
	}
	w := Workload{kind, r.namespace, state.Name}
	r.change(func() {
		was, known := r.seen[w]
		now := record{template: string(template), edits: was.edits, version: version}
		if known && was.template != now.template {
			now.edits++
		}
		r.seen[w] = now
	})
	return nil
}

func (r *Recorder) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.progress)
	r.progress = make(chan struct{})
}

// Counts returns how often the template of each workload was edited so far, as of the state that the API server has
// now.
func (r *Recorder) Counts(ctx context.Context) (map[Workload]int, error) {
	states, err := r.cluster.States(ctx, r.namespace)
	if err != nil {
		return nil, err
	}
	counts := map[Workload]int{}
	for w, state := range states {
		version, err := strconv.ParseUint(state.ResourceVersion, 10, 64)
		if err != nil {
			return nil, err
		}
		err = r.await(ctx, func() bool { counts[w] = r.seen[w].edits; return r.seen[w].version >= version })
		if err != nil {
			return nil, fmt.Errorf("%s: waited for its present state to be seen: %w", w, err)
		}
	}
	return counts, nil
}

// Await waits until the template of a workload was edited a number of times, since the recorder began.
func (r *Recorder) Await(ctx context.Context, w Workload, count int) error {
	var last int
	err := r.await(ctx, func() bool { last = r.seen[w].edits; return last >= count })
	if err != nil {
		return fmt.Errorf("%s: waited for rollout %d, there were %d: %w", w, count, last, err)
	}
	return nil
}

// await waits for a condition on what was seen.
func (r *Recorder) await(ctx context.Context, condition func() bool) error {
	for {
		r.mu.Lock()
		done, failure, progress := condition(), r.failure, r.progress
		r.mu.Unlock()
		switch {
		case done:
			return nil
		case failure != nil:
			return failure
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
