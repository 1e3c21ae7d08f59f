package reconcile

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
)

// resume has a Deployment go on that Reloader has paused.
func (l *Loop) resume(ctx context.Context, w observe.Workload, s *state, decision decide.Decision) error {
	version, err := l.write(ctx, w.View.Key, func(ctx context.Context) (uint64, error) { return l.options.Writer.Resume(ctx, w.View) })
	if err != nil {
		return l.failed(ctx, w, s, decision, err)
	}
	s.written, s.writtenAt = version, time.Now()
	l.options.Log.Info("Deployment resumed", "workload", w.View.Key, "message", decision.Message)
	l.event(w, corev1.EventTypeNormal, EventResumed, decision.Message+s.accepted(decision.Action))
	return nil
}

// reportOnce says what is deferred because its user wants it so, once.
func (l *Loop) reportOnce(w observe.Workload, s *state, held decide.Hold, reported map[string]bool) {
	reported[held.Message] = true
	if s.reported[held.Message] {
		return
	}
	l.options.Log.Info("rollout deferred", "workload", w.View.Key, "reason", held.Reason, "message", held.Message)
	l.event(w, corev1.EventTypeNormal, string(held.Reason), held.Message)
}

// notify says what would have been done, once for each content. That it was said is kept on the workload: neither a restart
// nor another leader says it again.
func (l *Loop) notify(ctx context.Context, w observe.Workload, s *state, in decide.Input, decision decide.Decision) error {
	held := decision.Waiting()
	content := decide.ContentOf(l.options.Digester, in.Uses, held.Causes, "notified")[:targetLength]
	if w.View.Annotations[annotation.Notified] == content {
		return nil
	}
	if s.notified != content {
		s.notified = content
		l.options.Log.Info("notify-only, rollout skipped", "workload", w.View.Key, "message", held.Message)
		l.event(w, corev1.EventTypeNormal, string(held.Reason), held.Message)
		l.alert(w, held.Causes, "not rolled", string(held.Reason), held.Message, true)
	}
	version, err := l.write(ctx, w.View.Key, func(ctx context.Context) (uint64, error) {
		return l.options.Writer.RecordNotified(ctx, w.View, annotation.Notified, content)
	})
	if err != nil {
		return l.failed(ctx, w, s, decision, err)
	}
	s.written, s.writtenAt = version, time.Now()
	l.refusalEnded(w, s, decision.Action, "The annotation was written")
	return nil
}

// failedInPlace reports whether the rollout is held up which is to follow a reload. What came of the reload is
// remembered until then: it is not tried again.
func failedInPlace(in decide.Input, decision decide.Decision) bool {
	return in.InPlace.AsksForRollout(in.Options) &&
		(decision.Reason.Deferred() || decision.Reason == decide.BackOff || decision.Reason == decide.SourceMissing)
}
