package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Groups are the control groups of one cluster: a group with its name at the top of every hierarchy, in which the
// kubelet makes those of the pods.
type Groups struct {
	Name string
	// Roots are the mounted hierarchies.
	Roots []Hierarchy
}

// Hierarchy is a mounted control group file system.
type Hierarchy struct {
	Mount   string
	Unified bool
	Options string
}

// NewGroups returns the groups of a cluster on this machine.
func NewGroups(name string) (Groups, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return Groups{}, err
	}
	return Groups{Name: name, Roots: hierarchies(string(mounts))}, nil
}

// hierarchies finds the control group file systems in a list of mounts.
func hierarchies(mounts string) []Hierarchy {
	var found []Hierarchy
	seen := map[string]bool{}
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 4 || (fields[2] != "cgroup" && fields[2] != "cgroup2") || seen[fields[1]] {
			continue
		}
		seen[fields[1]] = true
		found = append(found, Hierarchy{Mount: fields[1], Unified: fields[2] == "cgroup2", Options: fields[3]})
	}
	return found
}

// Create makes the cluster's group in every hierarchy; the kubelet demands that the group it is given exists.
func (g Groups) Create() error {
	for _, root := range g.Roots {
		dir := filepath.Join(root.Mount, g.Name)
		if root.Unified {
			delegate(root.Mount)
		}
		if err := os.MkdirAll(filepath.Join(dir, "system"), 0o755); err != nil {
			return err
		}
		switch {
		case root.Unified:
			delegate(dir)
		case strings.Contains(root.Options, "cpuset"):
			if err := inheritCPUSet(root.Mount, dir, filepath.Join(dir, "system")); err != nil {
				return err
			}
		}
	}
	return nil
}

// delegate lets the groups below one have all its controllers, one by one: a controller that cannot be given, such as
// the processor's on a machine with real-time processes, must not keep the others.
func delegate(dir string) {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return
	}
	for name := range strings.FieldsSeq(string(controllers)) {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0o644)
	}
}

// inheritCPUSet copies the processors and memory nodes downwards: a new group of the first version has none, and no
// process can enter it.
func inheritCPUSet(dirs ...string) error {
	for i := 1; i < len(dirs); i++ {
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(dirs[i-1], name))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dirs[i], name), value, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// Join puts a process of the cluster itself, not of a pod, into a group by which it and its children can be found. On
// the first version of control groups one hierarchy is enough for that; the caller's limits in the others stay.
func (g Groups) Join(pid int) error {
	root, ok := g.marker()
	if !ok {
		return nil
	}
	file := filepath.Join(root.Mount, g.Name, "system", "cgroup.procs")
	return os.WriteFile(file, []byte(strconv.Itoa(pid)), 0o644)
}

func (g Groups) marker() (Hierarchy, bool) {
	for _, option := range []string{"name=systemd", "pids", ""} {
		for _, root := range g.Roots {
			if root.Unified && option == "" || !root.Unified && option != "" && strings.Contains(root.Options, option) {
				return root, true
			}
		}
	}
	return Hierarchy{}, false
}

// Remove removes the groups, from the leaves up. The kernel takes a moment to let go of processes that just died.
func (g Groups) Remove() error {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		left := g.Existing()
		if len(left) == 0 {
			return nil
		}
		var problems []error
		for _, top := range left {
			problems = append(problems, removeGroup(top))
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("control groups: %w", errors.Join(problems...))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Existing returns the top groups that exist.
func (g Groups) Existing() []string {
	var existing []string
	for _, root := range g.Roots {
		dir := filepath.Join(root.Mount, g.Name)
		if _, err := os.Stat(dir); err == nil {
			existing = append(existing, dir)
		}
	}
	return existing
}

func removeGroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var problems []error
	for _, entry := range entries {
		if entry.IsDir() {
			problems = append(problems, removeGroup(filepath.Join(dir, entry.Name())))
		}
	}
	if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		problems = append(problems, fmt.Errorf("remove %s: %w", dir, err))
	}
	return errors.Join(problems...)
}

// Holds reports whether a process is in one of the groups, from its /proc/PID/cgroup.
func (g Groups) Holds(cgroups string) bool {
	for line := range strings.Lines(cgroups) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 && (fields[2] == "/"+g.Name || strings.HasPrefix(fields[2], "/"+g.Name+"/")) {
			return true
		}
	}
	return false
}
