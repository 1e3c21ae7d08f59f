package reload_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"inpod.dev/inpod/internal/patience"
	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/reload"
)

// answer asks until the answer is there.
func answer(t *testing.T, r *reload.Reloader) agent.Outcome {
	t.Helper()
	for { // the test's own deadline ends it
		if out := r.Ask(t.Context(), changed()); out.Result != agent.Late {
			return out
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A server that gets no processor time is not one that has refused.
func TestAServerThatIsThrottledIsLate(t *testing.T) {
	t.Parallel()
	r := start(t, renews)
	r.Plan.Row = preset.Preset{Name: "x", Proof: preset.Proof{Kind: preset.ProofWorkers, Masked: true}, BadFile: preset.Keeps}
	p, err := r.Table.Meant(r.Plan.Process, r.Plan.Signal)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if out := r.Reload(t.Context(), changed()); out.Result != agent.Late || !out.Triggered {
			t.Fatalf("%+v, want late", out)
		}
		if out := r.Ask(t.Context(), changed()); out.Result != agent.Late {
			t.Fatalf("%+v, want late", out)
		}
	}
	if err := syscall.Kill(p.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// Two attempts were on their way, and the workers may be those of the first.
	if out := answer(t, r); out.Result != agent.Applied || out.Proven || !strings.Contains(out.Message, "not proven") { // an old worker may be seen too
		t.Errorf("%+v, want applied, not proven", out)
	}
	if out := r.Reload(t.Context(), changed()); out.Result != agent.Applied || !out.Proven {
		t.Errorf("%+v, want applied, proven", out)
	}
}

// slow is a server whose reload takes until it is released, and whose metrics then say that it worked.
type slow struct {
	*httptest.Server

	release           chan struct{}
	reloads, finished atomic.Int32
}

func newSlow(t *testing.T) *slow {
	t.Helper()
	s := &slow{release: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path == "/reload" {
			s.reloads.Add(1)
			<-s.release
			s.finished.Add(1)
			return
		}
		fmt.Fprintf(w, "ok 1\nat %d\n", s.finished.Load())
	}))
	t.Cleanup(s.Close)
	return s
}

func TestASlowReloadIsAskedForAndNotRepeated(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		row        preset.Preset
		wantProven bool
	}{
		"with a proof in metrics":                  {row: preset.Preset{Proof: preset.Proof{Kind: preset.ProofMetrics, Success: "ok", Time: "at"}, BadFile: preset.Keeps}, wantProven: true},
		"with nothing but the answer":              {},
		"with an answer that the preset relies on": {row: preset.Preset{Proof: preset.Proof{Kind: preset.ProofAnswer}}, wantProven: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSlow(t)
			r := newReloader(reload.Plan{URL: &reload.Endpoint{URL: s.URL + "/reload", Timeout: 50 * time.Millisecond, Attempts: 3}})
			r.Plan.Access = reload.Access{Timeout: 10 * time.Second, Attempts: 1}
			r.Plan.Row = tc.row
			if tc.row.Proof.Success != "" {
				r.Plan.Row.Proof.URL = s.URL + "/metrics"
			}
			if out := r.Reload(t.Context(), changed()); out.Result != agent.Late || !out.Triggered {
				t.Fatalf("%+v, want late", out)
			}
			if out := r.Ask(t.Context(), changed()); out.Result != agent.Late {
				t.Fatalf("%+v, want late", out)
			}
			close(s.release)
			if out := answer(t, r); out.Result != agent.Applied || out.Proven != tc.wantProven {
				t.Errorf("%+v, want applied, proven %v", out, tc.wantProven)
			}
			if n := s.reloads.Load(); n != 1 {
				t.Errorf("%d reloads for one change", n)
			}
		})
	}
}

// gated is a server whose reloads end one by one, as they are let through: the second, or another one, with a refusal. Its
// metrics say that the last one worked.
type gated struct {
	*httptest.Server

	gates          []chan struct{}
	ended          chan struct{}
	began, success atomic.Int32
}

func newGated(t *testing.T, refused int32) *gated {
	t.Helper()
	s := &gated{ended: make(chan struct{}), gates: []chan struct{}{make(chan struct{}), make(chan struct{}), make(chan struct{})}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path != "/reload" {
			fmt.Fprintf(w, "ok 1\nat %d\n", s.success.Load())
			return
		}
		n := s.began.Add(1)
		select {
		case <-s.gates[n-1]:
		case <-s.ended:
		}
		if n == refused {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		s.success.Add(1)
	}))
	t.Cleanup(func() { close(s.ended); s.Close() })
	return s
}

func (s *gated) reloader() *reload.Reloader {
	r := newReloader(reload.Plan{URL: &reload.Endpoint{URL: s.URL + "/reload", Timeout: 50 * time.Millisecond, Attempts: 1}})
	r.Plan.Access = reload.Access{Timeout: 10 * time.Second, Attempts: 1}
	r.Plan.Row = preset.Preset{Proof: preset.Proof{Kind: preset.ProofMetrics, Success: "ok", Time: "at", URL: s.URL + "/metrics"}, BadFile: preset.Keeps}
	return r
}

func TestTheProofOfOneAttemptIsNotThatOfTheNext(t *testing.T) {
	t.Parallel()
	s := newGated(t, 2)
	r := s.reloader()
	for range 2 {
		if out := r.Reload(t.Context(), changed()); out.Result != agent.Late {
			t.Fatalf("%+v, want late", out)
		}
	}
	close(s.gates[0])
	patience.Await(t, "the first reload is over", func() bool { return s.success.Load() == 1 })
	if out := r.Ask(t.Context(), changed()); out.Result != agent.Late {
		t.Fatalf("%+v, want late: the request for this content has no answer", out)
	}
	close(s.gates[1])
	if out := answer(t, r); out.Result != agent.Rejected {
		t.Errorf("%+v, want rejected", out)
	}
}

func TestAnAttemptThatSendsNothingLeavesTheOneBeforeOpen(t *testing.T) {
	t.Parallel()
	for name, answered := range map[string]bool{"the first is not answered": false, "the first is answered": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newGated(t, 2)
			r := s.reloader()
			if out := r.Reload(t.Context(), changed()); out.Result != agent.Late {
				t.Fatalf("%+v, want late", out)
			}
			row := r.Plan.Row
			r.Plan.Row.Validators = [][]string{{"false"}}
			if out := r.Reload(t.Context(), changed()); out.Result != agent.Rejected || out.Triggered {
				t.Fatalf("%+v, want rejected before anything is sent", out)
			}
			r.Plan.Row = row
			if answered {
				close(s.gates[0])
				patience.Await(t, "the first reload is over", func() bool { return s.success.Load() == 1 })
			}
			if out := r.Reload(t.Context(), changed()); out.Result != agent.Late {
				t.Fatalf("%+v, want late", out)
			}
			if !answered {
				close(s.gates[0])
				patience.Await(t, "the first reload is over", func() bool { return s.success.Load() == 1 })
			}
			if out := r.Ask(t.Context(), changed()); out.Result != agent.Late {
				t.Fatalf("%+v, want late: the request for this content has no answer", out)
			}
			close(s.gates[1])
			if out := answer(t, r); out.Result != agent.Rejected {
				t.Errorf("%+v, want rejected", out)
			}
		})
	}
}

func TestNotYetOfTheVerifyURLIsLateAndSendsNothingAgain(t *testing.T) {
	t.Parallel()
	var reloads, ready atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		switch {
		case request.URL.Path == "/reload":
			reloads.Add(1)
		case ready.Load() == 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	r := newReloader(reload.Plan{
		URL:       &reload.Endpoint{URL: server.URL + "/reload", Timeout: patience.Usual, Attempts: 1},
		VerifyURL: &reload.Endpoint{URL: server.URL + "/ready", Method: http.MethodGet, Timeout: patience.Usual, Attempts: 1},
	})
	out := r.Reload(t.Context(), changed())
	for range 2 {
		if out.Result != agent.Late || !strings.Contains(out.Message, "does not confirm it yet") || !strings.Contains(out.Message, "503") {
			t.Fatalf("%+v, want late, with the status", out)
		}
		out = r.Ask(t.Context(), changed())
	}
	ready.Store(1)
	if out := answer(t, r); out.Result != agent.Applied || !out.Proven || reloads.Load() != 1 {
		t.Errorf("%+v after %d reloads, want applied after one", out, reloads.Load())
	}
}

func TestARequestThatMayHaveBeenSeenIsNotRepeated(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}))
	defer server.Close()
	e := reload.Endpoint{URL: server.URL, Timeout: 10 * time.Second, Attempts: 3}
	if out := e.Call(t.Context()); out.Result != agent.Late || !out.Triggered || calls.Load() != 1 {
		t.Errorf("%+v after %d requests, want late after one", out, calls.Load())
	}
	server.Close()
	if out := e.Call(t.Context()); out.Result != agent.Failed || out.Triggered {
		t.Errorf("%+v, want failed: nobody is there", out)
	}
}

func TestARequiredProofMakesTheUnprovenAFailure(t *testing.T) {
	t.Parallel()
	r := start(t, alone)
	r.Plan.RequireProof = true
	out := r.Reload(t.Context(), changed())
	if out.Result != agent.Failed || !out.Final || !out.Triggered || !strings.Contains(out.Message, "which is alive: not proven") ||
		!strings.Contains(out.Message, "verify-url") {
		t.Errorf("%+v, want failed for good, with what was sent, what was seen and what to do", out)
	}
}

// The password and what the server compares it with change together. One server reads its users for each request, the
// other when it reloads.
func TestRotatedCredentialsAreAccepted(t *testing.T) {
	t.Parallel()
	for name, atOnce := range map[string]bool{"a server that has read the new password": true, "a server that reads it when it reloads": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "header")
			write := func(text string) {
				if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("first")
			var password atomic.Value
			password.Store("first")
			var reloads, refusals atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
				if request.Header.Get("Authorization") != password.Load() {
					refusals.Add(1)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				if request.URL.Path == "/reload" {
					reloads.Add(1)
					password.Store("second")
				}
			}))
			defer server.Close()
			access := reload.Access{
				Server: server.URL, HeaderFiles: map[string]string{"Authorization": file}, Timeout: 10 * time.Second, Attempts: 1, Accepted: &reload.Credentials{},
			}
			access.Accepted.Read(access.HeaderFiles)
			r := newReloader(reload.Plan{Access: access, VerifyURL: access.Page(server.URL + "/ready"), URL: access.Page(server.URL + "/reload")})
			write("second")
			if atOnce {
				password.Store("second")
			}
			if out := r.Reload(t.Context(), changed()); out.Result != agent.Applied || !out.Proven || reloads.Load() != 1 {
				t.Errorf("%+v after %d reloads, want applied after one", out, reloads.Load())
			}
			write("third") // which nobody accepts
			if out := r.Reload(t.Context(), changed()); out.Result != agent.Applied {
				t.Errorf("%+v, want that what was accepted goes on to be", out)
			}
			password.Store("fourth")
			if out := r.Reload(t.Context(), changed()); out.Result != agent.Failed || !strings.Contains(out.Message, "401") {
				t.Errorf("%+v, want failed with the status", out)
			}
		})
	}
}

func TestHeadersGoToOneServerOnly(t *testing.T) {
	t.Parallel()
	const url = "http://127.0.0.1:9090/-/reload"
	for other, want := range map[string]bool{
		"http://127.0.0.1:9090/metrics":  true,
		"http://localhost:9090/-/ready":  true,
		"http://[::1]:9090/-/ready":      true,
		"http://127.0.0.1:9091/-/ready":  false,
		"http://127.0.0.1/-/ready":       false,
		"https://127.0.0.1:9090/-/ready": false,
		"http://example.com:9090/":       false,
		"unix:/run/app.sock:/":           false,
	} {
		if got := reload.SameServer(url, other); got != want {
			t.Errorf("%s: %v, want %v", other, got, want)
		}
	}
	if !reload.SameServer("unix:/run/a:/reload", "unix:/run/a:/ready") || !reload.SameServer("https://a/x", "https://A:443/y") {
		t.Error("one server is taken for two")
	}
	if reload.SameServer("", "") || reload.SameServer("unix:/run/a:/x", "unix:/run/b:/x") {
		t.Error("two servers are taken for one")
	}
}

func TestARejectionWithoutWordsSaysWhereTheLogIs(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pod, want string
	}{
		"in a pod":       {pod: "web-1", want: "kubectl logs web-1 -c CONTAINER"}, // which is not known outside of Kubernetes
		"outside of one": {want: "that of sh (PID "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, refuses)
			r.Pod = tc.pod
			r.Plan.Row = preset.Preset{Proof: preset.Proof{Kind: preset.ProofWorkers, Masked: true}, BadFile: preset.Keeps}
			out := r.Reload(t.Context(), changed())
			if out.Result != agent.Rejected || !strings.Contains(out.Message, tc.want) {
				t.Errorf("%+v, want %q in it", out, tc.want)
			}
		})
	}
}

// From HAProxy 3.1 on a new worker reads the files while the old one serves, and ends when they are bad.
func TestANewWorkerThatReadsABadFileForLong(t *testing.T) {
	t.Parallel()
	const slow = `trap 'sh -c "while ! test -e \"$0.read\"; do sleep 0.05; done; exit 1" "$0" &' HUP; sh -c 'sleep 60; :' & touch "$0"; while :; do wait; done`
	row := preset.Preset{
		Name: "x", Proof: preset.Proof{Kind: preset.ProofWorkers, WorkersRead: true, Masked: true}, BadFile: preset.Keeps,
		Explainers: [][]string{{"sh", "-c", "echo bad line 7; exit 1"}},
	}
	t.Run("it ends", func(t *testing.T) {
		t.Parallel()
		r := start(t, slow)
		r.Plan.Row = row
		for range 2 {
			if out := r.Reload(t.Context(), changed()); out.Result != agent.Late || !strings.Contains(out.Message, "bad line 7") {
				t.Fatalf("%+v, want late, with what is wrong", out)
			}
		}
		p, err := r.Table.Meant(r.Plan.Process, r.Plan.Signal)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p.Args[len(p.Args)-1]+".read", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if out := answer(t, r); out.Result != agent.Rejected || !strings.Contains(out.Message, "bad line 7") {
			t.Errorf("%+v, want rejected, with what is wrong", out)
		}
	})
	t.Run("it stays, so that the check is not believed", func(t *testing.T) {
		t.Parallel()
		r := start(t, slow)
		r.Plan.Row = row
		if out := r.Reload(t.Context(), changed()); out.Result != agent.Late {
			t.Fatalf("%+v, want late", out)
		}
		r.Now = func() time.Time { return time.Now().Add(time.Minute) }
		if out := r.Ask(t.Context(), changed()); out.Result != agent.Applied || out.Proven || !strings.Contains(out.Message, "bad line 7") {
			t.Errorf("%+v, want applied, not proven, with what the check says", out)
		}
	})
}
