package reload

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
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

// TestWhatASecretCameInIsKnown has the application show what it was given otherwise than as a watched file.
func TestWhatASecretCameInIsKnown(t *testing.T) {
	t.Parallel()
	const value = "s3cret-of-mine/1"
	escaped := url.QueryEscape(value)
	for name, tc := range map[string]struct {
		plan        func(dir, server string) Plan
		environment []string
		said        string
	}{
		"a query": {
			plan: func(_, server string) Plan { return Plan{URL: &Endpoint{URL: server + "/reload?token=" + escaped}} },
			said: "not allowed: " + value + ", " + escaped,
		},
		"a user and a password": {
			plan: func(_, server string) Plan {
				return Plan{URL: &Endpoint{URL: strings.Replace(server, "//", "//admin:"+escaped+"@", 1)}}
			},
			said: "not allowed: " + base64.StdEncoding.EncodeToString([]byte("admin:"+value)),
		},
		"a password in the URL of another request": {
			plan: func(_, server string) Plan {
				return Plan{URL: &Endpoint{URL: server}, VerifyURL: &Endpoint{URL: strings.Replace(server, "//", "//admin:"+escaped+"@", 1)}}
			},
			said: "not allowed: " + value,
		},
		"a header": {
			plan: func(dir, server string) Plan {
				return Plan{URL: &Endpoint{URL: server, HeaderFiles: map[string]string{"Authorization": inFile(dir, "Bearer "+value)}}}
			},
			said: "not allowed: " + value,
		},
		"a body that is not watched": {
			plan: func(dir, server string) Plan {
				return Plan{URL: &Endpoint{URL: server, BodyFile: inFile(dir, `{"token": "`+value+`"}`)}}
			},
			said: "not allowed: " + value,
		},
		"a variable that the command inherits": {
			plan:        func(string, string) Plan { return Plan{Command: []string{"sh", "-c", "echo " + value + "; exit 1"}} },
			environment: []string{"DATABASE=" + value},
		},
		"an argument of the command": {
			plan: func(string, string) Plan {
				return Plan{Command: []string{"sh", "-c", `echo "$0 $1"; exit 1`, "--password", value}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = w.Write([]byte(tc.said))
			}))
			defer server.Close()
			plan := tc.plan(t.TempDir(), server.URL)
			plan.CommandTimeout = time.Minute
			if plan.URL != nil {
				plan.URL.Timeout, plan.URL.Attempts = time.Minute, 1
			}
			r := &Reloader{Plan: plan, Now: time.Now, Table: process.Table{Root: "/proc"}, Log: slog.New(slog.DiscardHandler), Environment: tc.environment}
			out := r.Reload(t.Context(), agent.Change{})
			if out.Result != agent.Rejected || !strings.Contains(out.Message, "[redacted]") || strings.Contains(out.Message, "mine") {
				t.Errorf("%+v", out)
			}
		})
	}
}

func inFile(dir, text string) string {
	path := filepath.Join(dir, "content")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
	return path
}

// TestEachContentIsKnown replaces a Secret while the application works, as the kubelet does.
func TestEachContentIsKnown(t *testing.T) {
	t.Parallel()
	dir := secretDir(t)
	contents := []string{"first-of-all", "second-to-it", "third-of-them"}
	replace := func(text string) {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, ".new"), []byte(text), 0o600),
			os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, "token"))); err != nil {
			t.Error(err)
		}
	}
	replace(contents[0])
	result := http.StatusInternalServerError
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		replace(contents[2])
		w.WriteHeader(result)
		_, _ = w.Write([]byte("it was " + strings.Join(contents, ", ")))
	}))
	defer server.Close()
	r := &Reloader{
		Secrets: []string{dir}, Now: time.Now, Table: process.Table{Root: "/proc"}, Log: slog.New(slog.DiscardHandler),
		Plan: Plan{URL: &Endpoint{URL: server.URL, Timeout: time.Minute, Attempts: 1}},
	}
	r.Hold()
	replace(contents[1])
	for range 3 { // each attempt is about what the application has, and what it is given
		const want = "it was [redacted], [redacted], [redacted]"
		if out := r.Reload(t.Context(), agent.Change{}); !strings.HasSuffix(out.Message, want) {
			t.Errorf("%q, want %q", out.Message, want)
		}
	}
	result = http.StatusOK
	if out := r.Reload(t.Context(), agent.Change{}); out.Result != agent.Applied {
		t.Errorf("%+v", out)
	}
	if n := len(r.held.files); n != 1 {
		t.Errorf("%d files are held once the application has the content, want 1", n)
	}
}

// TestErrorsOfRequestsQuoteNothing has the other side send what is no HTTP.
func TestErrorsOfRequestsQuoteNothing(t *testing.T) {
	t.Parallel()
	dir := secretDir(t)
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(seenToken), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, said := range map[string]string{
		"no status line":      seenToken + "\r\n\r\n",
		"a status of its own": "HTTP/1.1 " + seenToken + "\r\n\r\n",
		"a header of its own": "HTTP/1.1 200 OK\r\n" + seenToken + "\r\n\r\n",
		"a length of its own": "HTTP/1.1 200 OK\r\nContent-Length: " + seenToken + "\r\n\r\n",
		"an encoding":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + seenToken + "\r\n\r\n",
		"a status text":       "HTTP/1.1 500 " + seenToken + "\r\nContent-Length: 0\r\n\r\n",
		"a place to go to":    "HTTP/1.1 302 Found\r\nLocation: http://" + seenToken + "/%zz\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				connection, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_, _ = connection.Write([]byte(said))
					_ = connection.Close()
				}
			}))
			defer server.Close()
			r := &Reloader{
				Secrets: []string{dir}, Now: time.Now, Table: process.Table{Root: "/proc"}, Log: slog.New(slog.DiscardHandler),
				Plan: Plan{URL: &Endpoint{URL: server.URL, Timeout: time.Minute, Attempts: 1}},
			}
			out := r.Reload(t.Context(), agent.Change{})
			for i := range len(seenToken) - 6 {
				if strings.Contains(out.Message, seenToken[i:i+6]) {
					t.Fatalf("%q shows %q of the token", out.Message, seenToken[i:i+6])
				}
			}
		})
	}
}

func TestShownURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://user:a@b/c?d@e@127.0.0.1/x?y":     "http://b/c",
		"http://user:pass@127.0.0.1:80/x?token=1": "http://127.0.0.1:80/x",
		"http://127.0.0.1/@x#token":               "http://127.0.0.1/@x",
		"http://user:%zz@127.0.0.1":               "http://127.0.0.1",
		"unix:/run/a.sock:/x?token=%zz":           "unix:/run/a.sock:/x",
		"unix:///run/a.sock":                      "unix:///run/a.sock",
	} {
		if got := shownURL(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}
