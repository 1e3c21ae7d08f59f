package act

import (
	"context"
	"fmt"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	policy "k8s.io/client-go/kubernetes/typed/policy/v1"

	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/workload"
)

// evictTimeout bounds one eviction. The client tries again by itself while a PodDisruptionBudget is not computed yet,
// each time after ten seconds, and the loop does that better.
const evictTimeout = 8 * time.Second

// Evictions is what evicts pods.
type Evictions = policy.EvictionsGetter

// Evict has a pod of a workload evicted, so that PodDisruptionBudgets hold. A pod that is gone, or whose name another
// one has, is no error. A budget that does not allow it is one for which [apierrors.IsTooManyRequests] holds.
func (w *Writer) Evict(ctx context.Context, view workload.View, pod decide.FailedPod) error {
	ctx, cancel := context.WithTimeout(ctx, evictTimeout)
	defer cancel()
	err := w.Evictions.Evictions(view.Key.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: view.Key.Namespace, Name: pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("evicting pod %s/%s: %w", view.Key.Namespace, pod.Name, err)
	}
	return nil
}
