package notice

import (
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/termqueue"
)

// Queue holds the subjects to report on, each once. It exists before the observer and the [Reporter], and drops everything while
// another replica leads: a new leader reports on everything.
type Queue = termqueue.Queue[observe.Subject]

// NewQueue returns a queue that drops everything until a [Reporter] with it runs.
func NewQueue() *Queue { return &Queue{} }
