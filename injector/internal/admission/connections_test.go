package admission_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"inpod.dev/inpod/injector/internal/admission"
	"inpod.dev/inpod/injector/internal/certs"
)

// serveReviews runs a server on all loopback addresses until the test ends, and returns its port.
func serveReviews(t *testing.T, handler http.Handler) (port string) {
	t.Helper()
	served := certs.NewServed(prometheus.NewPedanticRegistry())
	serveTestCertificate(t, served)
	server := &admission.Server{Address: "0.0.0.0:0", TLS: served.Config(), Handler: handler, Log: slog.New(slog.DiscardHandler)}
	if err := server.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	_, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func dialerFrom(address string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
}

// clientAt is an API server, or somebody else, with an address.
func clientAt(t *testing.T, address string) *http.Client {
	t.Helper()
	transport := &http.Transport{
		DialContext: dialerFrom(address).DialContext, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// post returns the status of an answer, 0 for none.
func post(ctx context.Context, client *http.Client, port, path string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://127.0.0.1:"+port+path, strings.NewReader("{}"))
	if err != nil {
		return 0
	}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// Whoever holds connections open keeps no API server from asking.
func TestConnectionsOfOneAddressKeepNoOtherFromAsking(t *testing.T) {
	t.Parallel()
	port := serveReviews(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	before := clientAt(t, "127.0.0.2")
	if got := post(t.Context(), before, port, admission.PathPods); got != http.StatusOK {
		t.Fatalf("before: %d", got)
	}
	for i := range 300 {
		c, err := dialerFrom("127.0.0.1").DialContext(t.Context(), "tcp4", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if i%2 == 0 {
			_, _ = io.WriteString(c, "\x16\x03\x01") // the beginning of a handshake
		}
	}
	for i := range 8 {
		if got := post(t.Context(), before, port, admission.PathPods); got != http.StatusOK {
			t.Errorf("question %d of one that has a connection: %d", i, got)
		}
		if got := post(t.Context(), clientAt(t, "127.0.0.3"), port, admission.PathPods); got != http.StatusOK {
			t.Errorf("question %d of one that has none: %d", i, got)
		}
	}
}

// A connection of HTTP/2 has several questions at a time, and is none that waits while one of them is open.
func TestAConnectionIsInUseWhileAnyQuestionIs(t *testing.T) {
	t.Parallel()
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	port := serveReviews(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == admission.PathNamespaces {
			held <- struct{}{}
			<-hold
		}
	}))
	client := clientAt(t, "127.0.0.1")
	answer := make(chan int, 1)
	if got := post(t.Context(), client, port, admission.PathPods); got != http.StatusOK { // a connection that both share
		t.Fatal(got)
	}
	go func() { answer <- post(t.Context(), client, port, admission.PathNamespaces) }()
	<-held
	if got := post(t.Context(), client, port, admission.PathPods); got != http.StatusOK {
		t.Fatal(got)
	}
	for range 100 { // more than an address may have: others of it are closed
		c, err := dialerFrom("127.0.0.1").DialContext(t.Context(), "tcp4", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	if got := post(t.Context(), clientAt(t, "127.0.0.1"), port, admission.PathPods); got != http.StatusOK {
		t.Errorf("a new connection of the address: %d", got)
	}
	close(hold)
	if got := <-answer; got != http.StatusOK {
		t.Errorf("the question that was open: %d", got)
	}
}
