package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"inpod.dev/inpod/e2e/cluster/internal/daemon"
	"inpod.dev/inpod/e2e/cluster/internal/forward"
	"inpod.dev/inpod/e2e/cluster/internal/node"
)

// ForwardCommand is the hidden subcommand that the forwarder runs.
const ForwardCommand = "forward-connections"

// startForwarder starts the process that carries connections from the machine's loopback device to the API server, and
// returns its port. The port stays the same over repairs, so that a kubeconfig that somebody copied stays valid.
func (c *Cluster) startForwarder(ctx context.Context) (string, error) {
	c.again.add(daemon.Daemon{Name: node.Forwarder})
	portFile := c.place.Path("forwarder-port")
	remembered, _ := os.ReadFile(portFile)
	port := strings.TrimSpace(string(remembered))
	if _, running := c.table.Running(node.Forwarder); running && port != "" {
		return port, nil
	}
	program, err := c.copyOfMyself()
	if err != nil {
		return "", err
	}
	process := daemon.Daemon{
		Name: node.Forwarder,
		Args: c.netns.Enter(program, ForwardCommand, net.JoinHostPort(node.Address, node.APIPort)),
	}
	if err := c.endStrays(process); err != nil { // before the port is needed
		return "", err
	}
	listener, port, err := forward.Listen(ctx, port)
	if err != nil {
		return "", err
	}
	defer listener.Close()
	if err := os.WriteFile(portFile, []byte(port), 0o644); err != nil {
		return "", err
	}
	c.print.Step("%s: starting on 127.0.0.1:%s", node.Forwarder, port)
	process.Files = []*os.File{listener}
	return port, c.launch(process)
}

// copyOfMyself puts this program into the state folder. What `go run` starts is gone when it ends, and a process with a
// path of the state folder can be found.
//
// Nothing else may start a process meanwhile: it would hold the unfinished file open for a moment, and the kernel refuses
// to run a file that somebody writes to.
func (c *Cluster) copyOfMyself() (string, error) {
	target := c.place.Path("bin", "cluster")
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", err
	}
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.OpenFile(target+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return "", err
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return "", err
	}
	if err := to.Close(); err != nil {
		return "", err
	}
	return target, os.Rename(target+".new", target)
}

// ForwardConnections is the forwarder: the listener is its descriptor 3.
func ForwardConnections(ctx context.Context, target string) error {
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	return forward.Serve(listener, target)
}

// kubectl runs kubectl against this cluster.
func (c *Cluster) kubectl(ctx context.Context, built programs, input []byte, args ...string) error {
	command := exec.CommandContext(ctx, built.kubectl(), append([]string{"--kubeconfig=" + c.place.Kubeconfig()}, args...)...)
	command.Stdin = bytes.NewReader(input)
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("kubectl %s: %w\n%s", args[0], err, output)
	}
	return nil
}
