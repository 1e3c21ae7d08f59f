package reload_test

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"inpod.dev/inpod/internal/patience"
	"inpod.dev/inpod/internal/reloadspec"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/reload"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		statuses []int // one after the other, the last repeated
		want     string
		list     string
		attempts int32
	}{
		"good":                              {statuses: []int{200}, want: "applied", attempts: 1},
		"no content is good":                {statuses: []int{204}, want: "applied", attempts: 1},
		"a bad file":                        {statuses: []int{500}, want: "rejected", attempts: 1},
		"another way to say bad file":       {statuses: []int{400}, want: "rejected", attempts: 1},
		"the wrong address":                 {statuses: []int{404}, want: "failed", attempts: 1},
		"not allowed":                       {statuses: []int{401}, want: "failed", attempts: 1},
		"busy, then good":                   {statuses: []int{503, 200}, want: "applied", attempts: 2},
		"busy for good":                     {statuses: []int{503}, want: "failed", attempts: 2},
		"a redirect is not followed":        {statuses: []int{302}, want: "failed", attempts: 1},
		"only what is listed is good":       {statuses: []int{200}, list: "204", want: "failed", attempts: 1},
		"a listed status that seems bad":    {statuses: []int{500}, list: "200-299,500", want: "applied", attempts: 1},
		"a listed redirect":                 {statuses: []int{302}, list: "302", want: "applied", attempts: 1},
		"a refusal is not asked once again": {statuses: []int{422, 200}, want: "rejected", attempts: 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				n := int(calls.Add(1))
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tc.statuses[min(n, len(tc.statuses))-1])
			}))
			defer server.Close()
			e := reload.Endpoint{URL: server.URL, Timeout: patience.Usual, Attempts: 2}
			if tc.list != "" {
				var err error
				if e.Status, err = reloadspec.ParseStatuses(tc.list); err != nil {
					t.Fatal(err)
				}
			}
			out := e.Call(t.Context())
			if string(out.Result) != tc.want || calls.Load() != tc.attempts {
				t.Errorf("%+v after %d attempts, want %s after %d", out, calls.Load(), tc.want, tc.attempts)
			}
		})
	}
}

// A server that asks for an hour of patience does not get it.
func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	e := reload.Endpoint{URL: server.URL, Timeout: patience.Usual, Attempts: 2}
	begin := time.Now()
	if out := e.Call(t.Context()); out.Result != agent.Applied || time.Since(begin) > 5*time.Minute {
		t.Errorf("%+v after %v, want applied after seconds", out, time.Since(begin))
	}
}

func TestHungEndpointEnds(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	e := reload.Endpoint{URL: server.URL, Timeout: 50 * time.Millisecond, Attempts: 1}
	if out := e.Call(t.Context()); out.Result != agent.Late {
		t.Errorf("%+v, want late", out)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	body, header := filepath.Join(dir, "body"), filepath.Join(dir, "token")
	write(t, body, "the body")
	write(t, header, "Bearer abc\n")
	var got *http.Request
	var sent string
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got, sent = r, string(text)
	})
	socket := filepath.Join(dir, "app.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Listener = listener
	server.Start()
	defer server.Close()

	e := reload.Endpoint{
		URL: "unix:" + socket + ":/reload?now=1", Method: http.MethodPut, BodyFile: body, Timeout: patience.Usual,
		Headers: map[string]string{"Content-Type": "text/x"}, HeaderFiles: map[string]string{"Authorization": header},
	}
	if out := e.Call(t.Context()); out.Result != agent.Applied {
		t.Fatalf("%+v", out)
	}
	if got.Method != http.MethodPut || got.URL.String() != "/reload?now=1" || sent != "the body" ||
		got.Header.Get("Authorization") != "Bearer abc" || got.Header.Get("Content-Type") != "text/x" {
		t.Errorf("%s %s %q %v", got.Method, got.URL, sent, got.Header)
	}
	e.BodyFile = filepath.Join(dir, "gone")
	if out := e.Call(t.Context()); out.Result != agent.Failed || !strings.Contains(out.Message, "gone") {
		t.Errorf("%+v, want failed, naming the file", out)
	}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	server.Config.ErrorLog = nil
	ca := filepath.Join(t.TempDir(), "ca.crt")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	e := reload.Endpoint{URL: server.URL, Timeout: patience.Usual, Attempts: 5}
	if out := e.Call(t.Context()); out.Result != agent.Failed || !strings.Contains(out.Message, "certificate") {
		t.Errorf("unknown authority: %+v", out)
	}
	e.CAFile = ca
	if out := e.Call(t.Context()); out.Result != agent.Applied {
		t.Errorf("known authority: %+v", out)
	}
	e.CAFile, e.SkipVerify = "", true
	if out := e.Call(t.Context()); out.Result != agent.Applied {
		t.Errorf("unverified: %+v", out)
	}
}

func TestPasswordIsNotShown(t *testing.T) {
	t.Parallel()
	e := reload.Endpoint{URL: "http://user:hunter2@127.0.0.1:1/x?token=hunter2", Timeout: patience.Usual, Attempts: 1}
	out := e.Call(t.Context())
	if out.Result != agent.Failed || strings.Contains(out.Message+e.String(), "hunter2") {
		t.Errorf("%+v, %s", out, &e)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
