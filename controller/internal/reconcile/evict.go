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

// evictionWaits is how long an eviction may wait for other pods before that is reported.
const evictionWaits = 5 * time.Minute

// replace evicts the pods of a decision once the workload has a slot, and reports it. An eviction counts as a rollout
// does, for the slots and for the back-off. It returns when to decide again.
func (l *Loop) replace(ctx context.Context, w observe.Workload, s *state, decision decide.Decision) (time.Duration, error) {
	key, now := w.View.Key, time.Now()
	if left := s.evictAt.Sub(now); left > 0 {
		l.queue.addAll(l.limiter.Release(key)) // who waits for a budget holds no slot
		return left, nil
	}
	if !l.writes.Acquire(key) {
		l.queue.addAll(l.limiter.Release(key))
		return 0, errNoWriteSlot
	}
	granted, wait, next := l.limiter.Acquire(key, now)
	l.queue.addAll(next)
	if !granted {
		l.options.Log.Debug("waiting for a rollout slot", "workload", key)
		return wait, nil
	}
	for _, pod := range decision.Pods {
		_, err := l.write(ctx, key, func(ctx context.Context) (uint64, error) {
			return 0, l.options.Writer.Evict(ctx, w.View, pod)
		})
		if err != nil {
			l.queue.addAll(l.limiter.Release(key)) // it stays where a pod before this one was evicted
		}
		switch {
		case err == nil:
			if pod == decision.Pods[0] {
				l.queue.addAll(l.limiter.start(key, now))
				s.rolled(now)
				s.evicting = true
			}
			l.evicted(w, s, decision, pod)
		case errors.Is(err, errNoWriteSlot):
			return 0, err
		case apierrors.IsForbidden(err):
			// The right may be missing, or somebody forbids it. What follows is what follows without the right.
			l.metrics.evictions.WithLabelValues("failed").Inc()
			l.options.Log.Warn("eviction forbidden, starting a rollout", "workload", key, "pod", pod.Name, "error", err)
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
	return l.options.Limits.Timeout, nil
}

// replaced gives the slot of an eviction free when new pods are ready in the places of the others.
func (l *Loop) replaced(w observe.Workload, s *state, in decide.Input) {
	if s.evicting && in.InPlace.Unavailable == 0 {
		s.evicting = false
		_, next := l.limiter.seen(w.View.Key, w.View.Rolling, in.Now)
		l.queue.addAll(next)
	}
}

// evictionIsMoot forgets that a budget refuses an eviction when none is wanted any more.
func (s *state) evictionIsMoot(decision decide.Decision) {
	switch decision.Action {
	case decide.Replace, decide.Reload:
	case decide.None, decide.Rollout, decide.Resume, decide.Recreate:
		delete(s.refusals, decide.Replace)
		s.evictAt, s.evictWait = time.Time{}, 0
	}
}

// reportBlocked reports that an eviction waits for other pods, when that lasts. It returns when to decide again.
func (l *Loop) reportBlocked(w observe.Workload, s *state, decision decide.Decision) time.Duration {
	now := time.Now()
	switch {
	case decision.Blocked == "":
		s.blockedAt, s.blockedReported = time.Time{}, false
		return 0
	case s.blockedAt.IsZero():
		s.blockedAt = now
	}
	if left := s.blockedAt.Add(evictionWaits).Sub(now); left > 0 {
		return left
	}
	if !s.blockedReported {
		s.blockedReported = true
		l.options.Log.Warn("eviction waits for other pods", "workload", w.View.Key, "message", decision.Blocked)
		l.event(w, corev1.EventTypeWarning, EventEvictionBlocked, decision.Blocked)
	}
	return 0
}

// evicted reports that a pod was evicted.
func (l *Loop) evicted(w observe.Workload, s *state, decision decide.Decision, pod decide.FailedPod) {
	l.metrics.evictions.WithLabelValues("accepted").Inc()
	s.evictAt, s.evictWait = time.Time{}, 0
	l.options.InPlace.Evicted(w.View.Key, pod.UID)
	message := evictedMessage(pod.Name, decision.Message) + s.accepted(decide.Replace)
	l.options.Log.Info("pod evicted", "workload", w.View.Key, "pod", pod.Name, "reason", decision.Reason, "causes", causesOf(decision.Causes))
	l.event(w, corev1.EventTypeNormal, EventEvicted, message)
	l.alert(w, decision.Causes, "evicted in part", EventEvicted, message, true)
}

// notEvicted reports that a budget does not allow an eviction, when that is news. It returns when to try again. That
// counts for no back-off of rollouts.
func (l *Loop) notEvicted(w observe.Workload, s *state, pod decide.FailedPod, err error) time.Duration {
	now := time.Now()
	s.evictWait = min(max(firstEviction, 2*s.evictWait), lastEviction)
	s.evictAt = now.Add(s.evictWait)
	if s.isNews(decide.Replace, now) {
		l.options.Log.Warn("eviction refused, will retry", "workload", w.View.Key, "pod", pod.Name, "error", err)
		l.event(w, corev1.EventTypeWarning, EventEvictionBlocked, evictionBlockedMessage(pod.Name, err))
	}
	return s.evictWait
}
