// Package listen bounds the connections of each address, so that no client can use up those of another.
package listen

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"sync"
)

// Bounds are how many connections there may be.
type Bounds struct {
	// Total is the limit for all, PerAddress that for each address.
	Total, PerAddress int
}

// Bounded accepts connections within bounds. One too many takes the place of another one:
//
//	the address has all that it may have   one of its own that waits, one that had a request first
//	all places are taken                   one of the address that has most, a waiting one first
//
// A connection waits while no request is served on it. Of another address one that never had any goes first; of its own, one that
// had, as a burst of one caller must not end its own handshakes. One with a request is closed for
// an address that has at least two fewer and for nobody else: whoever fills all places gives them up one by one until all have
// the same. So it takes as many addresses as there are places to keep another one out, and the question of one that has few
// connections is not interrupted.
type Bounded struct {
	net.Listener
	bounds Bounds

	mu sync.Mutex
	// open are the connections in the order in which they came or were last used.
	open []*conn
}

// New bounds what a listener accepts.
func New(listener net.Listener, bounds Bounds) *Bounded {
	return &Bounded{Listener: listener, bounds: bounds}
}

// Serve serves on the listener until it is closed. It sets the server's ConnContext and Handler.
func (b *Bounded) Serve(server *http.Server) error {
	b.Prepare(server)
	return server.Serve(b)
}

// Prepare has a server that will serve on the listener, or on TLS over it, note which connections have requests under way. It
// sets the server's ConnContext and Handler.
func (b *Bounded) Prepare(server *http.Server) {
	handler := server.Handler
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if over, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
			c = over.NetConn()
		}
		return context.WithValue(ctx, key{}, c)
	}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(key{}).(*conn); ok {
			b.use(c, 1)
			defer b.use(c, -1)
		}
		handler.ServeHTTP(w, r)
	})
}

// key is where the context of a request has its connection.
type key struct{}

// Accept waits for a connection for which there is a place.
func (b *Bounded) Accept() (net.Conn, error) {
	for {
		accepted, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(accepted.RemoteAddr().String())
		if err != nil {
			host = accepted.RemoteAddr().String()
		}
		c := &conn{Conn: accepted, address: host, listener: b}
		if b.enter(c) {
			return c, nil
		}
		_ = accepted.Close()
	}
}

// enter gives c a place, if there is one or another can be closed for it.
func (b *Bounded) enter(c *conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	victim, ok := place(b.open, b.bounds, c.address)
	if !ok {
		return false
	}
	if victim != nil {
		b.remove(victim)
		_ = victim.Conn.Close()
	}
	b.open = append(b.open, c)
	return true
}

// place reports whether there is a place for one more connection of an address, and which has to be closed for it; nil for none.
// Those that were used longest ago come first.
func place(open []*conn, bounds Bounds, address string) (victim *conn, ok bool) {
	has := map[string]int{}
	for _, c := range open {
		has[c.address]++
	}
	own := has[address]
	isFull := own >= bounds.PerAddress
	if !isFull && len(open) < bounds.Total {
		return nil, true
	}
	for _, c := range open {
		gives := c.address == address && c.requests == 0
		if !isFull && c.address != address {
			gives = has[c.address] > own && c.requests == 0 || has[c.address] > own+1
		}
		if gives && (victim == nil || before(c, victim, has, isFull)) {
			victim = c
		}
	}
	return victim, victim != nil
}

// before reports whether c is closed rather than another one: of its own address, or of the others.
func before(c, other *conn, has map[string]int, ofItsOwn bool) bool {
	if ofItsOwn {
		return c.served > other.served
	}
	return cmp.Or(
		cmp.Compare(has[other.address], has[c.address]), // of the address that has most
		cmp.Compare(min(c.requests, 1), min(other.requests, 1)),
		cmp.Compare(c.served, other.served),
	) < 0
}

// use notes that one more request is served on c, or one less.
func (b *Bounded) use(c *conn, more int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.requests += more
	c.served = 1
	if b.remove(c) {
		b.open = append(b.open, c)
	}
}

func (b *Bounded) remove(c *conn) (was bool) {
	for i, other := range b.open {
		if other == c {
			b.open = append(b.open[:i], b.open[i+1:]...)
			return true
		}
	}
	return false
}

// conn is a connection that has a place.
type conn struct {
	net.Conn
	address  string
	listener *Bounded
	// requests are served on it at this moment. HTTP/2 has several.
	requests int
	// served is 1 when it ever had one, 0 before.
	served int
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.remove(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
