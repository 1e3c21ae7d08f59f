package command_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"inpod.dev/inpod/sidecar/internal/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("os/signal.loop")) }

// patience is for a machine that is busy with other things.
const patience = 30 * time.Second

func sh(script string) command.Command {
	return command.Command{Argv: []string{"sh", "-c", script}, Timeout: patience}
}

func TestResults(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		command    command.Command
		wantErr    string
		wantOutput string
		wantExited bool
	}{
		"a command that succeeds":              {command: sh("echo out; echo err >&2"), wantOutput: "out\nerr\n"},
		"a command that says no":               {command: sh("echo line 7; exit 3"), wantErr: "exit status 3", wantOutput: "line 7\n", wantExited: true},
		"a shell that cannot find its program": {command: sh("exit 127"), wantErr: "run sh: exit status 127"},
		"a shell that cannot run its program":  {command: sh("exit 126"), wantErr: "run sh: exit status 126"},
		"a command that is killed":             {command: sh("kill -9 $$"), wantErr: "run sh: signal: killed"},
		"a program that is not there":          {command: command.Command{Argv: []string{"/no/such/program"}, Timeout: patience}, wantErr: "/no/such/program: no such file"},
		"a child that keeps the output open":   {command: sh("sleep 5 & echo done"), wantOutput: "done\n"},
		"an output without end is cut": {
			command:    sh("yes | head -c 100000"),
			wantOutput: strings.Repeat("y\n", 8<<10) + "…",
		},
		"the working directory": {
			command:    command.Command{Argv: []string{"pwd"}, Dir: "/", Timeout: patience},
			wantOutput: "/\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := command.Run(t.Context(), tc.command)
			if got.Output != tc.wantOutput {
				t.Errorf("output = %.200q, want %.200q", got.Output, tc.wantOutput)
			}
			if (got.Err == nil) != (tc.wantErr == "") || got.Err != nil && !strings.Contains(got.Err.Error(), tc.wantErr) {
				t.Errorf("error = %v, want %q", got.Err, tc.wantErr)
			}
			if got.Exited != tc.wantExited {
				t.Errorf("exited = %v, want %v", got.Exited, tc.wantExited)
			}
		})
	}
}

// Each script writes its number to the file "pid" and would run for ever.
func TestNothingSurvivesTheTimeout(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"the command itself":                        `echo $$ > pid; exec sleep 1000`,
		"a child":                                   `sh -c 'echo $$ > pid; exec sleep 1000' & wait`,
		"a child with a session of its own":         `setsid sh -c 'echo $$ > pid; exec sleep 1000' & wait`,
		"an orphan with a session of its own":       `(setsid sh -c 'echo $$ > pid; exec sleep 1000' &); exec sleep 1000`,
		"a child of an orphan":                      `(setsid sh -c 'sh -c "echo \$\$ > pid; exec sleep 1000"; true' &); exec sleep 1000`,
		"what ignores SIGTERM":                      `trap "" TERM; echo $$ > pid; while :; do sleep 0.1; done`,
		"an orphan that ignores SIGTERM":            `(setsid sh -c 'trap "" TERM; echo $$ > pid; while :; do sleep 0.1; done' &); exec sleep 1000`,
		"an orphan whose parent ends upon SIGTERM":  `sh -c 'setsid sh -c "trap \"\" TERM; echo \$\$ > pid; exec sleep 1000" & wait' & wait`,
		"an orphan that closed what it was given":   `(setsid sh -c 'echo $$ > pid; exec sleep 1000 </dev/null >/dev/null 2>&1' &); exec sleep 1000`,
		"a child that gave itself a group in a job": `set -m; sh -c 'echo $$ > pid; exec sleep 1000' & wait`,
	}
	for name, script := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := command.Command{
				// The time only begins to matter when the script is where it should be.
				Argv: []string{"sh", "-c", script}, Dir: dir, Timeout: time.Second, Grace: 100 * time.Millisecond,
			}
			var got command.Result
			var pid int
			for deadline := time.Now().Add(patience); pid == 0; {
				got = command.Run(t.Context(), c)
				text, _ := os.ReadFile(filepath.Join(dir, "pid"))
				pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
				if c.Timeout *= 2; time.Now().After(deadline) {
					t.Fatal("the script did not begin")
				}
			}
			if got.Err == nil || !strings.Contains(got.Err.Error(), "run sh: not done within") || got.Exited {
				t.Errorf("error = %v, want that it is not done in time", got.Err)
			}
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d is still there (%v)", pid, err)
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
	}
}

func TestWhatCleansUpIsGivenTheTime(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		script  string
		stop    bool
		wantErr string
	}{
		"at the time-out":                          {script: `trap 'sleep 0.2; echo > cleaned; exit' TERM; echo > begun; while :; do sleep 0.05; done`, wantErr: "not done within"},
		"at a stop":                                {script: `trap 'sleep 0.2; echo > cleaned; exit' TERM; echo > begun; while :; do sleep 0.05; done`, stop: true, wantErr: "stopped"},
		"at a stop, in a session of its own":       {script: `setsid sh -c "trap 'sleep 0.2; echo > cleaned; exit' TERM; echo > begun; while :; do sleep 0.05; done" & wait`, stop: true, wantErr: "stopped"},
		"at a stop, when the command ends earlier": {script: `(trap 'sleep 0.2; echo > cleaned; exit' TERM; echo > begun; while :; do sleep 0.05; done) & trap exit TERM; wait`, stop: true, wantErr: "stopped"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := command.Command{Argv: []string{"sh", "-c", tc.script}, Dir: dir, Timeout: patience, Grace: patience}
			if !tc.stop {
				c.Timeout = 2 * time.Second
			} else {
				go func() {
					until(t, "the script has begun", func() bool { return exists(filepath.Join(dir, "begun")) })
					cancel()
				}()
			}
			got := command.Run(ctx, c)
			if got.Err == nil || !strings.Contains(got.Err.Error(), tc.wantErr) {
				t.Errorf("error = %v, want %q", got.Err, tc.wantErr)
			}
			if !exists(filepath.Join(dir, "cleaned")) {
				t.Error("it was killed before it had cleaned up")
			}
		})
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("after %s it is still not so that %s", patience, what)
			return
		}
	}
}

// What a command leaves running is left alone, becomes a child of this process, and is reaped when it ends.
func TestOrphansAreReaped(t *testing.T) {
	t.Parallel()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	ctx, cancel := context.WithCancel(t.Context())
	var reaping sync.WaitGroup
	reaping.Go(func() { command.Reap(ctx, ended) })
	t.Cleanup(func() {
		cancel()
		reaping.Wait()
		signal.Stop(ended)
	})
	dir := t.TempDir()
	for range 15 {
		got := command.Run(t.Context(), command.Command{
			Argv: []string{"sh", "-c", `(sh -c 'echo $$ >> pids; exec sleep 0.3' >/dev/null 2>&1 &)`}, Dir: dir, Timeout: patience,
		})
		if got.Err != nil {
			t.Fatal(got.Err)
		}
	}
	var pids []string
	until(t, "15 children have begun", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "pids"))
		pids = strings.Fields(string(text))
		return len(pids) == 15
	})
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		until(t, "process "+text+" is gone", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
	}
}

// The reaper and os/exec look for the same children at the same time.
func TestNoExitStatusIsStolen(t *testing.T) {
	t.Parallel()
	ended := make(chan os.Signal, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var reaping, others sync.WaitGroup
	reaping.Go(func() { command.Reap(ctx, ended) })
	reaping.Go(func() {
		for ctx.Err() == nil {
			select {
			case ended <- syscall.SIGCHLD:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { cancel(); reaping.Wait() })
	others.Go(func() { // of a part of this program that does not know this package
		for range 50 {
			err := exec.CommandContext(t.Context(), "sh", "-c", "exit 5").Run()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 5 {
				t.Errorf("another's command: error = %v, want exit status 5", err)
			}
		}
	})
	for range 50 {
		got := command.Run(t.Context(), sh("exit 7"))
		if exit, ok := errors.AsType[*exec.ExitError](got.Err); !ok || exit.ExitCode() != 7 {
			t.Errorf("error = %v, want exit status 7", got.Err)
		}
	}
	others.Wait()
}
