package reconcile

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
)

// An eviction that a PodDisruptionBudget does not allow is tried again after firstEviction, and then after twice the
// time up to lastEviction.
const (
	firstEviction = 10 * time.Second
	lastEviction  = 5 * time.Minute
	// forbiddenWait is when to decide again where evictions are forbidden.
	forbiddenWait = time.Second
)

// replace evicts the pods of a decision, and reports it. It returns when to decide again.
func (l *Loop) replace(ctx context.Context, w observe.Workload, s *state, decision decide.Decision) (time.Duration, error) {
	if left := time.Until(s.evictAt); left > 0 {
		return left, nil
	}
	for _, pod := range decision.Pods {
		_, err := l.write(ctx, w.View.Key, func(ctx context.Context) (uint64, error) {
			return 0, l.options.Writer.Evict(ctx, w.View, pod)
		})
		switch {
		case err == nil:
			l.evicted(w, s, decision, pod)
		case errors.Is(err, errNoWriteSlot):
			return 0, err
		case apierrors.IsForbidden(err):
			// The right may be missing, or somebody forbids it. What follows is what follows without the right.
			l.metrics.evictions.WithLabelValues("failed").Inc()
			l.options.Log.Warn("eviction forbidden, starting a rollout", "workload", w.View.Key, "pod", pod.Name, "error", err)
			s.evictForbidden = true
			return forbiddenWait, nil
		case apierrors.IsTooManyRequests(err):
			l.metrics.evictions.WithLabelValues("refused").Inc()
			return l.notEvicted(w, s, pod, err), nil
		default:
			l.metrics.evictions.WithLabelValues("failed").Inc()
			return 0, l.failed(ctx, w, s, decision, err)
		}
	}
	return 0, nil
}

// evicted reports that a pod was evicted.
func (l *Loop) evicted(w observe.Workload, s *state, decision decide.Decision, pod decide.FailedPod) {
	l.metrics.evictions.WithLabelValues("accepted").Inc()
	s.evictAt, s.evictWait, s.blocked = time.Time{}, 0, ""
	l.options.InPlace.Evicted(w.View.Key, pod.UID)
	message := evictedMessage(pod.Name, decision.Message) + s.accepted(decide.Replace)
	l.options.Log.Info("pod evicted", "workload", w.View.Key, "pod", pod.Name, "reason", decision.Reason, "causes", causesOf(decision.Causes))
	l.event(w, corev1.EventTypeNormal, EventEvicted, message)
	l.alert(w, decision.Causes, "evicted in part", EventEvicted, message, true)
}

// notEvicted reports once that a budget does not allow an eviction. It returns when to try again.
func (l *Loop) notEvicted(w observe.Workload, s *state, pod decide.FailedPod, err error) time.Duration {
	s.evictWait = min(max(firstEviction, 2*s.evictWait), lastEviction)
	s.evictAt = time.Now().Add(s.evictWait)
	if s.blocked != pod.Name {
		s.blocked = pod.Name
		message := evictionBlockedMessage(pod.Name, err)
		l.options.Log.Warn("eviction refused, will retry", "workload", w.View.Key, "pod", pod.Name, "error", err)
		l.event(w, corev1.EventTypeWarning, EventEvictionBlocked, message)
	}
	return s.evictWait
}
