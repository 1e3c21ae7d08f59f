// Package cluster starts, checks, repairs and removes the cluster of one checkout.
//
// There is no supervisor: starting is a comparison of what should run with what does, so the same code starts a
// cluster, finishes a start that was interrupted, and brings back a part that died.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"inpod.dev/inpod/e2e/cluster/internal/build"
	"inpod.dev/inpod/e2e/cluster/internal/daemon"
	"inpod.dev/inpod/e2e/cluster/internal/host"
	"inpod.dev/inpod/e2e/cluster/internal/node"
	"inpod.dev/inpod/e2e/cluster/internal/paths"
	"inpod.dev/inpod/e2e/cluster/internal/progress"
)

// Cluster is the cluster of one checkout on this machine.
type Cluster struct {
	place  paths.Place
	print  *progress.Printer
	table  daemon.Table
	netns  host.Namespace
	groups host.Groups
	traces host.Traces
	again  restarts
}

// New returns the cluster of a place, whether it runs or not.
func New(p paths.Place, printer *progress.Printer) (*Cluster, error) {
	groups, err := host.NewGroups(p.ID)
	if err != nil {
		return nil, err
	}
	return &Cluster{
		place:  p,
		print:  printer,
		table:  daemon.Table{Dir: p.Path("pids"), Proc: "/proc"},
		netns:  host.Namespace{File: p.Netns()},
		groups: groups,
		traces: host.Traces{Place: p, Groups: groups, Proc: "/proc"},
	}, nil
}

// lock keeps two commands from changing the same cluster at once.
func (c *Cluster) lock(ctx context.Context) (func(), error) {
	return build.Lock(ctx, filepath.Join(c.place.Cache, "locks", c.place.ID), func() {
		c.print.Step("another command is working on this cluster; waiting for it")
	})
}

// await repeats a check until it succeeds. It gives up when the time is over or one of the components on which the check
// depends ends again and again, and then says what the log says: of the one that ended, or of the first.
func (c *Cluster) await(ctx context.Context, check func(context.Context) error, components ...string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not ready after %s", patience))
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		for _, component := range components {
			if _, running := c.table.Running(component); running {
				continue
			}
			process, ok := c.again.next(component)
			if !ok {
				return c.failure(component, errors.New("it ended"))
			}
			c.print.Step("%s: ended, starting it again", component)
			if component == node.Forwarder {
				_, err = c.startForwarder(ctx) // it needs a new listener
			} else {
				err = c.launch(process)
			}
			if err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return c.failure(components[0], errors.Join(context.Cause(ctx), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// failure is the error of a component with what a person needs to go on.
func (c *Cluster) failure(component string, err error) error {
	file := c.place.Log(component)
	return fmt.Errorf(`%s: %w
The end of %s:
%s
Try the command again: it repairs what is half started. If that does not help, "down" and then "up" start from nothing`,
		component, err, file, tail(file, 8))
}

// tail returns the last lines of a file, indented and shortened.
func tail(file string, count int) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return "  " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	lines = lines[max(0, len(lines)-count):]
	for i, line := range lines {
		if len(line) > 400 {
			line = strings.ToValidUTF8(line[:400], "") + "…"
		}
		lines[i] = "  " + line
	}
	return strings.Join(lines, "\n")
}

// ctr runs containerd's own client.
func (c *Cluster) ctr(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"--address", c.place.Socket(), "--namespace", "k8s.io"}, args...)
	output, err := exec.CommandContext(ctx, "ctr", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", strings.Join(args[4:], " "), err, strings.TrimSpace(string(output)))
	}
	return string(output), nil
}
