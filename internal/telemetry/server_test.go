package telemetry_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"inpod.dev/inpod/internal/telemetry"
	"inpod.dev/inpod/internal/version"
)

func well() error { return nil }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestEndpoints(t *testing.T) {
	t.Parallel()
	registry := telemetry.NewRegistry(version.Build{Version: "1.2.3", Revision: "abc", GoVersion: "go1.26"})
	sick := func() error { return errors.New("cache of Secrets has not synced\nafter 3 s") }
	handler := telemetry.NewServer("controller", ":0", quiet(),
		telemetry.Metrics(registry), telemetry.Live(well), telemetry.Ready(sick)).Handler()
	// Registered by a careless library; nothing of it may be reachable.
	http.DefaultServeMux.HandleFunc("/debug/careless", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })

	for name, tc := range map[string]struct {
		path       string
		wantStatus int
		wantBody   string
	}{
		"well":                                {path: "/live", wantStatus: 200, wantBody: "ok\n"},
		"not well, with the reason in a line": {path: "/ready", wantStatus: 503, wantBody: "cache of Secrets has not synced; after 3 s\n"},
		"metrics carry the build": {
			path: "/metrics", wantStatus: 200,
			wantBody: `inpod_build_info{goversion="go1.26",revision="abc",version="1.2.3"} 1`,
		},
		"metrics of the Go runtime":         {path: "/metrics", wantStatus: 200, wantBody: "go_goroutines "},
		"metrics of the process":            {path: "/metrics", wantStatus: 200, wantBody: "process_resident_memory_bytes "},
		"the root page lists the endpoints": {path: "/", wantStatus: 200, wantBody: "/live                    liveness"},
		"an unknown path":                   {path: "/secrets", wantStatus: 404, wantBody: "404"},
		"the default mux is out of reach":   {path: "/debug/careless", wantStatus: 404, wantBody: "404"},
		"profiles are out of reach":         {path: "/debug/pprof/", wantStatus: 404, wantBody: "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, tc.path, http.NoBody))
			if answer.Code != tc.wantStatus || !strings.Contains(answer.Body.String(), tc.wantBody) {
				t.Errorf("GET %s = %d %q; want %d %q", tc.path, answer.Code, answer.Body, tc.wantStatus, tc.wantBody)
			}
		})
	}
}

func TestServerStopsWithItsContextAndFinishesAnswers(t *testing.T) {
	defer goleak.VerifyNone(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	slow := telemetry.Endpoint{Path: "/slow", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		_, _ = io.WriteString(w, "done")
	})}
	server := telemetry.NewServer("controller", "127.0.0.1:0", quiet(), slow)
	if got := server.Addr(); got != "" {
		t.Errorf("before Listen the address is %q", got)
	}
	if err := server.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Run(ctx) }()

	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	body := make(chan string, 1)
	go func() {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.Addr()+"/slow", http.NoBody)
		response, err := transport.RoundTrip(request)
		if err != nil {
			body <- err.Error()
			return
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		body <- string(text)
	}()
	<-asked
	stop()
	close(answer)
	if got := <-body; got != "done" {
		t.Errorf("the answer under way was %q", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestPortInUseIsFoundAtTheStart(t *testing.T) {
	t.Parallel()
	first := telemetry.NewServer("controller", "127.0.0.1:0", quiet())
	if err := first.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Listen(t.Context()); err != nil {
		t.Errorf("the second Listen = %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- first.Run(ctx) }()
	defer func() { stop(); <-stopped }()

	err := telemetry.NewServer("pprof", first.Addr(), quiet()).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the pprof server cannot listen on") || !strings.Contains(err.Error(), first.Addr()) {
		t.Errorf("Run = %v", err)
	}
}

func TestAllOf(t *testing.T) {
	t.Parallel()
	if err := telemetry.AllOf(well, well)(); err != nil {
		t.Errorf("all well: %v", err)
	}
	sick := func(text string) telemetry.Check { return func() error { return errors.New(text) } }
	if err := telemetry.AllOf(sick("a"), well, sick("b"))(); err == nil || err.Error() != "a; b" {
		t.Errorf("two not well: %v", err)
	}
}

func TestTwoRegistriesDoNotMeet(t *testing.T) {
	t.Parallel()
	for range 2 {
		registry := telemetry.NewRegistry(version.Build{})
		if err := registry.Register(prometheus.NewGauge(prometheus.GaugeOpts{Name: "inpod_x", Help: "x"})); err != nil {
			t.Error(err)
		}
	}
}
