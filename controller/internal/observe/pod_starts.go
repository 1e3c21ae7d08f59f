package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// Starts returns when the pods of a workload and their containers were started, without those that have ended or are
// about to.
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
				starts = append(starts, startsOf(pod)...)
			}
		}
		if options.Continue = pods.Continue; options.Continue == "" {
			return starts, nil
		}
	}
}

// startsOf returns when a pod was made, with each time at which a container of it started that has what it read then:
// one that runs, or an init container that has made something for those.
func startsOf(pod *corev1.Pod) []decide.PodStart {
	created := pod.CreationTimestamp.Time
	var starts []decide.PodStart
	for _, status := range pod.Status.InitContainerStatuses {
		if ended := status.State.Terminated; ended != nil {
			starts = append(starts, decide.PodStart{Created: created, Running: ended.StartedAt.Time, Container: status.Name})
		}
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if running := status.State.Running; running != nil {
			starts = append(starts, decide.PodStart{Created: created, Running: running.StartedAt.Time, Container: status.Name})
		}
	}
	if len(starts) == 0 {
		starts = append(starts, decide.PodStart{Created: created})
	}
	return starts
}
