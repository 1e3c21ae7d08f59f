//go:build e2e

package framework

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
)

// Exec runs a command in a container and returns what it printed. The error has what it wrote to standard error.
func (c *Cluster) Exec(ctx context.Context, namespace, pod, container string, command ...string) (string, error) {
	request := c.Client.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(c.Config, "GET", request.URL().String())
	if err != nil {
		return "", fmt.Errorf("exec in %s/%s: %w", namespace, pod, err)
	}
	var stdout, stderr bytes.Buffer
	err = repeat(ctx, func() (bool, error) {
		stdout.Reset()
		stderr.Reset()
		err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr})
		// A connection that was not made has run nothing.
		return err != nil && stdout.Len() == 0 && (unreached(err) || strings.Contains(err.Error(), "dialing backend") ||
			httpstream.IsUpgradeFailure(err)), err
	})
	if err != nil {
		return stdout.String(), fmt.Errorf("exec %q in %s/%s: %w: %s", strings.Join(command, " "), namespace, pod, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Logs returns what a container has logged.
func (c *Cluster) Logs(ctx context.Context, namespace, pod string, options corev1.PodLogOptions) (string, error) {
	out, err := c.Client.CoreV1().Pods(namespace).GetLogs(pod, &options).DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("logs of %s/%s: %w", namespace, pod, err)
	}
	return string(out), nil
}

// AwaitLog waits until a pod of a workload has logged a text, in its present or its former container, and returns that
// log. Logs cannot be watched across restarts, so it reads again and again.
func (c *Cluster) AwaitLog(ctx context.Context, w Workload, text string) (string, error) {
	var log string
	err := wait.PollUntilContextCancel(ctx, 300*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		pods, err := c.Pods(ctx, w)
		if err != nil {
			return false, err
		}
		for _, pod := range pods {
			for _, previous := range []bool{false, true} {
				// A container that has not started, or has no former one, has no log.
				log, err = c.Logs(ctx, pod.Namespace, pod.Name, corev1.PodLogOptions{Previous: previous})
				if err == nil && strings.Contains(log, text) {
					return true, nil
				}
			}
		}
		return false, nil
	})
	if err != nil {
		return "", fmt.Errorf("%s: waited for %q in the log: %w\n%s", w, text, cmp.Or(context.Cause(ctx), err), c.Describe(context.WithoutCancel(ctx), w.Namespace))
	}
	return log, nil
}

// AwaitGone waits until pods are gone.
func (c *Cluster) AwaitGone(ctx context.Context, pods ...corev1.Pod) error {
	for _, pod := range pods {
		err := wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			now, err := c.Client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return true, nil
			}
			return err == nil && now.UID != pod.UID, err
		})
		if err != nil {
			return fmt.Errorf("waited for pod %s/%s to go: %w", pod.Namespace, pod.Name, err)
		}
	}
	return nil
}

// Get returns what a pod answers to GET on a port, asked through the API server.
func (c *Cluster) Get(ctx context.Context, namespace, pod, port, path string) ([]byte, error) {
	body, err := c.Client.CoreV1().Pods(namespace).ProxyGet("http", pod, port, path, nil).DoRaw(ctx)
	if err != nil {
		return body, fmt.Errorf("GET %s of %s/%s: %w", path, namespace, pod, err)
	}
	return body, nil
}

// Metrics are what /metrics of a pod says.
type Metrics map[string]*dto.MetricFamily

// Metrics reads /metrics of a pod on port 9090.
func (c *Cluster) Metrics(ctx context.Context, namespace, pod string) (Metrics, error) {
	body, err := c.Get(ctx, namespace, pod, "9090", "/metrics")
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("metrics of %s/%s: %w", namespace, pod, err)
	}
	return families, nil
}

// Sum adds up the counters and gauges of a name whose labels have the given values, as label, value, label, value.
func (m Metrics) Sum(name string, labels ...string) float64 {
	total := 0.0
	for _, metric := range m[name].GetMetric() {
		if hasLabels(metric.GetLabel(), labels) {
			total += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return total
}

func hasLabels(pairs []*dto.LabelPair, want []string) bool {
	have := map[string]string{}
	for _, pair := range pairs {
		have[pair.GetName()] = pair.GetValue()
	}
	for i := 0; i+1 < len(want); i += 2 {
		if have[want[i]] != want[i+1] {
			return false
		}
	}
	return true
}
