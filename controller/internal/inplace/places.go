package inplace

import (
	"context"
	"sync"

	"inpod.dev/inpod/controller/internal/observe"
)

// places bounds what is under way at the same time. Those that wait get a place in turn, namespace after namespace and in it
// workload after workload, so that nobody waits for all the pods of somebody else.
type places struct {
	mu      sync.Mutex
	free    int
	waiting fairQueue[*placeWait]
}

// placeWait is one that waits for a place.
type placeWait struct {
	granted chan struct{} // closed with the place
	left    bool          // it waits no more
}

func newPlaces(n int) *places { return &places{free: n} }

// admit waits for a place, until ctx ends, and returns what gives it back. It is that of a [Way].
func (p *places) admit(ctx context.Context, pod observe.Pod) (leave func(), err error) {
	p.mu.Lock()
	if p.free > 0 {
		p.free--
		p.mu.Unlock()
		return p.give, nil
	}
	wait := &placeWait{granted: make(chan struct{})}
	p.waiting.push([]string{pod.Namespace, pod.Workload.String()}, wait)
	p.mu.Unlock()
	select {
	case <-wait.granted:
		return p.give, nil
	case <-ctx.Done():
		p.leave(wait)
		return nil, context.Cause(ctx)
	}
}

// leave takes one that waits out, and passes its place on if it has got one meanwhile.
func (p *places) leave(wait *placeWait) {
	p.mu.Lock()
	select {
	case <-wait.granted:
		p.mu.Unlock()
		p.give()
	default:
		wait.left = true
		p.mu.Unlock()
	}
}

// give gives a place back.
func (p *places) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		wait, ok := p.waiting.pop(everybody)
		switch {
		case !ok:
			p.free++
			return
		case !wait.left:
			close(wait.granted)
			return
		}
	}
}
