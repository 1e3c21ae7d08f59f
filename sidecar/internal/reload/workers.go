package reload

import (
	"context"
	"slices"
	"strconv"
	"strings"
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

// newWorkers sees whether the master has renewed its workers: there is one that started after the trigger, and each of
// those before is gone, or is known to be on its way out. A worker that crashed and was replaced, or one more of a pool
// that grows, is no proof.
func (r *Reloader) newWorkers(master process.Process, before map[worker]bool, since time.Duration) func(context.Context) verdict {
	var listened map[worker]bool
	if r.Plan.Row.Proof.WorkersRead {
		listened = r.listening(before)
	}
	return func(context.Context) verdict {
		now, _ := r.workers(master)
		renewed, old, ignored := false, map[worker]bool{}, r.Plan.Row.Proof.WorkersRead && r.masterReads(master)
		fresh := map[worker]bool{}
		for w := range now {
			switch {
			case before[w] && !ignored && !r.draining(w.pid):
				old[w] = true
			case !before[w] && w.start >= since-process.Resolution:
				renewed, fresh[w] = true, true
			}
		}
		switch {
		case renewed && len(old) > 0 && !r.handedOver(old, fresh, listened):
			return partly
		case renewed:
			return yes
		}
		return wait
	}
}

// listening returns the workers that are known to listen at a port.
func (r *Reloader) listening(workers map[worker]bool) map[worker]bool {
	found := map[worker]bool{}
	for w := range workers {
		if sockets, known := r.Table.Listening(w.pid); known && len(sockets) > 0 {
			found[w] = true
		}
	}
	return found
}

// handedOver reports whether each old worker is known to have let go of its ports, while a new one listens. A master has the old
// ones do that when a new one has read its files, holds its ports and has said that it is ready. A server's own check of the files
// says less: it binds no port.
func (r *Reloader) handedOver(old, fresh, listened map[worker]bool) bool {
	for w := range old {
		if sockets, known := r.Table.Listening(w.pid); !listened[w] || !known || len(sockets) > 0 {
			return false
		}
	}
	return len(r.listening(fresh)) > 0
}

// masterReads reports whether the master is known to have read the configuration before it started a worker, by the
// version that it left in its environment when it started itself again. Only a reload starts one then.
func (r *Reloader) masterReads(master process.Process) bool {
	proof := r.Plan.Row.Proof
	for _, pair := range r.variables(&master) {
		text, is := strings.CutPrefix(pair, proof.Version+"=")
		numbers := strings.FieldsFunc(text, func(c rune) bool { return c < '0' || c > '9' })
		if !is || len(numbers) < len(proof.MasterReadsBefore) {
			continue
		}
		var version [len(proof.MasterReadsBefore)]int
		for i := range version {
			version[i], _ = strconv.Atoi(numbers[i])
		}
		return slices.Compare(version[:], proof.MasterReadsBefore[:]) < 0
	}
	return false
}

// draining reports whether the title of a worker says that it only ends what it has begun.
func (r *Reloader) draining(pid int) bool {
	title := r.Plan.Row.Proof.Draining
	if title == "" {
		return false
	}
	p, err := r.Table.Get(pid)
	return err == nil && strings.Contains(strings.Join(p.Args, " "), title)
}
