package reload_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"inpod.dev/inpod/internal/patience"
	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
	"inpod.dev/inpod/sidecar/internal/process"
	"inpod.dev/inpod/sidecar/internal/reload"
)

// Shell programs that behave like servers. "$0" is unique, so that each is found by its command line.
const (
	renews   = `w() { sh -c 'sleep 60; :' & w=$!; }; trap 'kill $w; w' HUP; w; touch "$0"; while :; do wait; done`
	refuses  = `trap : HUP; sh -c 'sleep 60; :' & touch "$0"; while :; do wait; done`
	dies     = `trap 'exit 3' HUP; sh -c 'sleep 60; :' & touch "$0"; while :; do wait; done`
	alone    = `trap : HUP; mkfifo "$0.pipe"; touch "$0"; while :; do read x <"$0.pipe"; done`
	grows    = `w() { sh -c 'sleep 60; :' & }; trap w HUP; w; touch "$0"; while :; do wait; done`
	respawns = `w() { sh -c 'sleep 60; :' & w=$!; }; trap 'kill $w; w' HUP; w; { w; }; touch "$0"; while :; do wait; done`
	again    = `exec sh -c 'w() { sh -c "sleep 60; :" & }; trap w HUP; w; touch "$0"; while :; do wait; done' "$0"`
	ends     = `trap 'sh -c "exit 1; :" &' HUP; sh -c 'sleep 60; :' & touch "$0"; while :; do wait; done`
	drains   = `trap 'sh -c "sleep 60; :" &' HUP; sh -c 'sleep 60; : old one' & touch "$0"; while :; do wait; done`
	deaf     = `touch "$0"; exec tail -f "$0"`
)

// start runs a shell program and returns a reloader for it, with a plan to be completed.
func start(t *testing.T, script string) *reload.Reloader {
	t.Helper()
	marker := filepath.Join(t.TempDir(), "ready")
	cmd := exec.Command("sh", "-c", script, marker)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
	patience.Await(t, "the program has come to its last line", func() bool { return exists(marker) })
	selector := process.Selector{Cmdline: regexp.MustCompile(regexp.QuoteMeta(marker))}
	r := newReloader(reload.Plan{Process: selector, Signal: syscall.SIGHUP})
	patience.Await(t, "it is the program that is meant", func() bool { _, err := r.Table.Meant(selector, syscall.SIGHUP); return err == nil })
	return r
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// noProof is how long a proof is waited for that does not come. A test in which one has to come waits for longer.
const noProof = 400 * time.Millisecond

func newReloader(plan reload.Plan) *reload.Reloader {
	plan.VerifyTimeout, plan.CommandTimeout = noProof, patience.Usual
	return &reload.Reloader{
		Plan: plan, Table: process.Table{Root: "/proc", Self: os.Getpid()}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
}

// changed is a state whose content is newer than any process.
func changed() agent.Change {
	return agent.Change{State: digest.State{Changed: time.Now().Add(time.Hour)}, FilesUnknown: true}
}

func TestSignal(t *testing.T) {
	t.Parallel()
	workers := preset.Preset{Name: "x", Proof: preset.Proof{Kind: preset.ProofWorkers}, BadFile: preset.Keeps}
	masked := workers
	masked.Proof.Masked = true
	bad, good := workers, workers
	bad.Explainers, good.Explainers = [][]string{{"sh", "-c", "echo bad line 7; exit 1"}}, [][]string{{"true"}}
	reads := masked
	reads.Proof.WorkersRead, reads.Proof.Version, reads.Proof.MasterReadsBefore = true, "V", [2]int{3, 1}
	readsBad, readsGood := reads, reads
	readsBad.Explainers, readsGood.Explainers = bad.Explainers, good.Explainers
	exits := preset.Preset{Name: "x", Proof: preset.Proof{Kind: preset.ProofWorkers}, BadFile: preset.Exits}
	cases := map[string]struct {
		script     string
		row        preset.Preset
		want       agent.Result
		wantProven bool
		wantProof  string
		wantText   string
	}{
		"workers are renewed": {script: renews, row: workers, want: agent.Applied, wantProven: true, wantProof: "workers renewed", wantText: "SIGHUP to sh (PID "},
		"workers stay as they are, and the master is done with the signal":    {script: refuses, row: masked, want: agent.Rejected, wantText: "kept its old"},
		"workers stay as they are, and the server says that the file is bad":  {script: refuses, row: bad, want: agent.Rejected, wantText: "bad line 7"},
		"workers stay as they are, and the server says that the file is good": {script: refuses, row: good, want: agent.Late, wantText: "nothing is sent again"},
		"workers stay as they are, and nothing shows why":                     {script: refuses, row: workers, want: agent.Late, wantText: "asked for again"},
		"no workers in time, may be anything":                                 {script: refuses, row: exits, want: agent.Late, wantText: "no proof"},
		"one more worker of a pool that grows proves nothing":                 {script: grows, row: workers, want: agent.Applied, wantProof: "new workers beside old ones", wantText: "not proven"},
		"a new worker that may still be reading proves nothing":               {script: grows, row: reads, want: agent.Applied, wantProof: "new workers beside old ones", wantText: "not proven"},
		"a new worker that reads what the server's own check accepts":         {script: grows, row: readsGood, want: agent.Applied, wantProof: "new workers, and its own check", wantText: "not proven"},
		"a new worker that has not bound its port, and its check accepts":     {script: serving("reads"), row: readsGood, want: agent.Applied, wantProof: "new workers, and its own check", wantText: "not proven"},
		"a new worker that shares the port of the old one":                    {script: serving("shares"), row: reads, want: agent.Applied, wantProof: "new workers beside old ones", wantText: "not proven"},
		"a new worker to which the old one has left its port":                 {script: serving("hands over"), row: reads, want: agent.Applied, wantProven: true, wantProof: "workers renewed"},
		"a new worker that reads what the server's own check does not accept": {script: grows, row: readsBad, want: agent.Late, wantText: "bad line 7"},
		"a new worker of a master that reads by itself, by its version":       {script: "export V=3.0.11-1; " + again, row: reads, want: agent.Applied, wantProven: true, wantProof: "workers renewed"},
		"a new worker of a version that lets it read":                         {script: "export V=3.1.0; " + again, row: reads, want: agent.Applied, wantProof: "new workers beside old ones", wantText: "not proven"},
		"a new worker of a version that nobody can read":                      {script: "export V=two; " + again, row: reads, want: agent.Applied, wantProof: "new workers beside old ones", wantText: "not proven"},
		"a new worker that has read it, so that the old one is gone":          {script: renews, row: reads, want: agent.Applied, wantProven: true, wantProof: "workers renewed"},
		"a new worker that has ended, since what it read is bad":              {script: ends, row: reads, want: agent.Rejected, wantText: "kept its old"},
		"a worker that crashed and was replaced proves nothing":               {script: respawns, row: workers, want: agent.Applied, wantText: "not proven"},
		"old workers on their way out do not count":                           {script: drains, row: preset.Preset{Proof: preset.Proof{Kind: preset.ProofWorkers, Draining: "old one"}}, want: agent.Applied, wantProven: true, wantProof: "workers renewed"},
		"the process ends":             {script: dies, row: workers, want: agent.Died, wantText: "ended after"},
		"nothing but life can be seen": {script: alone, want: agent.Applied, wantProof: "alive", wantText: ", which is alive: not proven"},
		"a worker mode without workers": {
			script: alone, row: preset.Preset{NeedsWorkers: true}, want: agent.Failed, wantText: "no workers",
		},
		"a worker mode without workers, in which the signal would kill": {
			script: deaf, row: preset.Preset{NeedsWorkers: true}, want: agent.Failed, wantText: "(haproxy -W)",
		},
		"a signal that would kill": {script: deaf, want: agent.Failed, wantText: "would be killed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, tc.script)
			r.Plan.Row = tc.row
			if strings.HasPrefix(tc.script, serverMode) {
				r.Plan.Assured, r.Plan.VerifyTimeout = process.UserAssurance, patience.Stretch(time.Second)
			}
			switch {
			case tc.wantProven || tc.want == agent.Died:
				r.Plan.VerifyTimeout = patience.Usual
			case tc.script == grows, tc.script == respawns, tc.script == ends, strings.HasSuffix(tc.script, again): // something is to be seen, and it is no proof
				r.Plan.VerifyTimeout = patience.Stretch(time.Second)
			}
			out := r.Reload(t.Context(), changed())
			if out.Result != tc.want || out.Proven != tc.wantProven || tc.wantProof != "" && out.Proof != tc.wantProof || !strings.Contains(out.Message, tc.wantText) {
				t.Errorf("%+v, want %s by %q with %q", out, tc.want, tc.wantProof, tc.wantText)
			}
			sent := tc.wantText != "no workers" && tc.script != deaf
			if out.Triggered != sent || strings.HasPrefix(out.Trigger, "SIGHUP to ") != sent {
				t.Errorf("triggered = %v, trigger %q; want %v", out.Triggered, out.Trigger, sent)
			}
		})
	}
}

func TestNothingIsSentWhenItIsNotNeededOrNotWise(t *testing.T) {
	t.Parallel()
	no := preset.Preset{Name: "x", Validators: [][]string{{"sh", "-c", "echo bad line 7; exit 1"}}, MustValidate: true, BadFile: preset.Exits}
	none := preset.Preset{Name: "x", Validators: [][]string{{"no-such-program-here"}}, MustValidate: true, BadFile: preset.Exits}
	hidden := preset.Preset{Name: "x", Validators: [][]string{{"sh", preset.Title}}, MustValidate: true, BadFile: preset.Exits}
	cases := map[string]struct {
		row       preset.Preset
		state     digest.State
		seen      time.Time
		dry       bool
		want      agent.Result
		wantText  string
		wantFinal bool
	}{
		"the process is younger than the content": {state: changed().State, seen: time.Now().Add(-time.Hour), want: agent.Applied, wantText: "has read it"},
		"the validator says no":                   {row: no, state: changed().State, want: agent.Rejected, wantText: "bad line 7"},
		"there is no validator":                   {row: none, state: changed().State, want: agent.Failed, wantText: "nothing was sent", wantFinal: true},
		"the validator would look elsewhere":      {row: hidden, state: changed().State, want: agent.Failed, wantText: "nothing was sent", wantFinal: true},
		"a dry run":                               {state: changed().State, dry: true, want: agent.DryRun, wantText: "would send SIGHUP", wantFinal: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, dies)
			r.Plan.Row, r.Plan.DryRun = tc.row, tc.dry
			out := r.Reload(t.Context(), agent.Change{State: tc.state, Seen: tc.seen})
			if out.Result != tc.want || !strings.Contains(out.Message, tc.wantText) || out.Final != tc.wantFinal || out.Triggered {
				t.Errorf("%+v, want %s with %q", out, tc.want, tc.wantText)
			}
			if _, err := r.Table.Meant(r.Plan.Process, r.Plan.Signal); err != nil {
				t.Errorf("the process was signaled: %v", err)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	r := newReloader(reload.Plan{Process: process.Selector{Names: []string{"no-such-program-here"}}, Signal: syscall.SIGHUP})
	out := r.Reload(t.Context(), changed())
	if out.Result != agent.Failed || out.Final || !strings.Contains(out.Message, "no-such-program-here") {
		t.Errorf("%+v, want failed for now, with the name", out)
	}
	if _, known := r.LoadedAt(t.Context()); known {
		t.Error("the age of nothing is known")
	}
}

func TestLoadedAtIsTheAgeOfTheWorkers(t *testing.T) {
	t.Parallel()
	r := start(t, renews)
	r.Plan.Row = preset.Preset{Proof: preset.Proof{Kind: preset.ProofWorkers}, BadFile: preset.Keeps}
	r.Plan.VerifyTimeout = patience.Usual
	time.Sleep(300 * time.Millisecond)
	reported := time.Now()
	if out := r.Reload(t.Context(), changed()); out.Result != agent.Applied {
		t.Fatalf("%+v", out)
	}
	patience.Await(t, "the old worker is gone, and the new one has read the configuration", func() bool {
		at, known := r.LoadedAt(t.Context())
		return known && at.After(reported.Add(-50*time.Millisecond)) // start times have a resolution of 10 ms
	})
}

//nolint:paralleltest // a command whose time is up ends all that this process has started since, the other tests' servers too
func TestCommand(t *testing.T) {
	cases := map[string]struct {
		argv     []string
		timeout  time.Duration
		want     agent.Result
		wantText string
	}{
		"exit 0":                        {argv: []string{"true"}, want: agent.Applied},
		"exit 1":                        {argv: []string{"sh", "-c", "echo line 9 >&2; exit 1"}, want: agent.Rejected, wantText: "line 9"},
		"not there":                     {argv: []string{"no-such-program-here"}, want: agent.Failed, wantText: "no-such-program-here"},
		"not there, as a shell says it": {argv: []string{"sh", "-c", "no-such-program-here"}, want: agent.Failed, wantText: "not found"},
		"killed by a signal":            {argv: []string{"sh", "-c", "kill -9 $$"}, want: agent.Failed},
		"too slow, and its children with it": {
			argv: []string{"sh", "-c", "sleep 600 & wait"}, timeout: 100 * time.Millisecond, want: agent.Failed, wantText: "not done within",
		},
		"a child that keeps the output": {argv: []string{"sh", "-c", "sleep 120 & exit 0"}, want: agent.Applied},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := newReloader(reload.Plan{Command: tc.argv})
			if tc.timeout > 0 {
				r.Plan.CommandTimeout = tc.timeout
			}
			begin := time.Now()
			out := r.Reload(t.Context(), changed())
			if out.Result != tc.want || !strings.Contains(out.Message, tc.wantText) {
				t.Errorf("%+v, want %s with %q", out, tc.want, tc.wantText)
			}
			if took := time.Since(begin); took > 100*time.Second {
				t.Errorf("took %v, which is as long as its child", took)
			}
		})
	}
}

func TestProofFromMetricsAndFields(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		after     string
		wantField agent.Result // of the JSON field
	}{
		"it moved":     {after: "2", wantField: agent.Applied},
		"it stayed":    {after: "1", wantField: agent.Late},
		"it is broken": {after: "", wantField: agent.Late},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var reported atomic.Bool
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				value := "1"
				if reported.Load() {
					value = tc.after
				}
				if r.URL.Path == "/reload" {
					reported.Store(true)
					return
				}
				fmt.Fprintf(w, `{"count": %s}`, value)
			}))
			defer server.Close()
			r := newReloader(reload.Plan{URL: &reload.Endpoint{URL: server.URL + "/reload", Timeout: patience.Usual}})
			if tc.wantField == agent.Applied {
				r.Plan.VerifyTimeout = patience.Usual
			}
			r.Plan.Row = preset.Preset{
				BadFile: preset.Keeps, Proof: preset.Proof{Kind: preset.ProofField, URL: server.URL + "/", Field: "count"},
			}
			if out := r.Reload(t.Context(), changed()); out.Result != tc.wantField {
				t.Errorf("%+v, want %s", out, tc.wantField)
			}
		})
	}
}

func TestVerifyURL(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/denied" {
			w.WriteHeader(http.StatusForbidden)
		}
		if r.URL.Path == "/bad" || r.URL.Path == "/soon" && asked.Add(1) < 3 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	for path, want := range map[string]agent.Result{"/good": agent.Applied, "/soon": agent.Applied, "/bad": agent.Late, "/denied": agent.Failed} {
		r := newReloader(reload.Plan{
			Command: []string{"true"}, VerifyURL: &reload.Endpoint{URL: server.URL + path, Method: http.MethodGet, Timeout: patience.Usual},
		})
		if want == agent.Applied {
			r.Plan.VerifyTimeout = patience.Usual
		}
		if out := r.Reload(t.Context(), changed()); out.Result != want || !out.Triggered || out.Final != (want == agent.Failed) {
			t.Errorf("%s: %+v, want %s", path, out, want)
		}
	}
}
