package command

import (
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// registry knows which children belong to os/exec, whose Wait must find their exit status.
type registry struct {
	takeOver sync.Once
	one      chan struct{}

	mu      sync.Mutex
	running map[int]bool
}

var children = registry{one: make(chan struct{}, 1), running: map[int]bool{}} //nolint:gochecknoglobals // the kernel keeps one set of children for a process, whoever starts them

// enter waits until no other command runs.
func (r *registry) enter(ctx context.Context) (leave func(), err error) {
	r.takeOver.Do(becomeSubreaper)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r.one <- struct{}{}:
		return func() { <-r.one }, nil
	}
}

// becomeSubreaper makes orphans of descendants children of this process. Where the kernel refuses, they go to PID 1 as
// usual, and are out of reach.
func becomeSubreaper() {
	const setChildSubreaper = 36 // PR_SET_CHILD_SUBREAPER, prctl(2)
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0)
}

// start starts cmd. No sweep happens between its fork and the moment at which it is known.
func (r *registry) start(cmd *exec.Cmd) (proc, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return proc{}, err
	}
	r.running[cmd.Process.Pid] = true
	root, ok := read(cmd.Process.Pid)
	if !ok {
		root = proc{pid: cmd.Process.Pid}
	}
	return root, nil
}

// forget is called when the exit status of a child has been taken.
func (r *registry) forget(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, pid)
}

// sweep reaps the orphans that have ended. It takes no child that os/exec waits for: those that were started here are
// known, and any other is in this process's own group, in which no orphan can be.
func (r *registry) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Going through all processes costs milliseconds on a full node, and almost always nothing has ended but a command
	// that os/exec waits for. Run sweeps again when that is taken.
	if ended, known := anyEnded(); known && (ended == 0 || r.running[ended]) {
		return
	}
	self, group := os.Getpid(), syscall.Getpgrp()
	for _, p := range list() {
		if p.parent == self && p.state == zombie && p.group != group && !r.running[p.pid] {
			_, _ = syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// anyEnded returns the number of a child that has ended and waits to be reaped, 0 for none, and leaves it there (waitid(2)).
// It is not known where the kernel refuses to say.
func anyEnded() (pid int, known bool) {
	const all, sizeofSiginfo, offsetOfPID = 0, 128, 16 // P_ALL; siginfo_t of 64-bit Linux: three ints, padding, then si_pid
	var info [sizeofSiginfo]byte
	_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, all, 0, uintptr(unsafe.Pointer(&info)), //nolint:gosec // the kernel fills it
		syscall.WEXITED|syscall.WNOHANG|syscall.WNOWAIT, 0, 0)
	if errno != 0 {
		return 0, errno == syscall.ECHILD
	}
	return int(binary.NativeEndian.Uint32(info[offsetOfPID:])), true
}

// Reap reaps orphans until the context ends. A value on ended, such as SIGCHLD, means that a child may have ended.
func Reap(ctx context.Context, ended <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
			children.sweep()
		}
	}
}

// ending is the end of one command.
type ending struct {
	root  proc
	ended <-chan error
	// done is true when the exit status of the command has been taken, so that its number may be another's.
	done bool
}

// end sends SIGTERM, waits, and sends SIGKILL for as long as something is left. It returns how many processes do not end.
func (e *ending) end(grace time.Duration) (left int) {
	const killing = 2 * time.Second
	e.send(e.left(), syscall.SIGTERM)
	if e.until(grace, e.left) == 0 {
		return 0
	}
	return e.until(killing, func() []proc {
		rest := e.left()
		e.send(rest, syscall.SIGKILL) // again and again: what forks meanwhile was not there the first time
		return rest
	})
}

// until looks until nothing is left, or time is up.
func (e *ending) until(limit time.Duration, poll func() []proc) (left int) {
	const pause, longest = 5 * time.Millisecond, 100 * time.Millisecond
	over, again := time.NewTimer(limit), time.NewTimer(pause)
	defer over.Stop()
	defer again.Stop()
	for wait := pause; ; wait = min(2*wait, longest) {
		if left = len(poll()); left == 0 {
			return 0
		}
		again.Reset(wait)
		select {
		case <-over.C:
			return left
		case <-e.ended: //nolint:errcheck // how it ended counts no more
			e.done, e.ended = true, nil
		case <-again.C:
		}
	}
}

// left is what has not ended yet of the command and of all that it started.
func (e *ending) left() []proc {
	children.sweep()
	left := e.root.descendants()
	if !e.done {
		left = append(left, e.root)
	}
	return left
}

// send signals the group as a whole, so that nothing that it forks meanwhile is missed, and then those that left it.
func (e *ending) send(left []proc, signal syscall.Signal) {
	if !e.done {
		_ = syscall.Kill(-e.root.pid, signal)
	}
	for _, p := range left {
		if e.done || p.group != e.root.pid {
			p.signal(signal)
		}
	}
}
