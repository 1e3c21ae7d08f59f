//go:build presets

package presets

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// asked is a request that a server made.
type asked struct{ peer, password, path, body string }

// peers stand for what a monitoring server speaks to: two HTTPS servers with the certificates of v1 (at port2) and v2 (at
// port3), and what was asked of them.
type peers struct {
	mu  sync.Mutex
	all []asked
}

var (
	peersMu sync.Mutex
	peersOf = map[string]*peers{}
)

// startPeers starts the peers of a case, plain ones without certificates if plain.
func startPeers(t *testing.T, e env, plain bool) {
	t.Helper()
	p := &peers{}
	peersMu.Lock()
	peersOf[e.conf] = p
	peersMu.Unlock()
	for version, port := range map[string]int{"v1": e.port2, "v2": e.port3} {
		server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, password, _ := r.BasicAuth()
			p.note(asked{version, password, r.URL.Path, string(body)})
			fmt.Fprintln(w, "up_"+version+" 1")
		})}
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		must(t, err)
		if !plain {
			cert, err := tls.X509KeyPair([]byte(pairOf(version).cert), []byte(pairOf(version).key))
			must(t, err)
			listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{cert}}) //nolint:gosec // a test
		}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { _ = server.Close() })
	}
}

func (p *peers) note(a asked) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, a)
}

// next waits for a request that begins from now on, and about which of says something.
func (p *peers) next(of func(asked) string) string {
	p.mu.Lock()
	from := len(p.all)
	p.mu.Unlock()
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		for _, a := range p.all[from:] {
			if said := of(a); said != "" {
				p.mu.Unlock()
				return said
			}
		}
		p.mu.Unlock()
	}
	return ""
}

// peerSees shows what the next request says, after prompt has made the server ask.
func peerSees(prompt func(e env), of func(asked) string) func(env) (string, error) {
	return func(e env) (string, error) {
		peersMu.Lock()
		p := peersOf[e.conf]
		peersMu.Unlock()
		if prompt != nil {
			go prompt(e)
		}
		return p.next(of), nil
	}
}
