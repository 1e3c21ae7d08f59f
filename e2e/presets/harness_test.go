//go:build presets

package presets

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"inpod.dev/inpod/internal/preset"
)

// server is one case.
type server struct {
	preset string
	// program is what must be installed.
	program string
	// files is the configuration of a version, where the application finds what it shows of it.
	files func(e env, version string) map[string]string
	// argv starts the server in the foreground.
	argv func(e env) []string
	// user runs the server and the sidecar as somebody else, since some refuse root.
	user string
	// setup prepares what is not configuration.
	setup func(t *testing.T, e env)
	// shows says which version the server uses.
	shows func(e env) (string, error)
	// sidecar are further flags.
	sidecar func(e env) []string
	// bad makes a version that the server does not understand; nil where it understands everything.
	bad func(e env) map[string]string
	// wantBad is the result of that: "rejected" when empty.
	wantBad string
	// wantProof is the proof of a good edit.
	wantProof string
}

// env is where a case lives. Only conf is watched.
type env struct {
	conf, data         string
	port, port2, port3 int
}

func newEnv(t *testing.T) env {
	t.Helper()
	return env{conf: publicDir(t), data: publicDir(t), port: freePort(t), port2: freePort(t), port3: freePort(t)}
}

// patience is how long is waited for what must happen: a slow machine makes these tests slow, not red.
var patience = 2 * time.Minute

// afterTheStart lets the clock move on: a change within its resolution of the server's start counts as read at the start,
// and what is there before may count as changed.
func afterTheStart() { time.Sleep(300 * time.Millisecond) }

func (e env) listen() string { return fmt.Sprintf("127.0.0.1:%d", e.port) }
func (e env) url(path string) string {
	return "http://" + e.listen() + path
}

var binary string

func TestMain(m *testing.M) {
	flag.DurationVar(&patience, "patience", patience, "how long is waited for what must happen")
	dir, err := os.MkdirTemp("", "presettest")
	if err != nil {
		panic(err)
	}
	must0(os.Chmod(dir, 0o755))
	binary = filepath.Join(dir, "sidecar")
	build := exec.Command("go", "build", "-o", binary, "inpod.dev/inpod/sidecar")
	build.Stderr, build.Env = os.Stderr, append(os.Environ(), "CGO_ENABLED=0")
	must0(build.Run())
	code := m.Run()
	must0(os.RemoveAll(dir))
	os.Exit(code)
}

func must0(err error) {
	if err != nil {
		panic(err)
	}
}

// TestPresets runs servers beside each other, since most of the time is spent waiting for what must not happen.
func TestPresets(t *testing.T) {
	for _, s := range servers() {
		t.Run(s.preset, func(t *testing.T) {
			t.Parallel()
			for _, style := range []string{"volume", "folder"} {
				t.Run(style, func(t *testing.T) { s.test(t, style) })
			}
		})
	}
}

// TestEveryPreset keeps the table and the cases together: a row that nothing proves must be known as such.
func TestEveryPreset(t *testing.T) {
	unproven := []string{"fluent-bit", "vector"} // not in Debian; docs/presets.md says so
	for _, row := range preset.All() {
		tested := row.Refusal != "" || slices.ContainsFunc(servers(), func(s server) bool { return s.preset == row.Name })
		if tested == slices.Contains(unproven, row.Name) {
			t.Errorf("preset %s: tested %v; change this list, and say so in docs/presets.md", row.Name, tested)
		}
	}
}

// need fails without a program. Who runs these tests wants them proven, and packages.sh installs all.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("NOT PROVEN: %s is not installed: run make test-presets, or packages.sh", program)
	}
}

func (s server) test(t *testing.T, style string) {
	need(t, s.program)
	e := newEnv(t)
	put := func(files map[string]string) {
		if style == "volume" {
			swap(t, e.conf, files)
		} else {
			edit(t, e.conf, files)
		}
	}
	put(s.files(e, "v1"))
	if s.setup != nil {
		s.setup(t, e)
	}
	s.start(t, e)
	s.wantShown(t, e, "v1")
	afterTheStart()

	ended := s.watch(t, e)
	s.edit(t, e, ended, put, "v2")
	if s.bad != nil {
		put(s.bad(e))
		want := s.wantBad
		if want == "" {
			want = "rejected"
		}
		got := next(t, ended)
		if got.Result != want {
			t.Fatalf("bad edit: %+v, want %s", got, want)
		}
		t.Logf("bad edit: %s (%s) after %s: %s", got.Result, got.Proof, got.Took, got.Message)
		if want == "rejected" {
			s.wantShown(t, e, "v2")
		}
	}
	s.edit(t, e, ended, put, "v3")
}

func (s server) edit(t *testing.T, e env, ended <-chan outcome, put func(map[string]string), version string) {
	t.Helper()
	begin := time.Now()
	put(s.files(e, version))
	got := next(t, ended)
	if got.Result != "applied" || got.Proof != s.wantProof {
		t.Fatalf("good edit %s: %+v, want applied by %q", version, got, s.wantProof)
	}
	s.wantShown(t, e, version)
	t.Logf("good edit: applied (%s), served %d ms after the edit", got.Proof, time.Since(begin).Milliseconds())
}

// start runs the server until the test ends. Its output is shown when the test fails.
func (s server) start(t *testing.T, e env) {
	t.Helper()
	afterTheStart() // and before it: start times have a resolution of 10 ms
	argv := s.as(s.argv(e))
	cmd := exec.Command(argv[0], argv[1:]...)
	logFile, err := os.Create(filepath.Join(e.data, "server.log"))
	must(t, err)
	cmd.Stdout, cmd.Stderr, cmd.Dir = logFile, logFile, e.data
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		timer := time.AfterFunc(3*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		_ = cmd.Wait()
		timer.Stop()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if t.Failed() {
			text, _ := os.ReadFile(logFile.Name())
			t.Logf("server said:\n%s", text)
		}
	})
}

// as makes a command run as the server's user, which is how the injector runs the sidecar.
func (s server) as(argv []string) []string {
	if s.user == "" {
		return argv
	}
	return append([]string{"setpriv", "--reuid", s.user, "--clear-groups"}, argv...)
}

// outcome is the sidecar's log line at the end of a reload.
type outcome struct {
	Msg, Result, Proof, Message, Trigger, Took string
	Proven                                     bool
}

// watch runs the sidecar and returns the ends of its reloads.
func (s server) watch(t *testing.T, e env) <-chan outcome {
	t.Helper()
	return s.watchContext(context.Background(), t, e)
}

func (s server) watchContext(ctx context.Context, t *testing.T, e env) <-chan outcome {
	t.Helper()
	args := []string{
		"--watch", e.conf, "--preset", s.preset, "--listen-address", "off",
		// The machine may run another server of the kind.
		"--reload-cmdline", regexp.QuoteMeta(e.conf),
	}
	if s.sidecar != nil {
		args = append(args, s.sidecar(e)...)
	}
	ctx, cancel := context.WithCancel(ctx)
	argv := s.as(append([]string{binary}, args...))
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	// As in the server's own image, its programs are on the path.
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":"+filepath.Dir(s.program))
	out, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	lines, ready := make(chan outcome, 100), make(chan struct{})
	var text strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			fmt.Fprintln(&text, scanner.Text())
			var o outcome
			if err := json.Unmarshal(scanner.Bytes(), &o); err != nil {
				if strings.HasPrefix(scanner.Text(), "{") {
					t.Errorf("the sidecar's line cannot be read: %v: %s", err, scanner.Text())
				}
				continue
			}
			switch o.Msg {
			case "watching":
				close(ready)
			case "reload ended":
				lines <- o
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sidecar said:\n%s", text.String())
		}
	})
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatal("the sidecar does not watch")
	}
	return lines
}

func next(t *testing.T, ended <-chan outcome) outcome {
	t.Helper()
	select {
	case o := <-ended:
		return o
	case <-time.After(patience):
		t.Fatalf("no reload within %s", patience)
		return outcome{}
	}
}

// wantShown waits until the server shows a version.
func (s server) wantShown(t *testing.T, e env, want string) {
	t.Helper()
	var got string
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if got, err = s.shows(e); err == nil && got == want {
			return
		}
	}
	t.Fatalf("the server shows %q, %v; want %q", got, err, want)
}

// swap writes a directory the way the kubelet does (pkg/volume/util/atomic_writer.go).
func swap(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	name := fmt.Sprintf("..%d", time.Now().UnixNano())
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	edit(t, filepath.Join(dir, name), files)
	must(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	tops := map[string]bool{}
	for file := range files {
		top, _, _ := strings.Cut(file, "/")
		tops[top] = true
		if link := filepath.Join(dir, top); !exists(link) {
			must(t, os.Symlink(filepath.Join("..data", top), link))
		}
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, entry := range entries { // links to what is gone
		if !tops[entry.Name()] && !strings.HasPrefix(entry.Name(), "..") {
			must(t, os.Remove(filepath.Join(dir, entry.Name())))
		}
	}
	if old != "" {
		must(t, os.RemoveAll(filepath.Join(dir, old)))
	}
}

// edit writes files in place.
func edit(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	for file, text := range files {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
		mode := os.FileMode(0o644)
		if strings.HasSuffix(file, ".key") {
			mode = 0o640 // PostgreSQL uses no key that everybody may read
		}
		must(t, os.WriteFile(filepath.Join(dir, file), []byte(text), mode))
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// publicDir is a temporary directory that a server may enter after it has given up root.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "preset") //nolint:usetesting // t.TempDir is closed to other users
	must(t, err)
	must(t, os.Chmod(dir, 0o777))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// ports are below those that the kernel gives to connections and to listeners without a port of their own (32768 and up,
// net.ipv4.ip_local_port_range): one of those can be taken between the choice of a port and the server's bind.
const firstPort, lastPort = 20_000, 32_000

// lastGiven is the port that was given to a test last, less firstPort. Each is given once in a run.
var lastGiven atomic.Int64

func freePort(t *testing.T) int {
	t.Helper()
	for range lastPort - firstPort {
		port := firstPort + int(lastGiven.Add(1))%(lastPort-firstPort)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // another program has it
		}
		must(t, l.Close())
		return port
	}
	t.Fatalf("no port between %d and %d is free", firstPort, lastPort)
	return 0
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// get reads a page, whatever its status.
func get(url string) (string, error) {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return strings.TrimSpace(string(text)), err
}

// versionIn finds the version in a text: the last of v1, v2, v3 that occurs.
func versionIn(text string) string {
	best, at := "", -1
	for _, v := range []string{"v1", "v2", "v3"} {
		if i := strings.LastIndex(text, "inpod-"+v); i > at {
			best, at = v, i
		}
	}
	return best
}

func page(path string) func(env) (string, error) {
	return func(e env) (string, error) {
		text, err := get(e.url(path))
		return versionIn(text), err
	}
}

// basicUser shows which of the users v1 and v2 a page lets in with the password "secret".
func basicUser(path string) func(env) (string, error) {
	return func(e env) (string, error) {
		for _, user := range []string{"v1", "v2"} {
			request, err := http.NewRequest(http.MethodGet, e.url(path), http.NoBody)
			if err != nil {
				return "", err
			}
			request.SetBasicAuth(user, "secret")
			client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			response, err := client.Do(request)
			if err != nil {
				return "", err
			}
			_ = response.Body.Close()
			// Whoever is let in may still find nothing there.
			if response.StatusCode == http.StatusOK || response.StatusCode == http.StatusNotFound {
				return user, nil
			}
		}
		return "", nil
	}
}

// pageAs is page with a header that names the client.
func pageAs(path, client string) func(env) (string, error) {
	return func(e env) (string, error) {
		request, err := http.NewRequest(http.MethodGet, e.url(path), http.NoBody)
		if err != nil {
			return "", err
		}
		request.Header.Set("X-Client", client)
		http1 := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := http1.Do(request)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		return versionIn(string(text)), err
	}
}

// redirect shows the version in the place where a page leads to.
func redirect(path string) func(env) (string, error) {
	return func(e env) (string, error) {
		client := http.Client{
			Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		response, err := client.Get(e.url(path))
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		return versionIn(response.Header.Get("Location")), nil
	}
}

// writeOnce writes a file that is not there.
func writeOnce(file, text string) error {
	if exists(file) {
		return nil
	}
	return os.WriteFile(file, []byte(text), 0o644)
}
