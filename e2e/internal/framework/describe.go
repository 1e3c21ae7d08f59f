//go:build e2e

package framework

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Describe returns what a person would look at when something in a namespace is not as it should be: workloads with
// their annotations, pods, events, and the end of the logs of pods. What cannot be read is said in its place.
func (c *Cluster) Describe(ctx context.Context, namespace string) string {
	var text strings.Builder
	c.describeWorkloads(ctx, &text, namespace)
	c.describePods(ctx, &text, namespace)
	c.describeEvents(ctx, &text, namespace)
	return text.String()
}

func (c *Cluster) describeWorkloads(ctx context.Context, text *strings.Builder, namespace string) {
	states, err := c.States(ctx, namespace)
	if err != nil {
		fmt.Fprintln(text, err)
	}
	for _, w := range slices.SortedFunc(maps.Keys(states), func(a, b Workload) int { return cmp.Compare(a.String(), b.String()) }) {
		state := states[w]
		fmt.Fprintf(text, "%s: generation %d, %s\n", w, state.Generation, cmp.Or(state.Pending, "rollout complete"))
		for _, key := range slices.Sorted(maps.Keys(state.Annotations)) {
			fmt.Fprintf(text, "    %s: %s\n", key, state.Annotations[key])
		}
	}
}

func (c *Cluster) describePods(ctx context.Context, text *strings.Builder, namespace string) {
	pods, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		fmt.Fprintln(text, err)
		return
	}
	for _, pod := range pods.Items {
		fmt.Fprintf(text, "Pod %s: %s", pod.Name, podState(pod))
		fmt.Fprintln(text)
		if len(pods.Items) > 20 { // logs of a crowd help nobody
			continue
		}
		for _, container := range pod.Spec.Containers {
			options := corev1.PodLogOptions{Container: container.Name, TailLines: new(int64(40))}
			if logs, err := c.Logs(ctx, namespace, pod.Name, options); err == nil && logs != "" {
				fmt.Fprintf(text, "    log of %s:\n      %s\n", container.Name, strings.ReplaceAll(strings.TrimSpace(logs), "\n", "\n      "))
			}
		}
	}
}

func (c *Cluster) describeEvents(ctx context.Context, text *strings.Builder, namespace string) {
	events, err := c.Client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		fmt.Fprintln(text, err)
		return
	}
	for _, event := range events.Items {
		// Pods and their parts come and go in hundreds; what went wrong with them is a warning.
		if event.Type == corev1.EventTypeNormal && event.InvolvedObject.Kind == "Pod" {
			continue
		}
		fmt.Fprintf(text, "Event %s %s/%s %s: %s\n", event.Type, event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Reason, event.Message)
	}
}

func podState(pod corev1.Pod) string {
	parts := []string{string(pod.Status.Phase)}
	if pod.DeletionTimestamp != nil {
		parts = append(parts, "being deleted")
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Status == corev1.ConditionFalse {
			parts = append(parts, fmt.Sprintf("not %s: %s", condition.Type, cmp.Or(condition.Message, condition.Reason)))
		}
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch state := status.State; {
		case state.Waiting != nil:
			parts = append(parts, fmt.Sprintf("%s waits: %s %s", status.Name, state.Waiting.Reason, state.Waiting.Message))
		case state.Terminated != nil && state.Terminated.ExitCode != 0:
			parts = append(parts, fmt.Sprintf("%s ended with exit code %d", status.Name, state.Terminated.ExitCode))
		}
		if status.RestartCount > 0 {
			parts = append(parts, fmt.Sprintf("%s was restarted %d times", status.Name, status.RestartCount))
		}
	}
	return strings.Join(parts, "; ")
}
