//go:build e2e

package framework

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// RunKubectl runs kubectl in a namespace, as a person does, and returns what it printed.
func (c *Cluster) RunKubectl(ctx context.Context, namespace string, args ...string) (string, error) {
	args = append([]string{"--kubeconfig", c.Env.Kubeconfig, "--namespace", namespace}, args...)
	cmd := exec.CommandContext(ctx, c.Env.Kubectl, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args[4:], " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
