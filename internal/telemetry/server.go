package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// readTimeout bounds how long a client may take to send its request, so that idle peers cannot hold sockets.
	readTimeout = 10 * time.Second
	// writeTimeout bounds one answer. A scrape of a large registry takes well under a second.
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
	// shutdownTimeout is what answers that are under way get when the program stops.
	shutdownTimeout = 5 * time.Second
)

// A Check answers a probe: nil is well, an error names in one line what is not.
type Check func() error

// An Endpoint is a path of a [Server]. About is the line that the root page shows for it.
type Endpoint struct {
	Path    string
	About   string
	Handler http.Handler
}

// Server is an HTTP server for probes and scrapes. It has a mux of its own: nothing that a library puts into
// http.DefaultServeMux is ever reachable through it.
type Server struct {
	// WriteTimeout bounds one answer; 0 means 30 s. It is here for profiles, which take as long as they are asked to.
	WriteTimeout time.Duration

	name      string
	address   string
	log       *slog.Logger
	endpoints []Endpoint

	mu       sync.Mutex
	listener net.Listener
}

// NewServer returns a server for the address ("host:port", an empty host means all interfaces) with these endpoints
// and a root page that lists them. The name says in logs and errors what the server is for. Nothing listens yet.
func NewServer(name, address string, log *slog.Logger, endpoints ...Endpoint) *Server {
	return &Server{name: name, address: address, log: log, endpoints: endpoints}
}

// Listen takes the address. It is separate from [Server.Run] so that a port in use is found at the start and not in a
// goroutine. Calling it is optional, and a second call does nothing.
func (s *Server) Listen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("the %s server cannot listen on %q: %w; choose another address or stop the program that uses it",
			s.name, s.address, err)
	}
	s.listener = listener
	return nil
}

// Addr is the address that is listened on, with the real port when the given one was 0; "" before [Server.Listen].
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Run serves until ctx ends, then lets answers that are under way finish for up to 5 s. It returns nil after a stop
// through ctx, and an error when it cannot listen or the listener fails.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Listen(ctx); err != nil {
		return err
	}
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	if s.WriteTimeout != 0 {
		server.WriteTimeout = s.WriteTimeout
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(s.listener) }()
	s.log.Info("serving", "server", s.name, "address", s.Addr())

	select {
	case err := <-served:
		return fmt.Errorf("the %s server on %s failed: %w", s.name, s.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		s.log.Debug("closing open connections", "server", s.name, "error", err)
		return server.Close()
	}
	return nil
}

// Handler returns the endpoints and the root page, for tests that need no socket.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, endpoint := range s.endpoints {
		mux.Handle(endpoint.Path, endpoint.Handler)
	}
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		var page strings.Builder
		fmt.Fprintf(&page, "inpod %s\n\n", s.name)
		for _, endpoint := range slices.SortedFunc(slices.Values(s.endpoints), byPath) {
			fmt.Fprintf(&page, "%-24s %s\n", endpoint.Path, endpoint.About)
		}
		writeText(w, http.StatusOK, page.String())
	})
	return mux
}

func byPath(a, b Endpoint) int { return strings.Compare(a.Path, b.Path) }

// Metrics is the endpoint /metrics for Prometheus.
func Metrics(gatherer prometheus.Gatherer) Endpoint {
	handler := promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{})
	return Endpoint{Path: "/metrics", About: "metrics for Prometheus", Handler: handler}
}

// Live is the endpoint /live: a failure means that only a restart helps.
func Live(check Check) Endpoint {
	return Endpoint{Path: "/live", About: "liveness: 200, or 503 with the reason", Handler: checkHandler(check)}
}

// Ready is the endpoint /ready: a failure means that the program cannot do its work now.
func Ready(check Check) Endpoint {
	return Endpoint{Path: "/ready", About: "readiness: 200, or 503 with the reason", Handler: checkHandler(check)}
}

// AllOf is a check that is well when all its parts are, and otherwise names every part that is not, in one line.
func AllOf(checks ...Check) Check {
	return func() error {
		var failures []string
		for _, check := range checks {
			if err := check(); err != nil {
				failures = append(failures, err.Error())
			}
		}
		if len(failures) == 0 {
			return nil
		}
		return errors.New(strings.Join(failures, "; "))
	}
}

func checkHandler(check Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := check(); err != nil {
			// The kubelet shows the body in one line of an event.
			writeText(w, http.StatusServiceUnavailable, strings.ReplaceAll(err.Error(), "\n", "; ")+"\n")
			return
		}
		writeText(w, http.StatusOK, "ok\n")
	})
}

func writeText(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the peer went away, so the error has no receiver
}
