package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"inpod.dev/inpod/e2e/cluster/internal/host"
)

// Down removes the cluster and everything that it left on the machine, and then looks whether anything is left. It
// relies on no record: a crash may have happened at any point.
func (c *Cluster) Down(ctx context.Context) error {
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	left, err := c.Leftovers()
	if err != nil {
		return err
	}
	if len(left) == 0 {
		c.print.Step("nothing of this checkout's cluster is on the machine")
		return c.removeKubeconfig()
	}
	if err := c.stopProcesses(); err != nil {
		return err
	}
	c.print.Step("all processes ended")
	c.unmount()
	problems := errors.Join(
		c.restoreMachine(),
		c.removeSockets(),
		c.netns.Remove(),
		c.groups.Remove(),
		c.removeFiles(),
		c.removeKubeconfig(),
	)
	left, err = c.Leftovers()
	if err := errors.Join(problems, err); err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("this is left of the cluster:\n  %s", strings.Join(left, "\n  "))
	}
	c.print.Step("no process, mount, network namespace, control group or file of the cluster is left")
	return nil
}

// Leftovers lists everything of the cluster that is on the machine.
func (c *Cluster) Leftovers() ([]string, error) {
	processes, err := c.traces.Processes()
	if err != nil {
		return nil, err
	}
	mounts, err := c.traces.Mounts()
	if err != nil {
		return nil, err
	}
	var left []string
	for _, process := range processes {
		left = append(left, process.String())
	}
	for _, mount := range mounts {
		left = append(left, "mount "+mount)
	}
	if _, err := os.Stat(c.netns.File); err == nil {
		left = append(left, "network namespace "+c.netns.File)
	}
	for _, group := range c.groups.Existing() {
		left = append(left, "control group "+group)
	}
	for _, file := range c.traces.Files() {
		left = append(left, "file "+file)
	}
	if _, err := os.Stat(c.place.State); err == nil {
		left = append(left, "folder "+c.place.State)
	}
	return left, nil
}

// stopProcesses kills everything until nothing is found. Nothing is asked politely: the data is thrown away, and the
// kubelet would take minutes to end its pods. The daemons that start others may start one more between the look and
// their death, therefore the repetition.
func (c *Cluster) stopProcesses() error {
	deadline := time.Now().Add(patience)
	for {
		processes, err := c.traces.Processes()
		if err != nil || len(processes) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes do not end, the first is %s", len(processes), processes[0])
		}
		for _, process := range processes {
			_ = syscall.Kill(process.PID, syscall.SIGKILL)
		}
		time.Sleep(30 * time.Millisecond)
	}
}

// unmount removes the mounts in the state folder. Lazily: access by somebody else to one of them must not keep it.
func (c *Cluster) unmount() {
	for range 10 { // mounts may lie on top of each other
		mounts, err := c.traces.Mounts()
		if err != nil || len(mounts) == 0 {
			return
		}
		for _, mount := range mounts {
			_ = syscall.Unmount(mount, syscall.MNT_DETACH)
		}
	}
}

// restoreMachine undoes what the kubelet set, once the last cluster of the machine goes.
func (c *Cluster) restoreMachine() error {
	others, err := filepath.Glob(filepath.Join(filepath.Dir(c.place.State), "inpod-*"))
	if err != nil || len(others) > 1 {
		return err
	}
	return host.RestoreKernelSettings(c.place.Path("kernel-settings"))
}

// removeFiles removes the state folder and what lies elsewhere, the state folder last: while it exists, another attempt
// finds what is left.
func (c *Cluster) removeFiles() error {
	mounts, err := c.traces.Mounts()
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		// Removing files below a mount would remove those of somebody else.
		return fmt.Errorf("%d mounts are left in %s, the first is %s", len(mounts), c.place.State, mounts[0])
	}
	var problems []error
	for _, file := range c.traces.Files() {
		problems = append(problems, os.Remove(file))
	}
	problems = append(problems, os.RemoveAll(c.place.State))
	// Folders that programs made for all clusters go with the last one. Those with something in them stay.
	for _, dir := range []string{
		filepath.Dir(c.place.State), "/run/containerd/s", "/run/containerd", "/var/lib/cni/results", "/var/lib/cni",
		"/var/log/containers", "/var/lib/kubelet/device-plugins", "/var/lib/kubelet",
	} {
		_ = os.Remove(dir)
	}
	return errors.Join(problems...)
}

func (c *Cluster) removeKubeconfig() error {
	var problems []error
	for _, path := range []string{c.place.Kubeconfig(), filepath.Join(c.place.BinDir(), "kubectl")} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	_ = os.Remove(c.place.BinDir())
	_ = os.Remove(filepath.Dir(c.place.Kubeconfig()))
	return errors.Join(problems...)
}
