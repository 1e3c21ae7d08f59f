package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"inpod.dev/inpod/internal/reloadspec"
)

// ErrRefused means that a signal was not sent because it would do harm, or nothing.
var ErrRefused = errors.New("signal refused")

// ParseSignal returns the signal of a name, see [reloadspec.ParseSignal].
func ParseSignal(text string) (syscall.Signal, error) {
	name, err := reloadspec.ParseSignal(text)
	if err != nil {
		return 0, err
	}
	for _, s := range signals() {
		if s.name == name {
			return s.signal, nil
		}
	}
	return 0, fmt.Errorf("no number is known for signal %s", name)
}

// SignalName is the short name of a signal, as ParseSignal understands it.
func SignalName(signal syscall.Signal) string {
	for _, s := range signals() {
		if s.signal == signal {
			return s.name
		}
	}
	return fmt.Sprintf("signal %d", int(signal))
}

type namedSignal struct {
	name   string
	signal syscall.Signal
	// harmless is true when a process without a handler ignores the signal (signal(7)).
	harmless bool
}

func signals() []namedSignal {
	return []namedSignal{
		{"HUP", syscall.SIGHUP, false},
		{"USR1", syscall.SIGUSR1, false},
		{"USR2", syscall.SIGUSR2, false},
		{"INT", syscall.SIGINT, false},
		{"QUIT", syscall.SIGQUIT, false},
		{"TERM", syscall.SIGTERM, false},
		{"ALRM", syscall.SIGALRM, false},
		{"WINCH", syscall.SIGWINCH, true},
		{"CONT", syscall.SIGCONT, true},
		{"IO", syscall.SIGIO, false},
		{"PWR", syscall.SIGPWR, false},
	}
}

// Assurance is who guarantees that a program handles a signal.
type Assurance int

// The assurances. A preset's counts where the kernel's tables do not show it, the user's always: a program that takes a
// signal with sigtimedwait (tini) looks as if it would die of it.
const (
	NoAssurance Assurance = iota
	PresetAssurance
	UserAssurance
)

// Allowed reports whether a signal may be sent to p, and if not, why.
//
// The rule: unhandled and not blocked by any thread kills the process, ignored does nothing, and the Go, Java and .NET
// runtimes show signals as handled that they do not handle. A signal that is blocked by a thread is taken with sigwait
// by another (BIND); but some programs also block everything for a moment, as a shell does while it forks, so blocked
// counts only when it stays so. On a busy machine that moment is long: a check of a process that blocks and does not
// rest says nothing, and when many of them said nothing the signal is not sent.
func (t Table) Allowed(ctx context.Context, p Process, signal syscall.Signal, assured Assurance) error {
	if assured == UserAssurance {
		return nil
	}
	const enough, most, pause = 10, 200, 10 * time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for check, sure := 1, 0; ; check++ {
		threads, err := t.masks(p.PID)
		if err != nil {
			return err
		}
		blocked, err := judge(p, threads, signal, assured == PresetAssurance)
		if err != nil || !blocked {
			return err
		}
		if restsBlocking(threads, signal) {
			sure++
		}
		switch {
		case sure == enough:
			return nil
		case check == most:
			return fmt.Errorf("%w: %s blocks SIG%s at every check, so it may die of the signal afterwards; if it "+
				"waits for it in another way, say so (--signal-handled)", ErrRefused, p, SignalName(signal))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("read the signals of %s: %w", p, ctx.Err())
		case <-timer.C:
			timer.Reset(pause)
		}
	}
}

// judge says from one check whether signal may be sent, and whether it is only allowed for being blocked.
func judge(p Process, threads []Masks, signal syscall.Signal, assured bool) (blocked bool, err error) {
	if runtime := hiddenBy(p, threads); runtime != "" && !assured {
		return false, fmt.Errorf("%w: %s is a %s program, and the kernel cannot know whether it handles SIG%s or dies of it; "+
			"use a preset, or say that it does (--signal-handled)", ErrRefused, p, runtime, SignalName(signal))
	}
	return verdict(p, threads, signal)
}

func verdict(p Process, threads []Masks, signal syscall.Signal) (blocked bool, err error) {
	var caught, ignored bool
	for _, m := range threads {
		caught = caught || m.Caught&bit(signal) != 0
		ignored = ignored || m.Ignored&bit(signal) != 0
		blocked = blocked || m.Blocked&bit(signal) != 0
	}
	switch {
	case caught:
		return false, nil
	case ignored:
		return false, fmt.Errorf("%w: %s ignores SIG%s, so it would do nothing", ErrRefused, p, SignalName(signal))
	case blocked:
		return true, nil
	}
	for _, s := range signals() {
		if s.signal == signal && s.harmless {
			return false, fmt.Errorf("%w: %s does not handle SIG%s, so it would do nothing", ErrRefused, p, s.name)
		}
	}
	return false, fmt.Errorf("%w: %s does not handle SIG%s and would be killed by it; if it waits for it in another way, say so "+
		"(--signal-handled)", ErrRefused, p, SignalName(signal))
}

// restsBlocking reports whether a thread that blocks a signal waits for something.
func restsBlocking(threads []Masks, signal syscall.Signal) bool {
	return slices.ContainsFunc(threads, func(m Masks) bool { return m.Rests && m.Blocked&bit(signal) != 0 })
}

// hiddenBy names the runtime of p when its signal tables say nothing.
func hiddenBy(p Process, threads []Masks) string {
	m := threads[0]
	// A Go program catches everything it can, SIGURG (23) and most real-time signals among them; libc programs do not.
	const goMask = uint64(1)<<(23-1) | uint64(0x7fffff)<<40
	if m.Caught&goMask == goMask {
		return "Go"
	}
	for _, name := range p.names() {
		switch name {
		case "java":
			return "Java"
		case "dotnet":
			return ".NET"
		}
	}
	// What the JVM catches for itself: HUP, INT, QUIT, ILL, FPE, BUS, SEGV, USR2, PIPE, TERM, XFSZ.
	const jvmMask = uint64(0x1005ccf)
	if m.Caught&jvmMask == jvmMask && len(threads) > 1 { // a program of one thread that catches all is another (dumb-init)
		return "Java"
	}
	return ""
}

// Send signals p and no other process: the number is bound to a pidfd first, then p is checked again.
func (t Table) Send(p Process, signal syscall.Signal) error {
	if p.PID <= 1 {
		return fmt.Errorf("%w: PID %d is never signaled", ErrRefused, p.PID)
	}
	handle, err := os.FindProcess(p.PID)
	if err != nil {
		return fmt.Errorf("signal %s: %w", p, err)
	}
	defer func() { _ = handle.Release() }()
	now, err := t.Get(p.PID)
	if err != nil {
		return err
	}
	if !now.Same(p) {
		return fmt.Errorf("signal %s: %w", p, errGone)
	}
	err = handle.Signal(signal)
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("signal %s: not permitted: it runs as user %d, this sidecar as user %d; run the sidecar as "+
			"user %d, or as user 0 with the KILL capability (a security module may also forbid it): %w",
			p, p.UID, os.Geteuid(), p.UID, err)
	}
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p, errGone)
	}
	if err != nil {
		return fmt.Errorf("signal %s: %w", p, err)
	}
	return nil
}

// Gone reports whether err means that the process ended.
func Gone(err error) bool { return errors.Is(err, errGone) }
