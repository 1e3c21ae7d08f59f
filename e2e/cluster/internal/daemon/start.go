package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// Daemon is a process to start.
type Daemon struct {
	Name string
	Args []string
	// Log is the file for everything it prints.
	Log string
	// Version changes with everything that the process reads only when it starts: its program, flags and files.
	Version string
	// Env is added to a small fixed environment.
	Env []string
	// Files are open files that it gets as descriptors 3, 4, …
	Files []*os.File
	// Joined is called with its process id before it is recorded.
	Joined func(pid int) error
}

// Start starts a daemon in a session of its own, with nothing of the caller open: a caller whose output is a pipe must
// be able to end while the daemon goes on.
func (t Table) Start(daemon Daemon) error {
	log, err := os.OpenFile(daemon.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	fmt.Fprintf(log, "---- start: %q\n", daemon.Args)

	command := exec.Command(daemon.Args[0], daemon.Args[1:]...)
	command.Dir = "/"
	command.Stdout, command.Stderr = log, log // Stdin is /dev/null
	command.Env = append(baseEnv(), daemon.Env...)
	command.ExtraFiles = daemon.Files
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", daemon.Name, err)
	}
	go func() { _ = command.Wait() }() // no zombie while the caller lives; how it ended is in its log
	if daemon.Joined != nil {
		if err := daemon.Joined(command.Process.Pid); err != nil {
			_ = command.Process.Kill()
			return err
		}
	}
	if err := t.Remember(daemon.Name, command.Process.Pid, daemon.Version); err != nil {
		_ = command.Process.Kill()
		return err
	}
	return nil
}

// baseEnv leaves out what the caller's environment would change, proxies above all: the cluster has no way out.
func baseEnv() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"LANG=C.UTF-8",
	}
}
