package cluster

import (
	"sync"
	"time"

	"inpod.dev/inpod/e2e/cluster/internal/procs"
)

// restarts allows each component a few more attempts. A process that was killed a moment ago may still look alive, and one
// that looks dead may still hold its port: a big process takes a while to go, thread by thread.
type restarts struct {
	mu      sync.Mutex
	daemons map[string]procs.Daemon
	used    map[string]int
}

const (
	attempts     = 3
	restartPause = 700 * time.Millisecond
)

func (r *restarts) add(daemon procs.Daemon) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.daemons == nil {
		r.daemons, r.used = map[string]procs.Daemon{}, map[string]int{}
	}
	r.daemons[daemon.Name] = daemon
}

// next returns a component to start again, after a pause, unless its attempts are used up.
func (r *restarts) next(name string) (procs.Daemon, bool) {
	r.mu.Lock()
	daemon, known := r.daemons[name]
	if known {
		r.used[name]++
	}
	used := r.used[name]
	r.mu.Unlock()
	if !known || used > attempts {
		return procs.Daemon{}, false
	}
	time.Sleep(restartPause)
	return daemon, true
}
