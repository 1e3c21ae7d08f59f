package listen_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"inpod.dev/inpod/internal/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves a page on all loopback addresses. What asks for /hold gets its answer when hold is closed.
func serve(t *testing.T, bounds listen.Bounds) (port string, hold chan struct{}, held chan struct{}) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	hold, held = make(chan struct{}), make(chan struct{}, 1000)
	server := &http.Server{ReadHeaderTimeout: time.Hour, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			held <- struct{}{}
			<-hold
		}
	})}
	done := make(chan error, 1)
	go func() { done <- listen.New(listener, bounds).Serve(server) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port, hold, held
}

func dialer(from string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
}

// open opens connections that send the beginning of a request, or nothing at all.
func open(t *testing.T, from, port string, number int) {
	t.Helper()
	for i := range number {
		c, err := dialer(from).DialContext(t.Context(), "tcp4", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if i%2 == 0 {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost")
		}
	}
}

func get(ctx context.Context, from, port, path string) error {
	transport := &http.Transport{DialContext: dialer(from).DialContext, DisableKeepAlives: true}
	return ask(ctx, &http.Client{Transport: transport, Timeout: time.Minute}, port, path)
}

func ask(ctx context.Context, client *http.Client, port, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port+path, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func TestHalfOpenConnections(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		bounds listen.Bounds
		from   []string
		asks   string
	}{
		"of one address keep no other from asking":        {listen.Bounds{Total: 64, PerAddress: 8}, []string{"127.0.0.1"}, "127.0.0.2"},
		"of one address do not keep itself from asking":   {listen.Bounds{Total: 64, PerAddress: 8}, []string{"127.0.0.1"}, "127.0.0.1"},
		"of many addresses keep no other from asking":     {listen.Bounds{Total: 4, PerAddress: 2}, []string{"127.0.0.1", "127.0.0.3", "127.0.0.4"}, "127.0.0.2"},
		"of many addresses that fill the places together": {listen.Bounds{Total: 4, PerAddress: 8}, []string{"127.0.0.1", "127.0.0.3"}, "127.0.0.2"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port, _, _ := serve(t, tc.bounds)
			for _, from := range tc.from {
				open(t, from, port, 300/len(tc.from))
			}
			for i := range 8 {
				if err := get(t.Context(), tc.asks, port, "/"); err != nil {
					t.Errorf("question %d: %v", i, err)
				}
			}
		})
	}
}

func TestServedConnectionsAreNotClosedForOthers(t *testing.T) {
	t.Parallel()
	port, hold, held := serve(t, listen.Bounds{Total: 3, PerAddress: 2})
	addresses := []string{"127.0.0.1", "127.0.0.4", "127.0.0.2"}
	answers := make(chan error, len(addresses))
	for _, from := range addresses {
		go func() { answers <- get(t.Context(), from, port, "/hold") }()
	}
	for range addresses {
		<-held
	}
	for _, from := range []string{"127.0.0.1", "127.0.0.3"} {
		if err := get(t.Context(), from, port, "/"); err == nil {
			t.Errorf("%s was served, although all places are in use", from)
		}
	}
	close(hold)
	for range addresses {
		if err := <-answers; err != nil {
			t.Error(fmt.Errorf("a request that was being served: %w", err))
		}
	}
	if err := get(t.Context(), "127.0.0.3", port, "/"); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// Addresses that fill all places with requests that do not end keep no other one from asking, again and again.
func TestRequestsUnderWayKeepNoOtherAddressFromAsking(t *testing.T) {
	t.Parallel()
	port, hold, held := serve(t, listen.Bounds{Total: 8, PerAddress: 4})
	answers := make(chan error, 8)
	for _, from := range []string{"127.0.0.1", "127.0.0.2"} {
		for range 4 {
			go func() { answers <- get(t.Context(), from, port, "/hold") }()
		}
	}
	for range 8 {
		<-held
	}
	transport := &http.Transport{DialContext: dialer("127.0.0.3").DialContext}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	for i := range 8 {
		if err := ask(t.Context(), client, port, "/"); err != nil {
			t.Errorf("question %d: %v", i, err)
		}
	}
	close(hold)
	failed := 0
	for range 8 {
		if <-answers != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d requests were interrupted for one connection, want 1", failed)
	}
}
