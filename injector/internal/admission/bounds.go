package admission

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Limits of what callers can make the webhook do. Anybody in the cluster who reaches its port can post to it, unless a client
// authority is configured; the memory limit of the chart is 128 MiB.
const (
	// maxReview is the largest review that is read, in bytes. The API server takes objects of up to 3 MiB and etcd keeps 1.5 MiB,
	// and a review of a creation has little besides the object.
	maxReview = 3<<20 + 64<<10
	// maxElements is the number of members and elements that a review may have. A pod of a thousand containers has fewer. It
	// bounds the time of an answer; what is larger is admitted as it is.
	maxElements = 10_000
	// bytesPerElement is what one element can cost when it is read: `{}` in a list of containers makes a struct of about 1 KB
	// (TestAnElementCostsNoMoreThanItsPrice), and lists grow by copying.
	bytesPerElement = 2 << 10
	// bodies and pods are how much may be held at one time, in bytes, of what was received and of what was read from it.
	bodies = 12 << 20
	pods   = 40 << 20
	// perCaller is the part of both that one address may have. An API server has an address, so that others cannot take its part.
	perCaller = 2
	// patience is how long a review waits for room. The API server waits for the answer ten seconds at most.
	patience = time.Second
	// bodyTimeout is how long a review may take to arrive.
	bodyTimeout = 2 * time.Second
)

// errNoRoom means that too much is under way.
var errNoRoom = errors.New("too many reviews are under way")

// pool is an amount of memory that callers share. Its zero value has no room.
type pool struct {
	room, each int64

	mu    sync.Mutex
	used  int64
	by    map[string]int64
	freed chan struct{} // closed when something is given back
}

func newPool(room int64) *pool {
	return &pool{room: room, each: room / perCaller, by: map[string]int64{}, freed: make(chan struct{})}
}

// take reserves an amount for a caller and returns what gives it back. It waits for room for as long as patience says.
func (p *pool) take(ctx context.Context, caller string, amount int64) (release func(), err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		freed, ok := p.try(caller, amount)
		if ok {
			return sync.OnceFunc(func() { p.give(caller, amount) }), nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", errNoRoom, ctx.Err())
		case <-timer.C:
			return nil, errNoRoom
		}
	}
}

func (p *pool) try(caller string, amount int64) (freed <-chan struct{}, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used+amount > p.room || p.by[caller]+amount > p.each {
		return p.freed, false
	}
	p.used += amount
	p.by[caller] += amount
	return nil, true
}

func (p *pool) give(caller string, amount int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= amount
	if p.by[caller] -= amount; p.by[caller] == 0 {
		delete(p.by, caller)
	}
	close(p.freed)
	p.freed = make(chan struct{})
}

// elements counts what a JSON text would make: an upper bound of the members and elements that its lists and objects have
// together. It reads nothing, so that its cost is that of walking over the bytes.
func elements(text []byte) int {
	count, quoted, escaped := 0, false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped = c == '\\'
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[' || c == ',':
			count++
		}
	}
	return count
}
