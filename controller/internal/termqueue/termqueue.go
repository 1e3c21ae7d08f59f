// Package termqueue has a work queue that exists before its users, and holds items only while this replica leads.
package termqueue

import (
	"sync"

	"k8s.io/client-go/util/workqueue"
)

// Queue passes items on to the work queue of the current term, and drops them while another replica leads. Its zero value is ready.
type Queue[T comparable] struct {
	mu    sync.Mutex
	items workqueue.TypedInterface[T] // nil while another replica leads
}

// Add adds an item, once until it is taken. It never blocks.
func (q *Queue[T]) Add(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.items != nil {
		q.items.Add(item)
	}
}

// Start begins a term: items get what is added from now on.
func (q *Queue[T]) Start(items workqueue.TypedInterface[T]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = items
}

// Stop ends the term: what is added from now on is dropped, and those that wait for an item go on without one.
func (q *Queue[T]) Stop() {
	q.mu.Lock()
	items := q.items
	q.items = nil
	q.mu.Unlock()
	items.ShutDown()
}
