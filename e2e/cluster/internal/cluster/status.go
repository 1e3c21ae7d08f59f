package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"inpod.dev/inpod/e2e/cluster/internal/kubeapi"
	"inpod.dev/inpod/e2e/cluster/internal/node"
)

// ErrUnhealthy is the answer of Status when a part of the cluster does not work.
var ErrUnhealthy = errors.New("not everything runs; this repairs it: up")

// Status prints what runs. Its error says whether all of it does.
func (c *Cluster) Status(ctx context.Context, out io.Writer) error {
	if _, err := os.Stat(c.place.State); err != nil {
		return ErrNotRunning
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PART\tSTATE\tPROCESS\tLOG")
	healthy := true
	for _, name := range node.ComponentNames() {
		record, running := c.table.Running(name)
		state, pid := "running", strconv.Itoa(record.PID)
		if !running {
			state, pid, healthy = "stopped", "-", false
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", name, state, pid, c.place.Log(name))
	}
	for _, check := range c.checks() {
		state := "ready"
		if err := check.run(ctx); err != nil {
			state, healthy = err.Error(), false
		}
		fmt.Fprintf(table, "%s\t%s\n", check.name, state)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	c.printPods(ctx, out)
	fmt.Fprintf(out, "\nid:         %s\nstate:      %s\nkubeconfig: %s\n", c.place.ID, c.place.State, c.place.Kubeconfig())
	if !healthy {
		return ErrUnhealthy
	}
	return nil
}

type check struct {
	name string
	run  func(context.Context) error
}

func (c *Cluster) checks() []check {
	client, err := c.client()
	if err != nil {
		return []check{{"API server", func(context.Context) error { return err }}}
	}
	return []check{
		{"API server", client.Ready},
		{"node", func(ctx context.Context) error { return client.NodeReady(ctx, c.place.ID) }},
		{"cluster DNS", func(ctx context.Context) error { return client.DNSReady(ctx, c.place.ID) }},
	}
}

func (c *Cluster) client() (*kubeapi.Client, error) {
	port, err := os.ReadFile(c.place.Path("forwarder-port"))
	if err != nil {
		return nil, errors.New("was not started yet")
	}
	return kubeapi.New("https://127.0.0.1:"+strings.TrimSpace(string(port)), c.place.Path("pki"))
}

func (c *Cluster) printPods(ctx context.Context, out io.Writer) {
	client, err := c.client()
	if err != nil {
		return
	}
	count, err := client.CountPods(ctx)
	if err != nil {
		return
	}
	var phases []string
	for _, phase := range []string{"Running", "Pending", "Succeeded", "Failed", "Unknown"} {
		if count[phase] > 0 {
			phases = append(phases, fmt.Sprintf("%d %s", count[phase], strings.ToLower(phase)))
		}
	}
	fmt.Fprintf(out, "pods:         %s\n", strings.Join(phases, ", "))
}

// Shell replaces this process by a command, or by a shell, inside the cluster's network namespace.
func (c *Cluster) Shell(args []string) error {
	if !c.netns.Exists() {
		return ErrNotRunning
	}
	if len(args) == 0 {
		shell := os.Getenv("SHELL")
		if shell == "" {
			shell = "/bin/sh"
		}
		args = []string{shell}
		c.print.Step("inside the network of %s; kubectl and ctr talk to this cluster; exit to leave", c.place.ID)
	}
	for name, value := range map[string]string{
		"KUBECONFIG":           c.insideKubeconfig(),
		"CONTAINERD_ADDRESS":   c.place.Socket(),
		"CONTAINERD_NAMESPACE": "k8s.io",
		"PATH":                 c.place.BinDir() + ":" + os.Getenv("PATH"),
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return err
	}
	return syscall.Exec(nsenter, c.netns.Enter(args...), os.Environ())
}

// Logs prints the end of a component's log.
func (c *Cluster) Logs(component string, lines int, out io.Writer) error {
	if _, err := os.Stat(c.place.State); err != nil {
		return ErrNotRunning
	}
	content, err := os.ReadFile(c.place.Log(component))
	if err != nil {
		return err
	}
	all := strings.SplitAfter(string(content), "\n")
	_, err = io.WriteString(out, strings.Join(all[max(0, len(all)-lines):], ""))
	return err
}
