package process

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// Meant returns the process that is to be sent signal: the one that the selector finds, and where that only starts another
// program and passes signals on (tini) or would keep them from one that handles them (a shell), that program. A signal of 0 is none.
func (t Table) Meant(s Selector, signal syscall.Signal) (Process, error) {
	all, err := t.List()
	if err != nil {
		return Process{}, err
	}
	if s.Container != "" {
		for i := range all {
			all[i].Container = t.Container(all[i].PID)
		}
	}
	found, err := Find(all, s)
	if err != nil {
		if first, ok := t.first(s); ok {
			return Process{}, fmt.Errorf("%w: %s is the process that is meant, and PID 1 is never signaled, since the kernel drops "+
				"what it does not handle and its end is the end of the container; give --reload-url or --reload-command, or "+
				"start it under an init such as tini", ErrRefused, first)
		}
		return Process{}, err
	}
	if len(s.Names) > 0 {
		return found, nil // the user or the preset means exactly this program
	}
	return t.behind(all, found, signal, 0), nil
}

// first is PID 1, if it is meant.
func (t Table) first(s Selector) (Process, bool) {
	const one = 1
	if t.Self == one {
		return Process{}, false
	}
	p, err := t.Get(one)
	if err != nil {
		return Process{}, false
	}
	if s.Container != "" {
		p.Container = t.Container(one)
	}
	return p, s.Matches(p)
}

// deepest bounds how many programs are looked through.
const deepest = 8

// behind looks through programs that only start another.
func (t Table) behind(all []Process, p Process, signal syscall.Signal, depth int) Process {
	var children []Process
	for _, c := range all {
		if c.Parent == p.PID {
			children = append(children, c)
		}
	}
	if len(children) == 0 || depth == deepest {
		return p
	}
	// An init also gets the orphans of others; the program that it started is its first child.
	child := slices.MinFunc(children, func(a, b Process) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.PID, b.PID))
	})
	switch {
	case p.isInit():
		return t.behind(all, child, signal, depth+1)
	case p.isShell() && len(children) == 1 && signal != 0:
		// A shell may also be the application itself, and its child a command of a moment.
		if meant := t.behind(all, child, signal, depth+1); t.handles(meant, signal) && t.shields(p, child, signal) {
			return meant
		}
	}
	return p
}

// handles reports whether the kernel's tables say that p handles signal.
func (t Table) handles(p Process, signal syscall.Signal) bool {
	threads, err := t.masks(p.PID)
	return err == nil && threads[0].Caught&bit(signal) != 0
}

func (p Process) isInit() bool {
	return slices.ContainsFunc(p.names(), func(name string) bool {
		switch strings.TrimSuffix(name, "-static") {
		case "tini", "dumb-init", "catatonit", "docker-init":
			return true
		}
		return false
	})
}

func (p Process) isShell() bool {
	switch p.Comm {
	case "sh", "bash", "dash", "ash", "ksh", "zsh", "busybox":
		return true
	}
	return false
}

// shields reports whether a signal to the shell would not reach its only child: the shell does not trap it, or it waits
// for the child in the foreground, and a trap runs only when that has ended.
func (t Table) shields(shell, child Process, signal syscall.Signal) bool {
	if !t.handles(shell, signal) {
		return true
	}
	// A shell without job control starts what it puts into the background with SIGINT and SIGQUIT ignored, and one with
	// it in another process group. A program that handles SIGQUIT itself may be either.
	threads, err := t.masks(child.PID)
	if err != nil || shell.group != child.group {
		return false
	}
	return (threads[0].Ignored|threads[0].Caught)&bit(syscall.SIGQUIT) == 0
}

func bit(signal syscall.Signal) uint64 { return uint64(1) << (uint(signal) - 1) }
