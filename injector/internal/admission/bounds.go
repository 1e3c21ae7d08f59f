package admission

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Limits of what callers can make the webhook do. Anybody in the cluster who reaches its port can post to it, unless a client
// CA is configured; the memory limit of the chart is 128 MiB.
const (
	// maxReview is the largest review that is read, in bytes. The API server takes objects of up to 3 MiB and etcd keeps 1.5 MiB,
	// and a review of a creation has little besides the object.
	maxReview = 3<<20 + 64<<10
	// maxElements is the number of members and elements that a review may have, without those of managedFields. A pod of a hundred
	// containers with thirty variables each has about as many. It bounds the time of an answer; what is larger is admitted as it
	// is.
	maxElements = 8_000
	// bytesPerElement is what one element can cost when it is read: `{}` in a list of containers makes a struct of about 1 KB, and
	// lists grow by copying (TestAnElementCostsNoMoreThanItsPrice).
	bytesPerElement = 1536
	// bytesPerAdded is what one byte of what is added to a pod can cost until the answer is written: six in the patch, which is written
	// and copied, encoded once more for the answer, and copied with it (TestAnAnswerCostsNoMoreThanItsPrice).
	bytesPerAdded = 40
	// bodies, pods and answers are how much may be held at one time, in bytes, of what was received, of what was read from it, and
	// of what is answered. A review takes of them in this order. They are apart, so that reviews which hold a part each never
	// wait for each other.
	bodies  = 14 << 20
	pods    = 48 << 20
	answers = 11 << 20
	// shares is into how many parts each is divided: one address may have one. An API server has an address of its own, so that
	// as many others have to act together to take its part.
	shares = 4
	// Half of each is for addresses that hold little: a 32nd part of the whole, which is 7 reviews of the usual size, or a pod of
	// 1,000 elements. So many addresses that post all they can keep none from being answered that asks as usual.
	large  = 2
	little = 32
	// step is the amount in which room for a body is taken while it arrives, so that who announces much and sends nothing holds
	// nothing.
	step = 64 << 10
	// patience is how long a review waits for room. The API server waits for the answer ten seconds at most.
	patience = time.Second
	// bodyTimeout is how long a review may take to arrive.
	bodyTimeout = 2 * time.Second
)

// errNoRoom means that too much is under way.
var errNoRoom = errors.New("too many reviews are under way")

// pool is an amount of memory that callers share. Its zero value has no room.
type pool struct {
	room, each, large, little int64

	mu    sync.Mutex
	used  int64
	by    map[string]int64
	freed chan struct{} // closed when something is given back
}

func newPool(room int64) *pool {
	return &pool{room: room, each: room / shares, large: room / large, little: max(1, room/little), by: map[string]int64{}, freed: make(chan struct{})}
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
	holds, room := p.by[caller]+amount, p.large
	if holds <= p.little {
		room = p.room
	}
	if p.used+amount > room || holds > p.each {
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
// together. What managedFields say of the fields is left out: the decoder keeps it as text. Nothing is decoded, so that the cost
// is that of walking over the bytes.
func elements(text []byte) int {
	const raw = `"fieldsV1"`
	count := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			end := stringEnd(text, i)
			if string(text[i:end]) == raw {
				end = valueEnd(text, end)
			}
			i = end - 1
		case '{', '[', ',':
			count++
		}
	}
	return count
}

// stringEnd is where the string that begins at a position ends, behind its last quote.
func stringEnd(text []byte, at int) int {
	for at++; at < len(text); at++ {
		switch text[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(text)
}

// valueEnd is where the object or list ends that follows a colon. Anything else ends where it begins, and is counted.
func valueEnd(text []byte, at int) int {
	begin, depth := at, 0
	for ; at < len(text); at++ {
		switch text[at] {
		case ' ', '\t', '\r', '\n', ':':
		case '"':
			if depth == 0 {
				return begin
			}
			at = stringEnd(text, at) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return at + 1
			}
		default:
			if depth == 0 {
				return begin
			}
		}
	}
	return at
}
