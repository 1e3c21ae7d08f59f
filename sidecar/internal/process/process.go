// Package process finds the process that has to reload a new configuration, and decides whether a signal may be sent to
// it.
//
// It uses only what every user may read below /proc (stat, status, cmdline, comm, mountinfo), since a sidecar usually
// runs as another user, or without the capability to read more.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one process at one moment.
type Process struct {
	PID, Parent int
	// Comm is the kernel's name, cut to 15 characters.
	Comm string
	Args []string
	UID  int
	// Start is the time since boot at which the process began; with the PID it is an identity.
	Start time.Duration
	// Container is the Kubernetes name of the container, "" outside of one, and where it was not requested.
	Container string
	state     byte
	group     int
}

// Same reports whether both are the same process, and not one that got the number of the other.
func (p Process) Same(other Process) bool { return p.PID == other.PID && p.Start == other.Start }

// String is for messages: number and name, no arguments since these may hold secrets.
func (p Process) String() string { return fmt.Sprintf("%s (PID %d)", p.Comm, p.PID) }

// Alive is false for a process that has ended and only waits to be collected.
func (p Process) Alive() bool { return p.state != 'Z' && p.state != 'X' }

// Table reads processes below a mounted proc file system.
type Table struct {
	// Root is "/proc" outside of tests.
	Root string
	// Self is never found: the sidecar's own number.
	Self int
	// Boot is the time since boot, the kernel's own when nil.
	Boot func() (time.Duration, error)
}

// errGone says that a process ended while it was read.
var errGone = errors.New("the process is gone")

// List returns all processes that can be signaled: not PID 1, not the kernel's own, not zombies.
func (t Table) List() ([]Process, error) {
	pids, err := t.pids()
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, pid := range pids {
		p, err := t.Get(pid)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if p.Alive() && len(p.Args) > 0 {
			all = append(all, p)
		}
	}
	return all, nil
}

func (t Table) pids() ([]int, error) {
	entries, err := os.ReadDir(t.Root)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && pid > 1 && pid != t.Self {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Get reads one process.
func (t Table) Get(pid int) (Process, error) {
	stat, err := t.read(pid, "stat")
	if err != nil {
		return Process{}, err
	}
	p, err := parseStat(stat)
	if err != nil {
		return Process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	p.PID = pid
	status, err := t.read(pid, "status")
	if err != nil {
		return Process{}, err
	}
	if p.UID, _, err = parseStatus(status); err != nil {
		return Process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	cmdline, err := t.read(pid, "cmdline")
	if err != nil {
		return Process{}, err
	}
	p.Args = parseCmdline(cmdline)
	return p, nil
}

// Container is the Kubernetes name of the container that a process is in, "" outside of one.
func (t Table) Container(pid int) string {
	mounts, err := t.read(pid, "mountinfo")
	if err != nil {
		return ""
	}
	return parseContainer(mounts)
}

// Children returns the living children of a process, with names, numbers and start times alone: this is asked often
// while waiting for new workers.
func (t Table) Children(parent int) ([]Process, error) {
	pids, err := t.pids()
	if err != nil {
		return nil, err
	}
	var children []Process
	for _, pid := range pids {
		stat, err := t.read(pid, "stat")
		if err != nil {
			continue // ended
		}
		p, err := parseStat(stat)
		if err != nil {
			return nil, fmt.Errorf("process %d: %w", pid, err)
		}
		p.PID = pid
		if p.Parent == parent && p.Alive() {
			children = append(children, p)
		}
	}
	return children, nil
}

// SinceBoot is the time since boot, on the scale of Process.Start. /proc/uptime is not asked: LXCFS puts the age of the
// container there.
func (t Table) SinceBoot() (time.Duration, error) {
	if t.Boot != nil {
		return t.Boot()
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, fmt.Errorf("read the time since boot: %w", err)
	}
	return time.Duration(now.Nano()), nil
}

// ErrClocks means that a process seems to have started later than now, so that nothing is known of when it started.
var ErrClocks = errors.New("the start times of processes and the time since boot do not fit together")

// Resolution is that of Process.Start.
const Resolution = time.Second / userHz

// StartedAt is the time at which p began, given the present. It has a monotonic reading if now has one, and so can be
// compared with other such times whatever happened to the wall clock meanwhile.
func (t Table) StartedAt(p Process, now time.Time) (time.Time, error) {
	up, err := t.SinceBoot()
	if err != nil {
		return time.Time{}, err
	}
	if p.Start > up+Resolution {
		return time.Time{}, fmt.Errorf("%s: %w", p, ErrClocks)
	}
	return now.Add(min(0, p.Start-up)), nil
}

// masks returns the signal sets of all threads.
func (t Table) masks(pid int) ([]Masks, error) {
	dir := filepath.Join(t.Root, strconv.Itoa(pid), "task")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, errGone)
	}
	var all []Masks
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name(), "status")) //nolint:gosec // below /proc
		if err != nil {
			continue // the thread ended
		}
		_, m, err := parseStatus(text)
		if err != nil {
			return nil, fmt.Errorf("thread %s of process %d: %w", entry.Name(), pid, err)
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("process %d: %w", pid, errGone)
	}
	return all, nil
}

func (t Table) read(pid int, name string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(t.Root, strconv.Itoa(pid), name)) //nolint:gosec // below /proc
	// Reading a process that ends gives ESRCH, or an empty file.
	if err != nil && !errors.Is(err, fs.ErrPermission) || err == nil && name == "stat" && len(bytes.TrimSpace(text)) == 0 {
		return nil, fmt.Errorf("process %d: %w", pid, errGone)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of process %d (is /proc mounted with hidepid?): %w", name, pid, err)
	}
	return text, nil
}

// names are the executable names under which a user may know a process: the kernel's, the first argument's, and for
// an interpreter the script's. A set title such as "nginx: master process" counts as "nginx". Another program's first
// argument does not count: "dumb-init nginx" and "tail -f nginx" are not nginx.
func (p Process) names() []string {
	names := []string{p.Comm}
	if len(p.Args) == 0 {
		return names
	}
	word, _, _ := strings.Cut(p.Args[0], " ")
	names = append(names, programName(word))
	if script, _ := scriptOf(p.Args); script != "" {
		names = append(names, path.Base(script))
	}
	return names
}

func programName(word string) string { return strings.TrimSuffix(path.Base(word), ":") }

// Words are the arguments of the program, or of the script that it interprets. A process that set its own title, such as
// "nginx: master process nginx -c /etc/nginx.conf", is split at spaces, which is the best that is left.
func (p Process) Words() []string {
	words := p.Args
	if len(words) == 1 {
		words = strings.Fields(words[0])
	}
	if len(words) == 0 {
		return nil
	}
	_, before := scriptOf(words)
	return words[before:]
}

// Titled reports whether the process replaced its arguments by a title.
func (p Process) Titled() bool {
	return len(p.Args) == 1 && strings.Contains(p.Args[0], ": ")
}

// InTitle is what stands in parentheses in the title, "" for nothing: php-fpm shows its configuration there.
func (p Process) InTitle() string {
	if !p.Titled() {
		return ""
	}
	_, rest, _ := strings.Cut(p.Args[0], "(")
	inside, _, ok := strings.Cut(rest, ")")
	if !ok {
		return ""
	}
	return inside
}

// Directory is the working directory of p, "" when it may not be read: only the same user or root may.
func (t Table) Directory(p Process) string {
	dir, err := os.Readlink(filepath.Join(t.Root, strconv.Itoa(p.PID), "cwd"))
	if err != nil {
		return ""
	}
	return dir
}
