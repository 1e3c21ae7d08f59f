package status_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
	"inpod.dev/inpod/sidecar/internal/status"
	"inpod.dev/inpod/sidecar/internal/watch"
)

func source() status.Source {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return status.Source{
		Agent: func() agent.Status {
			return agent.Status{
				Phase: "retrying", Pending: true, Changes: 3,
				Counts: map[agent.Result]int64{agent.Applied: 2, agent.Rejected: 1},
				Last:   agent.Outcome{Result: agent.Rejected, Message: `unknown directive "x"`, Proof: "workers renewed"},
				LastAt: at, LastTook: 1500 * time.Millisecond, AppliedAt: at.Add(-time.Minute), RetryAt: at.Add(time.Minute),
				State: digest.State{
					Sum:     digest.Sum{0xab, 0xcd},
					Volumes: []digest.Volume{{Path: "/v", Kind: digest.KindVolume, Sum: digest.Sum{0xab, 0xcd}, Changed: at, Files: 2}},
				},
			}
		},
		Mode:   func() watch.Mode { return watch.Mode{Watches: 1} },
		Errors: func() int64 { return 4 }, Version: "1.2.3", Preset: "nginx", How: "send SIGHUP",
	}
}

func get(t *testing.T, path string) (code int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	status.Handler(source()).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return w.Code, w.Body.String()
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	_, body := get(t, "/metrics")
	for _, want := range []string{
		`inpod_sidecar_reloads_total{result="applied"} 2`, `inpod_sidecar_reloads_total{result="died"} 0`,
		"inpod_sidecar_pending 1", "inpod_sidecar_last_reload_successful 0", "inpod_sidecar_last_reload_duration_seconds 1.5",
		"inpod_sidecar_watch_errors_total 4", `inpod_sidecar_build_info{version="1.2.3"} 1`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	// Every line is what the text format allows, and every metric has its two comments.
	line := regexp.MustCompile(`^(# (HELP|TYPE) inpod_sidecar_[a-z_]+ .+|inpod_sidecar_[a-z_]+(\{[a-z]+="[^"]*"\})? -?[0-9.e+]+)$`)
	for text := range strings.Lines(body) {
		if !line.MatchString(strings.TrimSuffix(text, "\n")) {
			t.Errorf("bad line %q", text)
		}
	}
}

func TestStatusPage(t *testing.T) {
	t.Parallel()
	_, body := get(t, "/status")
	var page status.Page
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	if page.Phase != "retrying" || page.Last.Result != "rejected" || page.Last.TookSeconds != 1.5 || len(page.Volumes) != 1 ||
		page.Volumes[0].ChangedAt != "2026-01-02T03:04:05Z" {
		t.Errorf("%+v", page)
	}
	if strings.Contains(body, "abcd") || strings.Contains(body, "q80") {
		t.Error("the page shows a digest")
	}
}

func TestOtherPages(t *testing.T) {
	t.Parallel()
	if code, body := get(t, "/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	if code, _ := get(t, "/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("pprof: %d, want 404", code)
	}
}
