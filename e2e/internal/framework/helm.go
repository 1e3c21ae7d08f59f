//go:build e2e

package framework

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { cancel(c.awaitHopeless(ctx, r)) }()
	for _, deployment := range list.Items {
		if err := c.AwaitRollout(ctx, Deployment(r.Namespace, deployment.Name)); err != nil {
			return fmt.Errorf("release %s: %w", r.Name, err)
		}
	}
	return nil
}

// awaitHopeless returns when a pod of a release will not become ready by waiting, with the reason.
func (c *Cluster) awaitHopeless(ctx context.Context, r Release) error {
	var reason string
	err := until(ctx, c.Client.CoreV1().RESTClient(), "pods", r.Namespace, fields.Everything(), func(object runtime.Object) (bool, error) {
		pod, ok := object.(*corev1.Pod)
		if !ok || pod.Labels["app.kubernetes.io/instance"] != r.Name {
			return false, nil
		}
		reason = hopeless(*pod)
		return reason != "", nil
	})
	if err != nil {
		return err
	}
	return errors.New(reason)
}

// hopeless says why a pod will not become ready; a program that failed a few times may still.
func hopeless(pod corev1.Pod) string {
	const tries = 3
	for _, status := range pod.Status.ContainerStatuses {
		waiting := status.State.Waiting
		if waiting == nil {
			continue
		}
		switch waiting.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError":
			return fmt.Sprintf("pod %s: %s: %s", pod.Name, waiting.Reason, waiting.Message)
		case "CrashLoopBackOff":
			if status.RestartCount >= tries {
				return fmt.Sprintf("pod %s: its program ended %d times", pod.Name, status.RestartCount)
			}
		}
	}
	return ""
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
