package status_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
	"inpod.dev/inpod/sidecar/internal/status"
)

var (
	digestKey = bytes.Repeat([]byte{7}, 32)
	now       = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// present is a status in which everything is at rest.
func present() agent.Status {
	sum := sha256.Sum256([]byte("hunter2"))
	return agent.Status{
		Phase: "idle", Changes: 3, Tried: true, Counts: map[agent.Result]int64{agent.Applied: 2, agent.Rejected: 1}, Attempts: 3,
		Last:   agent.Outcome{Result: agent.Applied, Message: "send SIGHUP to nginx (PID 7)"},
		LastAt: now.Add(-time.Minute), LastTook: time.Second,
		State: digest.State{Changed: now.Add(-2 * time.Minute), Volumes: []digest.Volume{
			{Path: "/etc/app", Kind: digest.KindVolume, Changed: now.Add(-3 * time.Minute), Entries: map[string]digest.Entry{
				"password": {Kind: digest.EntryFile, Short: [16]byte(sum[:16])}, "key": {Kind: digest.EntryOpaque},
				"token": {Kind: digest.EntryToken},
			}},
			{Path: "/etc/other", Kind: digest.KindVolume, Changed: now.Add(-2 * time.Minute)},
		}},
	}
}

// queryOf returns the handler of a sidecar in that status, which has a controller key.
func queryOf(t *testing.T, s agent.Status) http.Handler {
	t.Helper()
	text, err := sidecarapi.PublicKey(digestKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sidecarapi.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return status.Handler(status.Source{
		Agent: func() agent.Status { return s }, ControllerKey: key, Now: func() time.Time { return now }, Started: now.Add(-time.Hour), Version: "v1.2.3",
	})
}

func post(t *testing.T, h http.Handler, from string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, sidecarapi.Path, bytes.NewReader(body))
	r.RemoteAddr = from + ":1234"
	h.ServeHTTP(w, r)
	return w
}

func ask(t *testing.T, h http.Handler, files ...string) sidecarapi.Response {
	t.Helper()
	return askOf(t, h, files)
}

func askOf(t *testing.T, h http.Handler, files []string, mounts ...string) sidecarapi.Response {
	t.Helper()
	request, err := sidecarapi.NewRequest(files, mounts...)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	w := post(t, h, "10.0.0.1", body)
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	reply, err := sidecarapi.Open(digestKey, request.Nonce, w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestQuery(t *testing.T) {
	t.Parallel()
	got := ask(t, queryOf(t, present()), "/etc/app/password", "/etc/app/key", "/etc/app/token", "/etc/app/gone")
	sum := sha256.Sum256([]byte("hunter2"))
	want := sidecarapi.Response{
		Result: sidecarapi.Applied, Message: "send SIGHUP to nginx (PID 7)", Changes: 3, Attempts: 3,
		Files: map[string]string{
			"/etc/app/password": sidecarapi.Digest([16]byte(sum[:16])), "/etc/app/key": sidecarapi.Opaque, "/etc/app/token": sidecarapi.Ignored,
			"/etc/app/gone": sidecarapi.Missing,
		},
		At: now, Started: now.Add(-time.Hour), AttemptAt: now.Add(-time.Minute - time.Second),
		Changed: now.Add(-3 * time.Minute), // of the volume that was asked for
		Version: "v1.2.3",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reply (-want +got):\n%s", diff)
	}
	if got := ask(t, queryOf(t, present())); len(got.Files) != 0 || !got.Changed.Equal(now.Add(-2*time.Minute)) {
		t.Errorf("without files: %+v, want the newest change of all", got)
	}
}

// What is in the files of a mounted vault is known to nobody who asks, so that times have to do.
func TestQueryReportsWhenMountsChanged(t *testing.T) {
	t.Parallel()
	got := askOf(t, queryOf(t, present()), []string{"/etc/app/password"}, "/etc/other", "/etc/app", "/etc/nobody-watches-it")
	want := map[string]time.Time{"/etc/other": now.Add(-2 * time.Minute), "/etc/app": now.Add(-3 * time.Minute)}
	if diff := cmp.Diff(want, got.Mounts); diff != "" || got.Result != sidecarapi.Applied {
		t.Errorf("%s, mounts (-want +got):\n%s", got.Result, diff)
	}
	if got := ask(t, queryOf(t, present()), "/etc/app/password"); got.Mounts != nil {
		t.Errorf("mounts %v that nobody asked for", got.Mounts)
	}
}

// The rows are those of the table at resultOf, and what stands behind them.
func TestQueryResult(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pending, tried bool
		last           agent.Result
		missing        []string
		want           sidecarapi.Result
		wantMessage    string
	}{
		"applied":                                 {tried: true, last: agent.Applied, want: sidecarapi.Applied, wantMessage: "said"},
		"nothing was ever triggered":              {want: sidecarapi.None},
		"changed and changed back":                {last: agent.Rejected, want: sidecarapi.None},
		"rejected":                                {pending: true, tried: true, last: agent.Rejected, want: sidecarapi.Rejected, wantMessage: "said"},
		"could not be reloaded":                   {pending: true, tried: true, last: agent.Failed, want: sidecarapi.Failed, wantMessage: "said"},
		"died of it":                              {pending: true, tried: true, last: agent.Died, want: sidecarapi.Died, wantMessage: "said"},
		"settling for the first time":             {pending: true, want: sidecarapi.Pending},
		"newer content after one was applied":     {pending: true, last: agent.Applied, want: sidecarapi.Pending},
		"newer content after one was rejected":    {pending: true, last: agent.Rejected, want: sidecarapi.Pending},
		"applied once, and then nobody knew":      {pending: true, tried: true, last: agent.Applied, want: sidecarapi.Pending},
		"held, since what is wanted is not there": {pending: true, missing: []string{"/etc/app/a"}, want: sidecarapi.Pending, wantMessage: "wanted files are missing: /etc/app/a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := present()
			s.Pending, s.Tried, s.Last = tc.pending, tc.tried, agent.Outcome{Result: tc.last, Message: "said"}
			s.State.Volumes[0].Missing = tc.missing
			if got := ask(t, queryOf(t, s)); got.Result != tc.want || got.Message != tc.wantMessage {
				t.Errorf("%s %q, want %s %q", got.Result, got.Message, tc.want, tc.wantMessage)
			}
		})
	}
}

func TestQueryRefuses(t *testing.T) {
	t.Parallel()
	body := func(files ...string) []byte {
		request, err := sidecarapi.NewRequest(files)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	early := present()
	early.Phase = agent.Starting
	keyless := status.Handler(status.Source{Agent: present, Now: func() time.Time { return now }})
	for name, tc := range map[string]struct {
		handler  http.Handler
		body     []byte
		want     int
		wantText string
	}{
		"a sidecar without a key":        {keyless, body(), http.StatusNotFound, "--controller-key"},
		"a file that nobody watches":     {queryOf(t, present()), body("/etc/app/password", "/etc/shadow"), http.StatusBadRequest, `"/etc/shadow"; watched are /etc/app /etc/other`},
		"a sidecar that has not scanned": {queryOf(t, early), body(), http.StatusServiceUnavailable, "not scanned"},
		"no request":                     {queryOf(t, present()), []byte("hello"), http.StatusBadRequest, "nonce"},
		"a request of any length":        {queryOf(t, present()), make([]byte, sidecarapi.MaxRequest+1), http.StatusBadRequest, "too large"},
		"a request with a path to above": {queryOf(t, present()), []byte(strings.Replace(string(body("/etc/app/x")), "/x", "/../../shadow", 1)), http.StatusBadRequest, "detours"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := post(t, tc.handler, "10.0.0.1", tc.body)
			if w.Code != tc.want || !strings.Contains(w.Body.String(), tc.wantText) {
				t.Errorf("%d %q, want %d with %q", w.Code, w.Body, tc.want, tc.wantText)
			}
		})
	}
	w := httptest.NewRecorder()
	queryOf(t, present()).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, sidecarapi.Path, http.NoBody))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d, want 405", w.Code)
	}
}

// A pod that asks all the time costs little, and does not keep the controller from asking.
func TestQueryRateLimit(t *testing.T) {
	t.Parallel()
	clock := now
	text, err := sidecarapi.PublicKey(digestKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sidecarapi.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	h := status.Handler(status.Source{Agent: present, ControllerKey: key, Now: func() time.Time { return clock }})
	answered := func(from string, calls int) (n int) {
		for range calls {
			// What is no request at all is counted as well: reading it is the work.
			switch w := post(t, h, from, []byte("hello")); w.Code {
			case http.StatusBadRequest:
				n++
			case http.StatusTooManyRequests:
				if w.Header().Get("Retry-After") != "1" {
					t.Error("it does not say when to come again")
				}
			default:
				t.Errorf("%d: %s", w.Code, w.Body)
			}
		}
		return n
	}
	if n := answered("10.0.0.9", 1000); n != 10 {
		t.Errorf("%d of 1000 calls were answered, want 10", n)
	}
	if n := answered("10.0.0.1", 1); n != 1 {
		t.Error("another address was kept from asking")
	}
	clock = clock.Add(time.Second)
	if n := answered("10.0.0.9", 1); n != 1 {
		t.Error("a second later it is still refused")
	}
	clock = clock.Add(-time.Hour) // the clock was set
	if n := answered("10.0.0.9", 1); n != 1 {
		t.Error("a clock that was set back stops the answers")
	}
}
