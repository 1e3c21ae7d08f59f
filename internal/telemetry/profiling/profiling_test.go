package profiling_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"inpod.dev/inpod/internal/telemetry/profiling"
)

func TestProfiles(t *testing.T) {
	t.Parallel()
	handler := profiling.NewServer("127.0.0.1:0", slog.New(slog.DiscardHandler)).Handler()
	for path, want := range map[string]string{
		"/debug/pprof/":                  "heap",
		"/debug/pprof/goroutine?debug=1": "goroutine profile",
		"/":                              "/debug/pprof/profile",
	} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), want) {
			t.Errorf("GET %s = %d %q; want %q in it", path, answer.Code, answer.Body, want)
		}
	}
}
