package notice

import (
	"sync"

	"k8s.io/client-go/util/workqueue"

	"inpod.dev/inpod/controller/internal/observe"
)

// Queue holds the subjects to report on, each once. It exists before the observer and the [Reporter], and drops everything while
// another replica leads: a new leader reports on everything.
type Queue struct {
	mu    sync.Mutex
	items workqueue.TypedDelayingInterface[observe.Subject] // nil while another replica leads
}

// NewQueue returns a queue that drops everything until a [Reporter] with it runs.
func NewQueue() *Queue { return &Queue{} }

// Add asks for a subject to be reported on. It never blocks.
func (q *Queue) Add(subject observe.Subject) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.items != nil {
		q.items.Add(subject)
	}
}

// start makes the queue hold what is added from now on.
func (q *Queue) start() workqueue.TypedDelayingInterface[observe.Subject] {
	items := workqueue.NewTypedDelayingQueue[observe.Subject]()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = items
	return items
}

// stop makes the queue drop what is added from now on, and ends those that wait for an item.
func (q *Queue) stop() {
	q.mu.Lock()
	items := q.items
	q.items = nil
	q.mu.Unlock()
	items.ShutDown()
}
