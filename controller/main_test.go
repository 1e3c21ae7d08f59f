package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"inpod.dev/inpod/internal/patience"
)

// asProgram makes the test binary be the controller: the tests run real processes, with real signals.
const asProgram = "INPOD_TEST_AS_CONTROLLER"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		_ = os.Unsetenv(asProgram)
		main()
	}
	os.Exit(m.Run())
}

// process is a controller that runs.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer // read it when the process has ended
	stderr *output
	ended  chan struct{}
}

// output collects what a process writes.
type output struct {
	mu      sync.Mutex
	changed *sync.Cond
	text    strings.Builder
	closed  bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.changed.Broadcast()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs the controller with nothing in its environment but what is given.
func start(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, stderr: &output{}, ended: make(chan struct{})}
	p.stderr.changed = sync.NewCond(&p.stderr.mu)
	ctx, cancel := patience.Context(context.WithoutCancel(t.Context()), 3*patience.Usual)
	p.cmd = exec.CommandContext(ctx, os.Args[0], args...)
	p.cmd.Env = append([]string{asProgram + "=1"}, environ...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // exit looks at the code
		cancel()
		p.stderr.mu.Lock()
		p.stderr.closed = true
		p.stderr.changed.Broadcast()
		p.stderr.mu.Unlock()
		close(p.ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
		if t.Failed() {
			t.Logf("%s %s:\n%s", filepath.Base(os.Args[0]), strings.Join(args, " "), p.stderr)
		}
	})
	return p
}

// exit waits for the end and returns the exit code.
func (p *process) exit() int {
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// awaitLog waits for a line of the log and returns its submatches.
func (p *process) awaitLog(pattern string) []string {
	p.t.Helper()
	expression := regexp.MustCompile(pattern)
	p.stderr.mu.Lock()
	defer p.stderr.mu.Unlock()
	for {
		if found := expression.FindStringSubmatch(p.stderr.text.String()); found != nil {
			return found
		}
		if p.stderr.closed {
			p.t.Fatalf("ended without a line %q", pattern)
		}
		p.stderr.changed.Wait()
	}
}

// get asks one of the endpoints.
func (p *process) get(path string) (status int, body string) {
	p.t.Helper()
	address := p.awaitLog(`msg=serving server=controller address=(\S+)`)[1]
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// kubeconfig writes a kubeconfig for a server.
func kubeconfig(t *testing.T, url string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": [{"name": "c", "cluster": {"server": %q}}],
		"contexts": [{"name": "c", "context": {"cluster": "c"}}]}`, url)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWithoutACluster(t *testing.T) {
	t.Parallel()
	const oneLine = `^time=\S+ level=INFO msg=starting [^\n]*\n(time=\S+ level=INFO msg=serving [^\n]*\n)?time=\S+ level=ERROR msg=stopped error="[^\n]*`
	for name, c := range map[string]struct {
		environ []string
		args    []string
		code    int
		stdout  string
		stderr  string
	}{
		"help":    {nil, []string{"--help"}, 0, `(?s)^inpod controller: makes running workloads.*--reload-strategy`, `^$`},
		"version": {nil, []string{"--version"}, 0, `^inpod controller \S+`, `^$`},
		"an unknown flag": {
			nil, []string{"--reload-stratgy=env-vars"}, 2, `^$`, `^controller: [^\n]*--reload-stratgy`,
		},
		"a value that is not allowed": {
			nil, []string{"--reload-strategy=env"}, 2, `^$`, `^controller: [^\n]*--reload-strategy[^\n]*"env"[^\n]*env-vars[^\n]*annotations`,
		},
		"a value from the environment": {
			[]string{"INPOD_SETTLE=soon"}, nil, 2, `^$`, `^controller: [^\n]*INPOD_SETTLE[^\n]*"soon"`,
		},
		"no kubeconfig": {
			nil, []string{"--listen-address=127.0.0.1:0"}, 1, `^$`, oneLine + `no cluster to work with`,
		},
		"a kubeconfig that is not there": {
			[]string{"KUBECONFIG=/does/not/exist"}, []string{"--listen-address=127.0.0.1:0"}, 1, `^$`, oneLine + `/does/not/exist[^\n]*no such file`,
		},
		"an API server that is not there": {
			[]string{"KUBECONFIG=" + kubeconfig(t, "http://127.0.0.1:1")},
			[]string{"--listen-address=127.0.0.1:0"},
			1,
			`^$`, oneLine + `cannot reach the API server at http://127.0.0.1:1`,
		},
		"an address that is taken": {
			[]string{"KUBECONFIG=/does/not/exist"}, []string{"--listen-address=240.0.0.1:80"}, 1, `^$`, oneLine + `cannot listen on`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, c.environ, c.args...)
			if code := p.exit(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !regexp.MustCompile(c.stdout).MatchString(p.stdout.String()) {
				t.Errorf("standard output %q does not match %s", p.stdout.String(), c.stdout)
			}
			if !regexp.MustCompile(c.stderr).MatchString(p.stderr.String()) {
				t.Errorf("standard error %q does not match %s", p.stderr, c.stderr)
			}
		})
	}
}

func TestStoppingBeforeTheWorkBegins(t *testing.T) {
	t.Parallel()
	for request, ready := range map[string]string{
		"GET version":                               "connecting to the API server\n",
		"POST selfsubjectaccessreviews":             "asking for permissions\n",
		"GET secrets inpod-system/inpod-digest-key": "asking for permissions\n",
		"WATCH configmaps":                          "filling the caches\n",
	} {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			s := startAPIServer(t)
			s.hold[request] = make(chan struct{})
			p := start(t, []string{"POD_NAMESPACE=inpod-system"}, "--kubeconfig", kubeconfig(t, s.server.URL), "--listen-address=127.0.0.1:0")
			s.await("the request", func() bool { return slices.Contains(s.requests, request) })
			if status, text := p.get("/ready"); status != http.StatusServiceUnavailable || text != ready {
				t.Errorf("/ready: %d %q, want %q", status, text, ready)
			}
			if status, text := p.get("/live"); status != http.StatusOK {
				t.Errorf("/live: %d %q", status, text)
			}
			p.signal(syscall.SIGTERM)
			if code := p.exit(); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			if !strings.Contains(p.stderr.String(), "msg=stopped") || strings.Contains(p.stderr.String(), "level=ERROR") {
				t.Error("the end is not logged as one that was asked for")
			}
		})
	}
}

// Who asks a second time does not want to wait.
func TestASecondSignalEndsTheProgramAtOnce(t *testing.T) {
	t.Parallel()
	s := startAPIServer(t)
	s.put(configMap("0"), deployment("web"))
	p := start(t, []string{"POD_NAMESPACE=inpod-system"}, "--kubeconfig", kubeconfig(t, s.server.URL), "--listen-address=127.0.0.1:0", "--enable-ha=false")
	s.mu.Lock()
	s.hold["PATCH deployments shop/web"] = make(chan struct{})
	s.mu.Unlock()
	s.await("the baseline is being written", func() bool { return s.count("PATCH deployments") > 0 })
	again := time.NewTicker(100 * time.Millisecond) // two that come at once may be one
	defer again.Stop()
	for {
		p.signal(syscall.SIGTERM)
		select {
		case <-again.C:
			continue
		case <-p.ended:
		}
		break
	}
	p.exit()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %s, want by the signal itself", p.cmd.ProcessState)
	}
}

func TestMissingPermissionsAreListed(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := startAPIServer(t)
			s.denied["watch secrets"] = true
			p := start(t, []string{"POD_NAMESPACE=inpod-system"}, "--kubeconfig", kubeconfig(t, s.server.URL), "--listen-address=127.0.0.1:0", "--log-format", format)
			if code := p.exit(); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			text := p.stderr.String()
			if !strings.Contains(text, "watch") || !strings.Contains(text, "secrets") || !strings.Contains(text, "to see their changes") {
				t.Error("the permission is not named")
			}
			if isList := strings.Contains(text, "\nkind: ClusterRole\n"); isList != (format == "text") {
				t.Errorf("objects for kubectl apply: %t", isList)
			}
			if format == "json" {
				for line := range strings.Lines(text) {
					if !strings.HasPrefix(line, "{") {
						t.Errorf("a line that is not JSON: %s", line)
					}
				}
			}
		})
	}
}
