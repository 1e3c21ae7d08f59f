package admission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"inpod.dev/inpod/internal/listen"
)

const (
	// headerTimeout bounds the handshake and the header of a request. On a node without processor time to spare a handshake takes
	// seconds, and an API server waits five for the whole answer (the chart's timeoutSeconds).
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 10 * time.Second
	// idleTimeout is long, since API servers keep their connections, and making one costs more than an answer.
	idleTimeout = 5 * time.Minute
	// maxHeader is the size of a header, in bytes: that of an API server has a few hundred, and two thousand with a token.
	maxHeader = 4 << 10
	// maxConnections is how many there may be, and maxPerAddress how many of one address. An API server speaks HTTP/1.1 to a
	// Service, with a connection for each review under way, and keeps up to 25 for each webhook
	// (k8s.io/apiserver/pkg/util/webhook/client.go); where a proxy stands before several, all of theirs come from its address.
	// When all are taken, an address that has many gives them up for one that has few (package listen).
	maxConnections = 256
	maxPerAddress  = 128
	// stopTimeout is what answers that are under way get when the program stops.
	stopTimeout = 10 * time.Second
)

// Server serves the webhook over TLS.
type Server struct {
	Address string
	TLS     *tls.Config
	Handler http.Handler
	// Drain is how long the server goes on after it was asked to stop. Endpoints and API servers hear of the stop at
	// the same time as it does, and until they have, they call.
	Drain time.Duration
	Log   *slog.Logger

	listener net.Listener
	stopping atomic.Bool
}

// Listen takes the address, so that a port in use is found at the start.
func (s *Server) Listen(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("the webhook cannot listen on %q: %w; choose another address or stop the program that uses it", s.Address, err)
	}
	s.listener = listener
	return nil
}

// Addr is the address that is listened on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Check is for readiness: a server that is about to stop is not ready, so that it gets no new requests.
func (s *Server) Check() error {
	if s.stopping.Load() {
		return errors.New("stopping")
	}
	return nil
}

// Run serves until ctx ends, and then until requests no longer arrive. It returns nil after a stop through ctx.
func (s *Server) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle(PathPods, s.Handler)
	mux.Handle(PathNamespaces, s.Handler)
	server := &http.Server{
		Handler:           mux,
		TLSConfig:         s.TLS,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		Protocols:         new(http.Protocols), // HTTP/2 would hold memory that the bounds do not count, and no API server uses it here
		ErrorLog:          slog.NewLogLogger(connectionLog(s.Log), slog.LevelDebug),
	}
	server.Protocols.SetHTTP1(true)
	served := make(chan error, 1)
	bounded := listen.New(s.listener, listen.Bounds{Total: maxConnections, PerAddress: maxPerAddress})
	bounded.Prepare(server)
	go func() { served <- server.ServeTLS(bounded, "", "") }()
	s.Log.Info("serving", "server", "webhook", "address", s.Addr())

	select {
	case err := <-served:
		return fmt.Errorf("the webhook's server on %s failed: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	s.Log.Info("draining", "server", "webhook", "for", s.Drain)
	select {
	case err := <-served:
		return fmt.Errorf("the webhook's server on %s failed: %w", s.Addr(), err)
	case <-time.NewTimer(s.Drain).C:
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		s.Log.Debug("closing open connections", "server", "webhook", "error", err)
		return server.Close()
	}
	return nil
}
