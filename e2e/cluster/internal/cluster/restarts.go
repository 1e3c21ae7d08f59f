package cluster

import (
	"sync"
	"time"

	"inpod.dev/inpod/e2e/cluster/internal/daemon"
)

// restarts allows each component a few more attempts. A process that was killed a moment ago may still look alive, and
// one that seems dead may still hold its port: a big process takes a while to go, thread by thread.
type restarts struct {
	mu      sync.Mutex
	daemons map[string]daemon.Daemon
	used    map[string]int
}

const (
	attempts     = 3
	restartPause = 700 * time.Millisecond
)

func (r *restarts) add(process daemon.Daemon) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.daemons == nil {
		r.daemons, r.used = map[string]daemon.Daemon{}, map[string]int{}
	}
	r.daemons[process.Name] = process
}

// next returns a component to start again, after a pause, unless its attempts are used up.
func (r *restarts) next(name string) (daemon.Daemon, bool) {
	r.mu.Lock()
	process, known := r.daemons[name]
	if known {
		r.used[name]++
	}
	used := r.used[name]
	r.mu.Unlock()
	if !known || used > attempts {
		return daemon.Daemon{}, false
	}
	time.Sleep(restartPause)
	return process, true
}
