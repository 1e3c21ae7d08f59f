package reconcile

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
)

// refusedAgain is when a refusal that lasts is reported again. It is tried every two minutes: that is no news.
const refusedAgain = 6 * time.Hour

// refusalState is a kind of write of one workload that is not accepted.
type refusalState struct {
	since, reported time.Time
}

// refused notes that the API server did not take a write, and reports it when that is news.
func (l *Loop) refused(w observe.Workload, s *state, decision decide.Decision, err error) {
	if decision.Action == decide.Rollout {
		l.metrics.rolled(w.View.Key.Kind, decision.Reason, false)
	}
	if !s.isNews(decision.Action, time.Now()) {
		l.options.Log.Debug("write failed, will retry", "workload", w.View.Key, "action", decision.Action, "error", err)
		return
	}
	since := s.refusals[decision.Action].since
	l.options.Log.Warn("write failed, will retry", "workload", w.View.Key, "action", decision.Action, "since", since, "error", err)
	message := refusal(w.View, decision.Action, l.options.Rules.Webhook, err)
	l.event(w, corev1.EventTypeWarning, EventFailed, message)
	if decision.Action == decide.Rollout {
		l.alert(w, decision.Causes, "rolled", EventFailed, message, false)
	}
}

// isNews notes that a kind of write is refused, and reports whether that is to be reported.
func (s *state) isNews(action decide.Action, now time.Time) bool {
	r, lasts := s.refusals[action]
	if lasts && now.Sub(r.reported) < refusedAgain {
		return false
	}
	if !lasts {
		r.since = now
	}
	r.reported = now
	if s.refusals == nil {
		s.refusals = map[decide.Action]refusalState{}
	}
	s.refusals[action] = r
	return true
}

// accepted notes that a write was taken. It returns what there is to add to the report of it: how long it had been refused, or "".
func (s *state) accepted(action decide.Action) (remark string) {
	r, lasted := s.refusals[action]
	if !lasted {
		return ""
	}
	delete(s.refusals, action)
	return fmt.Sprintf("; it had been refused for %s", time.Since(r.since).Round(time.Second))
}

// refusalEnded reports that a write was taken, where nothing else reports it.
func (l *Loop) refusalEnded(w observe.Workload, s *state, action decide.Action, what string) {
	if remark := s.accepted(action); remark != "" {
		l.options.Log.Info("write accepted", "workload", w.View.Key, "action", action)
		l.event(w, corev1.EventTypeNormal, EventRefusalEnded, what+remark)
	}
}

// refusalIsMoot reports that a rollout that was refused is not wanted any more.
func (l *Loop) refusalIsMoot(w observe.Workload, s *state, decision decide.Decision) {
	if decision.Action != decide.None || !nothingLeft(decision.Reason) || decision.Reason.Deferred() {
		return
	}
	remark := s.accepted(decide.Rollout)
	if remark == "" {
		return
	}
	message := "The rolling update that was refused is not needed any more" + remark
	l.options.Log.Info("refused rollout not needed any more", "workload", w.View.Key, "reason", decision.Reason)
	l.event(w, corev1.EventTypeNormal, EventRefusalEnded, message)
	l.alert(w, decision.Causes, "not rolled", EventRefusalEnded, message, true)
}
