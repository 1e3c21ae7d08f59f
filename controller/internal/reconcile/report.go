package reconcile

import (
	"cmp"
	"maps"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
)

// Reasons of events. The first two are Reloader's, so that alerts on them keep working.
const (
	EventRolled            = "Reloaded"
	EventFailed            = "ReloadFail"
	EventReloaded          = "ReloadedInPlace"
	EventEvicted           = "PodEvicted"
	EventEvictionBlocked   = "EvictionBlocked"
	EventWebhook           = "WebhookCalled"
	EventResumed           = "Resumed"
	EventRefusalEnded      = "RefusalEnded"
	EventShared            = "ConflictingInstallation"
	EventInvalidAnnotation = "InvalidAnnotation"
	EventNeverRenewed      = "NeverRenewed"
	EventNothingMatches    = "NothingMatches"
	EventBaselineTooLarge  = "BaselineTooLarge"
	EventBaselinePutBack   = "BaselinePutBack"
	EventContentUnknown    = "ContentUnknown"
)

// maxMessage is what the message of an event may have, in bytes (k8s.io/kubernetes/pkg/apis/core/validation/events.go).
const maxMessage = 1024

func (l *Loop) event(w observe.Workload, kind, reason, message string) {
	l.options.Emit(l.about(w), kind, reason, bounded(message))
}

// about is what the events of a workload are about.
func (l *Loop) about(w observe.Workload) *corev1.ObjectReference {
	if w.About != nil {
		return w.About
	}
	return l.options.Kinds.Reference(w.View)
}

func bounded(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	cut := maxMessage - len("…")
	for !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + "…"
}

// stateOf has an event written that says how things are, and not what has happened.
func (l *Loop) stateOf(about *corev1.ObjectReference, kind, reason, message string) {
	if l.options.State != nil {
		l.options.State(about, kind, reason, message, bounded(message))
		return
	}
	l.options.Emit(about, kind, reason, bounded(message))
}

// remarks are what there is to say besides a decision.
type remarks struct {
	// early reports whether it is too early to report the decision, which is left for later.
	early bool
	// shared reports whether another installation follows the workload.
	shared bool
	// idle is what the workload asks for and nothing matches.
	idle []string
}

// report reports what the user should know of a decision before anything is done, each thing once.
func (l *Loop) report(w observe.Workload, s *state, decision decide.Decision, more remarks) {
	reported := map[string]bool{}
	if decision.Action == decide.Reload || decision.Reason == decide.TemplateRolling {
		// What was said of this content may be heard again: it is tried again and again. And so may what was said of
		// the pods, which says nothing else when the rollout has ended.
		maps.Copy(reported, s.reported)
	}
	first := func(reason, matter, message string) bool {
		reported[matter] = true
		if s.reported[matter] {
			return false
		}
		l.options.Log.Warn("warning reported", "workload", w.View.Key, "reason", reason, "message", message)
		return true
	}
	warn := func(reason, matter, message string) {
		if first(reason, matter, message) {
			l.event(w, corev1.EventTypeWarning, reason, message)
		}
	}
	state := func(reason, message string) {
		if first(reason, message, message) {
			l.stateOf(l.about(w), corev1.EventTypeWarning, reason, message)
		}
	}
	for _, problem := range w.Problems {
		state(EventInvalidAnnotation, problem.String())
	}
	for _, message := range more.idle {
		state(EventNothingMatches, message)
	}
	for _, message := range decision.Expiring {
		state(EventNeverRenewed, message)
	}
	if decision.TooLarge != "" {
		state(EventBaselineTooLarge, decision.TooLarge)
	}
	if decision.ContentUnknown != "" {
		state(EventContentUnknown, decision.ContentUnknown)
	}
	if s.isPutBack(w, time.Now()) || decision.Reason == decide.BaselineRestored {
		state(EventBaselinePutBack, baselinePutBackMessage(w.View.RestoredBy))
	}
	if decision.Reason == decide.UndoWithoutContent && first(string(decision.Reason), decision.Message, decision.Message) {
		l.event(w, corev1.EventTypeNormal, string(decision.Reason), decision.Message)
	}
	if more.shared {
		warn(EventShared, EventShared, conflictingInstallation())
	}
	if decision.Warning && decision.Action == decide.None && !more.early {
		matter := cmp.Or(decision.Matter, decision.Message)
		if isReload(decision.Reason) && !s.reported[matter] {
			l.alert(w, decision.Causes, "reloaded in place", string(decision.Reason), decision.Message, false)
		}
		warn(string(decision.Reason), matter, decision.Message)
	}
	if held := decision.Held; held.Warning {
		warn(string(held.Reason), held.Message, held.Message)
	}
	if held := decision.Waiting(); held.Reason.Deferred() && held.Reason != decide.NotifyOnly {
		l.reportOnce(w, s, held, reported)
	}
	if decision.Reason == decide.Finished && decision.Message != "" {
		if reported[decision.Message] = true; !s.reported[decision.Message] {
			l.options.Log.Info("finished Job not run again", "workload", w.View.Key, "message", decision.Message)
			l.stateOf(l.about(w), corev1.EventTypeNormal, string(decision.Reason), decision.Message)
		}
	}
	if s.reported = reported; len(reported) == 0 {
		s.reported = nil // as for most workloads
	}
	l.options.Log.Debug("decided", "workload", w.View.Key, "action", decision.Action, "reason", decision.Reason,
		"causes", causesOf(decision.Causes), "held", decision.Held.Reason, "heldCauses", causesOf(decision.Held.Causes))
}

// isReload reports whether a warning is about a reload that did not work, or whose result is not known.
func isReload(reason decide.Reason) bool {
	switch reason {
	case decide.ReloadRejected, decide.RestartNeeded, decide.ReloadFailed, decide.SidecarNotUnderstood, decide.SidecarUnreachable:
		return true
	default:
		return false
	}
}

// rolled reports whether a rollout was accepted.
func (l *Loop) rolled(w observe.Workload, s *state, decision decide.Decision) {
	decision.Message += s.accepted(decide.Rollout)
	said, reason := "rolled", EventRolled
	if l.options.Rules.Webhook {
		said, reason = "handed over to the webhook", EventWebhook
	}
	l.metrics.rolled(w.View.Key.Kind, decision.Reason, true)
	if took, ok := l.queue.acted(w.View.Key); ok {
		l.metrics.latency.Observe(took.Seconds())
	}
	log := l.options.Log.With("workload", w.View.Key, "reason", decision.Reason, "causes", causesOf(decision.Causes))
	if l.options.Rules.Webhook {
		log.Info("webhook called")
	} else {
		log.Info("rollout started")
	}
	l.event(w, corev1.EventTypeNormal, reason, decision.Message)
	l.alert(w, decision.Causes, said, reason, decision.Message, true)
}

// alert informs people who do not read events.
func (l *Loop) alert(w observe.Workload, causes []decide.Cause, action, reason, message string, success bool) {
	if l.options.Alert == nil {
		return
	}
	var sources []string
	for _, cause := range causes {
		sources = append(sources, cause.Ref.String())
	}
	l.options.Alert(alert.Message{
		Workload: w.View.Key, Action: action, Success: success, Reason: reason, Text: message, Sources: sources, Time: time.Now(),
	})
}

func causesOf(causes []decide.Cause) []string {
	var texts []string
	for _, cause := range causes {
		texts = append(texts, cause.String())
	}
	return texts
}
