package reload

import (
	"context"
	"time"

	"inpod.dev/inpod/sidecar/internal/process"
)

// worker is the identity of a process.
type worker struct {
	pid   int
	start time.Duration
}

// workers are the present children that run the master's own program, and not one that it started for some purpose.
// Without any there is nothing to be renewed.
func (r *Reloader) workers(master process.Process) (map[worker]bool, bool) {
	children, err := r.Table.Children(master.PID)
	if err != nil {
		return nil, false
	}
	workers := map[worker]bool{}
	for _, c := range children {
		if c.Comm == master.Comm {
			workers[worker{c.PID, c.Start}] = true
		}
	}
	return workers, len(workers) > 0
}

// newWorkers sees whether the master has started a worker that was not there before. Old ones may stay for as long as
// their connections do.
func (r *Reloader) newWorkers(master process.Process, before map[worker]bool) func(context.Context) verdict {
	return func(context.Context) verdict {
		now, _ := r.workers(master)
		for w := range now {
			if !before[w] {
				return yes
			}
		}
		return wait
	}
}
