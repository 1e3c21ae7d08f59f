// Package command runs a command to its end, with everything that it started.
//
// A command runs in a process group of its own and without a shell. When its time is up, or the sidecar stops, the group
// and all descendants get SIGTERM, then SIGKILL: also those that left the group or the session. The kernel gives orphans
// to this process (PR_SET_CHILD_SUBREAPER, or because it is PID 1), so they can be found, and are reaped when they end.
//
// What a command leaves running when it ends by itself is left alone: it may be meant to start a daemon.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"inpod.dev/inpod/sidecar/internal/redact"
)

// Command is what to run.
type Command struct {
	// Argv is the program and its arguments. A program without a slash is looked up in PATH.
	Argv []string
	// Dir is the working directory, "" for this process's own.
	Dir string
	// Env is its environment, nil for this process's own.
	Env []string
	// Timeout is how long it may take.
	Timeout time.Duration
	// Grace is the time between SIGTERM and SIGKILL, 2 s when zero.
	Grace time.Duration
}

// Result is what came of a command.
type Result struct {
	Argv []string
	// Output is the beginning of what it wrote to its standard output and its standard error. It ends with redact.Cut where
	// that may not be all.
	Output string
	// Err is nil when it ended with status 0.
	Err error
	// Exited reports whether it ran to its own end and said no. Otherwise a non-nil Err means that it could not be run,
	// was killed, or did not end in time.
	Exited bool
}

// The exit statuses by which shells and env(1) say that a program could not be run at all.
const (
	notExecutable = 126
	notFound      = 127
)

// drain is how long the output of a command that has ended is waited for: a child of it may keep the output open.
const drain = time.Second

// Run runs c to its end. Only one command runs at a time, since what a command leaves behind is known by its age alone.
func Run(ctx context.Context, c Command) Result {
	result := Result{Argv: c.Argv}
	leave, err := children.enter(ctx)
	if err != nil {
		result.Err = fmt.Errorf("run %s: stopped: %w", c.Argv[0], err)
		return result
	}
	defer leave()
	var output limited
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...) //nolint:gosec,noctx // the user's command is the purpose; finish ends it
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env, cmd.WaitDelay = &output, &output, c.Dir, c.Env, drain
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	root, err := children.start(cmd)
	if err != nil {
		result.Err = fmt.Errorf("run %s: %w", c.Argv[0], err)
		return result
	}
	result.Err = c.finish(ctx, cmd, root)
	result.Output = output.String()
	children.sweep()
	if exit, ok := errors.AsType[*exec.ExitError](result.Err); ok {
		result.Exited = exit.Exited() && exit.ExitCode() != notExecutable && exit.ExitCode() != notFound
	}
	if result.Err != nil && !result.Exited {
		result.Err = fmt.Errorf("run %s: %w", c.Argv[0], result.Err)
	}
	return result
}

// finish waits for the end of the command, and brings it about when time is up.
func (c Command) finish(ctx context.Context, cmd *exec.Cmd, root proc) error {
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		children.forget(root.pid)
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil // it has ended; a child of it keeps the output open
		}
		ended <- err
	}()
	timer := time.NewTimer(c.Timeout)
	defer timer.Stop()
	var why error
	select {
	case err := <-ended:
		return err
	case <-timer.C:
		why = fmt.Errorf("not done within %s", c.Timeout)
	case <-ctx.Done():
		why = fmt.Errorf("stopped: %w", ctx.Err())
	}
	e := ending{root: root, ended: ended}
	if left := e.end(c.grace()); left > 0 {
		return fmt.Errorf("%w; %d of its processes do not end (another user's, or waiting for a disk or a network)", why, left)
	}
	return why
}

func (c Command) grace() time.Duration {
	const usual = 2 * time.Second
	if c.Grace == 0 {
		return usual
	}
	return c.Grace
}

// limited keeps the first bytes of an output. A command that cannot be ended may still write while that is read.
type limited struct {
	mu   sync.Mutex
	text bytes.Buffer
	more bool
}

func (l *limited) Write(p []byte) (int, error) {
	const limit = 16 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := limit - l.text.Len(); room > 0 {
		l.text.Write(p[:min(room, len(p))])
	}
	l.more = l.more || l.text.Len() == limit
	return len(p), nil
}

func (l *limited) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more {
		return l.text.String() + redact.Cut
	}
	return l.text.String()
}
