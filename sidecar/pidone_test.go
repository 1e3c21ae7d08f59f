package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pidOne makes this test binary the sidecar, as the first process of a PID namespace with a /proc of its own.
const pidOne = "TEST_PID_ONE"

// A sidecar that shares no process namespace is PID 1, to which all orphans of its container go.
func TestNoZombiesAsPIDOne(t *testing.T) {
	t.Parallel()
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("unshare(1) is not installed, so there is no way to be PID 1 here")
	}
	args := []string{"--pid", "--fork", "--mount-proc", "--kill-child"}
	if out, err := exec.CommandContext(t.Context(), unshare, append(args, "true")...).CombinedOutput(); err != nil {
		t.Skipf("no PID namespace can be made here (%v: %s), so there is no way to be PID 1", err, out)
	}
	dir := t.TempDir()
	conf, pids := filepath.Join(dir, "conf"), filepath.Join(dir, "pids")
	if err := os.Mkdir(conf, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), unshare, append(args, self, "--watch", conf, "--settle", "10ms", "--listen-address", "off",
		"--reload-command", `["sh","-c","(sh -c 'echo >> `+pids+`; exec sleep 0.1' >/dev/null 2>&1 &)"]`)...)
	cmd.Env, cmd.Stderr, cmd.WaitDelay = append(os.Environ(), pidOne+"=1"), &log, time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s", log.String())
		}
	})
	for i := range 15 {
		awaitTrue(t, fmt.Sprintf("reload %d has happened", i), func() bool {
			text, _ := os.ReadFile(pids)
			if strings.Count(string(text), "\n") > i {
				return true
			}
			return os.WriteFile(filepath.Join(conf, "a"), fmt.Append(nil, i), 0o600) != nil
		})
	}
	awaitTrue(t, "no process is left below the sidecar", func() bool { return descendants(t, cmd.Process.Pid) == 1 })
}

func awaitTrue(t *testing.T, what string, done func() bool) {
	t.Helper()
	const patience = time.Minute
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %s it is still not so that %s", patience, what)
		}
	}
}

// descendants counts the processes below pid, zombies included.
func descendants(t *testing.T, pid int) (count int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	children := map[string][]string{}
	for _, stat := range stats {
		text, _ := os.ReadFile(stat)
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 1 {
			children[fields[1]] = append(children[fields[1]], filepath.Base(filepath.Dir(stat)))
		}
	}
	for list := children[strconv.Itoa(pid)]; len(list) > 0; count++ {
		list = append(list[1:], children[list[0]]...)
	}
	return count
}
