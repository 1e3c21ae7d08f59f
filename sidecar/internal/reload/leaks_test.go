package reload

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/process"
)

const seenToken = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzaG9wIn0.MEUCIQDx-Qm3Pz_7Kd4vT1sYwZ0aB9cD8eF7gH6iJ5k"

// TestWhatIsCutLeaksNothing runs a whole reload whose words are those of the application.
func TestWhatIsCutLeaksNothing(t *testing.T) {
	t.Parallel()
	const token = seenToken
	for name, said := range map[string]string{
		"an answer that is longer than what is shown": strings.Repeat("x", 355) + " token " + token + " is bad",
		"an answer that is longer than what is read":  strings.Repeat("all is well\n", 337) + "an error: the token " + token,
		"a library that abbreviates":                  "yaml: unmarshal errors:\n  line 1: cannot unmarshal !!str `eyJhbGc...` into main.config",
		"a status line of its own":                    "error\n" + token[:9],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := secretDir(t)
			if err := os.WriteFile(filepath.Join(dir, "token"), []byte(token), 0o600); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = w.Write([]byte(said))
			}))
			defer server.Close()
			r := &Reloader{
				Secrets: []string{dir}, Now: time.Now, Table: process.Table{Root: "/proc"}, Log: slog.New(slog.DiscardHandler),
				Plan: Plan{URL: &Endpoint{URL: server.URL, Timeout: time.Minute, Attempts: 1}, CommandTimeout: time.Minute},
			}
			out := r.Reload(t.Context(), agent.Change{})
			for i := range len(token) - 6 {
				if strings.Contains(out.Message, token[i:i+6]) {
					t.Fatalf("%q shows %q of the token", out.Message, token[i:i+6])
				}
			}
			if !strings.Contains(out.Message, "[redacted]") {
				t.Errorf("%q shows nothing of what was said", out.Message)
			}
		})
	}
}
