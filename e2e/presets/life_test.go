//go:build presets

package presets

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nginxCase is the nginx of the table, started.
func nginxCase(t *testing.T) (server, env) { return nginxOf(t, "") }

// nginxOf is nginx run by a user.
func nginxOf(t *testing.T, user string) (server, env) {
	t.Helper()
	s := webServers()[0]
	s.user = user
	need(t, s.program)
	e := newEnv(t)
	swap(t, e.conf, s.files(e, "v1"))
	afterTheStart() // or the other way round: a start within the resolution of the change counts as one before it
	s.start(t, e)
	s.wantShown(t, e, "v1")
	afterTheStart()
	return s, e
}

// workersOf are the workers of the nginx with that configuration, as text.
func workersOf(t *testing.T, e env) string {
	t.Helper()
	master, err := output("pgrep", "-f", "nginx: master .*"+regexp.QuoteMeta(e.conf))
	if err != nil {
		t.Fatal(err)
	}
	workers, _ := output("pgrep", "-P", strings.TrimSpace(master))
	return workers
}

// watchUntil is watch with a way to end that sidecar, so that another can be started.
func (s server) watchUntil(t *testing.T, e env, args ...string) (ended <-chan outcome, stop func()) {
	t.Helper()
	s.sidecar = func(env) []string { return args }
	ctx, cancel := context.WithCancel(context.Background())
	return s.watchContext(ctx, t, e), cancel
}

func TestChangeWhileTheSidecarIsAway(t *testing.T) {
	for _, remembers := range []bool{false, true} {
		t.Run(fmt.Sprintf("state file %v", remembers), func(t *testing.T) {
			s, e := nginxCase(t)
			var args []string
			if remembers {
				args = []string{"--state-file", e.data + "/state"}
			}
			ended, stop := s.watchUntil(t, e, args...)
			s.edit(t, e, ended, func(f map[string]string) { swap(t, e.conf, f) }, "v2")
			stop()

			swap(t, e.conf, s.files(e, "v3")) // nobody watches
			time.Sleep(300 * time.Millisecond)
			ended, stop = s.watchUntil(t, e, args...)
			if got := next(t, ended); got.Result != "applied" {
				t.Fatalf("%+v, want the change found and applied", got)
			}
			s.wantShown(t, e, "v3")
			stop()
			time.Sleep(300 * time.Millisecond)

			before := workersOf(t, e)
			ended, stop = s.watchUntil(t, e, args...)
			defer stop()
			select {
			case got := <-ended:
				t.Errorf("reloaded twice: %+v", got)
			case <-time.After(2 * time.Second):
			}
			if after := workersOf(t, e); after != before {
				t.Errorf("workers %q became %q", before, after)
			}
		})
	}
}

func TestTwoVolumesGiveOneReload(t *testing.T) {
	s, e := nginxCase(t)
	second := publicDir(t)
	swap(t, second, map[string]string{"tls.crt": "1"})
	ended, stop := s.watchUntil(t, e, "--watch", second)
	defer stop()
	for i, version := range []string{"v2", "v3"} {
		swap(t, second, map[string]string{"tls.crt": fmt.Sprint("new", i)})
		time.Sleep(200 * time.Millisecond) // the kubelet writes one volume after the other
		s.edit(t, e, ended, func(f map[string]string) { swap(t, e.conf, f) }, version)
	}
	select {
	case got := <-ended:
		t.Errorf("one more reload: %+v", got)
	case <-time.After(2 * time.Second):
	}
}

func TestEqualContentReloadsNothing(t *testing.T) {
	s, e := nginxCase(t)
	ended, stop := s.watchUntil(t, e)
	defer stop()
	before := workersOf(t, e)
	for range 3 {
		swap(t, e.conf, s.files(e, "v1"))
		time.Sleep(100 * time.Millisecond)
	}
	select {
	case got := <-ended:
		t.Errorf("%+v, want nothing", got)
	case <-time.After(2 * time.Second):
	}
	if after := workersOf(t, e); after != before {
		t.Errorf("workers %q became %q", before, after)
	}
}

// Who may signal whom: another user may not, and the message names both users; root with no capability but KILL may,
// although it can read less below /proc than root can.
func TestRightsToSignal(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT PROVEN: needs root, to become another user")
	}
	cases := map[string]struct {
		server   string // its user, root when empty
		as       []string
		want     string
		wantText string
	}{
		"another user": {
			as: []string{"--reuid", "65532", "--regid", "65532", "--clear-groups"}, want: "failed",
			wantText: "it runs as user 0, this sidecar as user 65532",
		},
		"the same user": {
			server: "nobody", as: []string{"--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--no-new-privs"},
			want: "applied",
		},
		"root without KILL": {
			server: "nobody", as: []string{"--bounding-set", "-all", "--no-new-privs"}, want: "failed",
			wantText: "KILL capability",
		},
		"root with nothing but KILL": {
			server: "nobody", as: []string{"--bounding-set", "-all,+kill", "--no-new-privs"}, want: "applied",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, e := nginxOf(t, tc.server)
			argv := append([]string{"setpriv"}, tc.as...)
			argv = append(argv, binary, "--watch", e.conf, "--preset", "nginx", "--once", "--reload-cmdline", regexp.QuoteMeta(e.conf))
			swap(t, e.conf, s.files(e, "v2"))
			text, _ := output(argv...)
			if !strings.Contains(text, `"result":"`+tc.want+`"`) || !strings.Contains(text, tc.wantText) {
				t.Errorf("want %s with %q, got:\n%s", tc.want, tc.wantText, text)
			}
		})
	}
}

// A node has 128 inotify instances per user, whoever of that user's processes took them.
func TestInotifyExhausted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT PROVEN: needs root, to become another user")
	}
	const user = 54321
	hog := exec.Command("/usr/bin/python3", "-c", `import ctypes, time
libc = ctypes.CDLL(None)
n = 0
while libc.inotify_init() >= 0:
    n += 1
print(n, flush=True)
time.sleep(60)`)
	hog.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	out, err := hog.StdoutPipe()
	must(t, err)
	if err := hog.Start(); err != nil {
		t.Skipf("NOT PROVEN: %v", err)
	}
	defer func() { _ = hog.Process.Kill(); _ = hog.Wait() }()
	_, err = out.Read(make([]byte, 10))
	must(t, err)

	conf, reported := publicDir(t), filepath.Join(publicDir(t), "reloads")
	swap(t, conf, map[string]string{"a": "1"})
	sidecar := exec.Command(binary, "--watch", conf, "--listen-address", "off", "--poll-interval", "500ms",
		"--reload-command", fmt.Sprintf(`["sh","-c","echo reloaded >> %s"]`, reported))
	sidecar.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	var log strings.Builder
	sidecar.Stderr = &log
	must(t, sidecar.Start())
	defer func() {
		_ = sidecar.Process.Kill()
		_ = sidecar.Wait()
		t.Log(log.String())
	}()
	time.Sleep(time.Second)
	swap(t, conf, map[string]string{"a": "2"})
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if exists(reported) {
			return
		}
	}
	t.Error("a change was not found by polling")
}

// TestWeight holds the sidecar below what it was when it proved less: 7.2 MB at rest, a binary of 8.6 MB.
func TestWeight(t *testing.T) {
	small := filepath.Join(t.TempDir(), "sidecar")
	text, err := os.ReadFile("../../sidecar/build-flags")
	must(t, err)
	args := []string{"build", "-trimpath", "-ldflags", "-s -w"}
	environment := append(os.Environ(), "CGO_ENABLED=0")
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "-"):
			args = append(args, line)
		case line != "" && !strings.HasPrefix(line, "#"):
			environment = append(environment, line)
		}
	}
	build := exec.Command("go", append(args, "-o", small, "inpod.dev/inpod/sidecar")...)
	build.Env = environment
	must(t, build.Run())
	info, err := os.Stat(small)
	must(t, err)
	conf := publicDir(t)
	swap(t, conf, map[string]string{"a": "1"})
	sidecar := exec.Command(small, "--watch", conf, "--listen-address", "127.0.0.1:0", "--reload-url", "http://127.0.0.1:1/")
	must(t, sidecar.Start())
	defer func() { _ = sidecar.Process.Kill(); _ = sidecar.Wait() }()
	time.Sleep(5 * time.Second)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", sidecar.Process.Pid))
	must(t, err)
	resident := 0
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &resident); err == nil {
			break
		}
	}
	t.Logf("at rest %d kB, binary %d bytes", resident, info.Size())
	if resident == 0 || resident > 7_200 || info.Size() > 8_600_000 {
		t.Errorf("at rest %d kB, binary %d bytes; want at most 7200 and 8600000", resident, info.Size())
	}
}
