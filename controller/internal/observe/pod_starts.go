package observe

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/workload"
)

// ErrNoSelector says that a workload does not say which pods are its own, and so never will.
var ErrNoSelector = errors.New("it does not say which pods are its own")

// podPage is how many pods one request asks for.
const podPage = 500

// PodLister lists the pods of one workload, for the few decisions that depend on when they were started. Pods without
// the sidecar are not in the cache.
type PodLister struct {
	Client kubernetes.Interface
}

// Starts returns when the pods of a workload were started, without those that have ended or are about to.
func (l *PodLister) Starts(ctx context.Context, view workload.View) ([]decide.PodStart, error) {
	if view.Selector == "" {
		return nil, fmt.Errorf("%s: %w", view.Key, ErrNoSelector)
	}
	starts := []decide.PodStart{}
	options := metav1.ListOptions{LabelSelector: view.Selector, Limit: podPage}
	for {
		pods, err := l.Client.CoreV1().Pods(view.Key.Namespace).List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("listing the pods of %s: %w", view.Key, err)
		}
		for i := range pods.Items {
			if pod := &pods.Items[i]; pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
				starts = append(starts, startOf(pod))
			}
		}
		if options.Continue = pods.Continue; options.Continue == "" {
			return starts, nil
		}
	}
}

// startOf returns when a pod was made, and when the last of its containers started.
func startOf(pod *corev1.Pod) decide.PodStart {
	start := decide.PodStart{Created: pod.CreationTimestamp.Time}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, status := range statuses {
			if running := status.State.Running; running != nil && running.StartedAt.After(start.Running) {
				start.Running = running.StartedAt.Time
			}
		}
	}
	return start
}
