// Package listen bounds the connections that others can hold open, so that nobody can use up what another is due.
package listen

import (
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

// Bounded accepts connections within bounds. One too many takes the place of the connection that waits longest without a
// request being served on it, of the same address first; where there is none, it is closed at once.
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
	own := 0
	for _, other := range b.open {
		if other.address == c.address {
			own++
		}
	}
	room := len(b.open) < b.bounds.Total
	switch {
	case own >= b.bounds.PerAddress:
		room = b.shed(func(other *conn) bool { return other.address == c.address })
	case !room:
		room = b.shed(func(*conn) bool { return true })
	}
	if room {
		b.open = append(b.open, c)
	}
	return room
}

// shed closes the connection that has waited longest. The caller holds the lock.
func (b *Bounded) shed(candidate func(*conn) bool) bool {
	for _, c := range b.open {
		if c.requests == 0 && candidate(c) {
			b.remove(c)
			_ = c.Conn.Close()
			return true
		}
	}
	return false
}

// use notes that one more request is served on c, or one less.
func (b *Bounded) use(c *conn, more int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.requests += more
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
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.remove(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
