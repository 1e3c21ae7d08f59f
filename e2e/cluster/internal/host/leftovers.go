package host

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"inpod.dev/inpod/e2e/cluster/internal/paths"
)

// Process is a process of the cluster that was found by what it is, not by a record.
type Process struct {
	PID     int
	Command string
}

// Traces finds what belongs to one cluster on the machine, from nothing but its place.
type Traces struct {
	Place  paths.Place
	Groups Groups
	// Proc is the folder of the process file system, normally /proc.
	Proc string
}

// Processes finds the cluster's processes: those in its control groups (daemons, shims, containers), in its network
// namespace, or with its state folder in the command line (a daemon whose starter died before it was put into a group).
// The caller and the processes it descends from are none of them, although a make or a shell may name the folder.
func (t Traces) Processes() ([]Process, error) {
	entries, err := os.ReadDir(t.Proc)
	if err != nil {
		return nil, err
	}
	ancestors := t.ancestors(os.Getpid())
	namespace, hasNamespace := Namespace{File: t.Place.Netns()}.Inode()
	var found []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || slices.Contains(ancestors, pid) {
			continue
		}
		dir := filepath.Join(t.Proc, entry.Name())
		commandLine, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || t.dead(dir) {
			continue // it ended meanwhile, or is a zombie that only its parent can bury
		}
		groups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		var inNamespace bool
		if hasNamespace {
			var stat syscall.Stat_t
			inNamespace = syscall.Stat(filepath.Join(dir, "ns", "net"), &stat) == nil && stat.Ino == namespace
		}
		if inNamespace || t.Groups.Holds(string(groups)) || t.named(commandLine) {
			found = append(found, Process{PID: pid, Command: printable(commandLine)})
		}
	}
	return found, nil
}

// named reports whether a command line is that of a daemon or a shim of this cluster: one of their programs, with a
// path of the state folder among the arguments. Somebody's `tail -f` of a log is neither.
func (t Traces) named(commandLine []byte) bool {
	args := strings.Split(strings.TrimRight(string(commandLine), "\x00"), "\x00")
	program := filepath.Base(args[0])
	ours := strings.HasPrefix(program, "containerd") || program == "kube" || program == "nsenter" ||
		program == "runc" || strings.HasPrefix(args[0], t.Place.State+"/")
	return ours && slices.ContainsFunc(args, func(arg string) bool {
		_, rest, found := strings.Cut(arg, t.Place.State)
		return found && (rest == "" || rest[0] == '/') ||
			strings.HasSuffix(arg, t.Place.Netns())
	})
}

func (t Traces) dead(dir string) bool {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return true
	}
	_, rest, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(" "))
	return len(rest) == 0 || rest[0] == 'Z' || rest[0] == 'X'
}

// ancestors returns a process and its parents up to the first.
func (t Traces) ancestors(pid int) []int {
	var line []int
	for pid > 1 && !slices.Contains(line, pid) {
		line = append(line, pid)
		stat, err := os.ReadFile(filepath.Join(t.Proc, strconv.Itoa(pid), "stat"))
		if err != nil {
			break
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 {
			break
		}
		if pid, err = strconv.Atoi(fields[1]); err != nil {
			break
		}
	}
	return line
}

func printable(commandLine []byte) string {
	text := strings.TrimSpace(strings.ReplaceAll(string(commandLine), "\x00", " "))
	if runes := []rune(text); len(runes) > 100 {
		text = string(runes[:100]) + "…"
	}
	return cmp.Or(text, "(kernel)")
}

// Mounts returns the mount points inside the state folder, innermost first.
func (t Traces) Mounts() ([]string, error) {
	mounts, err := os.ReadFile(filepath.Join(t.Proc, "self", "mounts"))
	if err != nil {
		return nil, err
	}
	return mountsBelow(string(mounts), t.Place.State), nil
}

// mountsBelow lists the mount points at and below a folder, in the reverse order of mounting.
func mountsBelow(mounts, dir string) []string {
	var below []string
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		point := unescape(fields[1])
		if point == dir || strings.HasPrefix(point, dir+"/") {
			below = append(below, point)
		}
	}
	slices.Reverse(below)
	return below
}

// unescape undoes the octal escapes of blanks, tabs, line ends and backslashes in a list of mounts.
func unescape(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}

// Files returns what the programs leave in folders that no setting moves. The kubelet makes a link to each container's
// log. The CNI library remembers for each pod one result of the cluster's network, and one of the loopback device,
// whose name gives only the pod.
func (t Traces) Files() []string {
	results, _ := filepath.Glob(filepath.Join(cniResults, "*"))
	found := resultsOf(t.Place.ID, results)
	links, _ := filepath.Glob("/var/log/containers/*.log")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, t.Place.State+"/") {
			found = append(found, link)
		}
	}
	return found
}

const cniResults = "/var/lib/cni/results"

func resultsOf(network string, files []string) []string {
	pods := map[string]bool{}
	for _, file := range files {
		if rest, ok := strings.CutPrefix(filepath.Base(file), network+"-"); ok {
			pod, _, _ := strings.Cut(rest, "-")
			pods[pod] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool {
		name := filepath.Base(file)
		pod, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(name, "cni-loopback-"), network+"-"), "-")
		return !pods[pod] || !strings.HasPrefix(name, "cni-loopback-") && !strings.HasPrefix(name, network+"-")
	})
}

// String names a process in a list of what is left.
func (p Process) String() string { return fmt.Sprintf("process %d (%s)", p.PID, p.Command) }
