//go:build e2e

package kit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Release names an installation of the chart. Its namespace exists.
type Release struct{ Name, Namespace string }

// Values are chart values.
type Values = map[string]any

// Install installs the chart, or upgrades the release, and waits until its pods are ready. The images are those of
// this run. The error of the wait has the state and the logs of the pods.
func (c *Cluster) Install(ctx context.Context, r Release, values Values) error {
	if err := c.InstallOnly(ctx, r, values); err != nil {
		return err
	}
	return c.AwaitRelease(ctx, r)
}

// InstallOnly installs or upgrades without waiting for anything.
func (c *Cluster) InstallOnly(ctx context.Context, r Release, values Values) error {
	all := maps.Clone(values)
	if all == nil {
		all = Values{}
	}
	if all["image"] == nil {
		all["image"] = Values{"prefix": c.Env.ImagePrefix, "tag": c.Env.ImageTag}
	}
	stdin, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("values of release %s: %w", r.Name, err)
	}
	return c.helm(ctx, stdin, "upgrade", "--install", r.Name, c.Env.Chart, "--namespace", r.Namespace, "--values", "-")
}

// Uninstall removes a release; one that is not there is fine.
func (c *Cluster) Uninstall(ctx context.Context, r Release) error {
	return c.helm(ctx, nil, "uninstall", r.Name, "--namespace", r.Namespace, "--ignore-not-found")
}

// AwaitRelease waits until all pods of a release are ready.
func (c *Cluster) AwaitRelease(ctx context.Context, r Release) error {
	selector := metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=" + r.Name}
	list, err := c.Client.AppsV1().Deployments(r.Namespace).List(ctx, selector)
	if err != nil {
		return fmt.Errorf("deployments of release %s: %w", r.Name, err)
	}
	if len(list.Items) == 0 {
		return fmt.Errorf("release %s has no deployments in namespace %s", r.Name, r.Namespace)
	}
	for _, deployment := range list.Items {
		if err := c.AwaitRollout(ctx, Deployment(r.Namespace, deployment.Name)); err != nil {
			return fmt.Errorf("release %s: %w", r.Name, err)
		}
	}
	return nil
}

// Controller names the controller's Deployment of a release.
func (r Release) Controller() Workload {
	full := r.Name
	if !strings.Contains(full, "inpod") {
		full += "-inpod"
	}
	return Deployment(r.Namespace, full+"-controller")
}

func (c *Cluster) helm(ctx context.Context, stdin []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, c.Env.Helm, args...) // it reads KUBECONFIG itself
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("helm %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
