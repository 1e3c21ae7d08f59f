package reconcile

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// targetLength is how many hex digits name a content. It is written into annotations of pods.
const targetLength = 12

// target names the content that a workload uses now.
func (l *Loop) target(in decide.Input) string {
	return l.options.Digester.ConfigHash(in.Uses, "target")[:targetLength]
}

// pursue has the pods take up what changed. When there is a verdict the workload comes back into the queue.
func (l *Loop) pursue(w observe.Workload, in decide.Input, decision decide.Decision) {
	since := l.queue.changedAt(w.View.Key)
	for _, use := range in.Uses {
		// The kubelet may have brought the content before a watch that was interrupted delivered the change.
		if use.Snapshot != nil && !use.Snapshot.Changed.Time.IsZero() && use.Snapshot.Changed.Time.Before(since) && changedIn(decision, use.Usages.Ref) {
			since = use.Snapshot.Changed.Time
		}
	}
	l.options.InPlace.StartReload(w.View.Key, l.target(in), in.Uses, decision.Causes, since)
}

// remember keeps the baseline of pods whose workload is not known, and reports what they have taken up since. What they
// say at first is no news unless it is bad.
func (l *Loop) remember(w observe.Workload, s *state, in decide.Input, decision decide.Decision) {
	if nothingLeft(decision.Reason) || decision.Reason == decide.NothingToReload {
		l.queue.acted(w.View.Key)
	}
	switch {
	case decision.Reason == decide.NotFollowed:
		s.stray = nil
	case decision.Record:
		s.stray = &decision.Baseline
	}
	switch {
	case decision.Reason != decide.ReloadConfirmed:
	case in.Ask && l.queue.changedAt(w.View.Key).IsZero():
		l.drop(w.View.Key)
	default:
		l.reloaded(w, decision)
	}
}

func changedIn(decision decide.Decision, ref source.Ref) bool {
	return slices.ContainsFunc(decision.Causes, func(c decide.Cause) bool { return c.Ref == ref })
}

// underWay reports whether a decision to do nothing leaves a reload in the pods to go on. Otherwise the edit was taken
// back, or something else is in the way, and nobody waits for the content that the pods were to have.
func underWay(reason decide.Reason) bool {
	switch reason {
	case decide.ReloadConfirmed, decide.ReloadRejected, decide.RestartNeeded, decide.ReloadFailed, decide.SidecarNotUnderstood, decide.SidecarUnreachable:
		return true
	default:
		return false
	}
}

// drop ends what goes on in the pods of a workload.
func (l *Loop) drop(key workload.Key) {
	if l.options.InPlace != nil {
		l.options.InPlace.CancelReload(key)
	}
}

// reloaded reports whether every pod has taken up a change in place, and whether that is proven.
func (l *Loop) reloaded(w observe.Workload, decision decide.Decision) {
	l.drop(w.View.Key)
	l.metrics.reloads.WithLabelValues(w.View.Key.Kind).Inc()
	if took, ok := l.queue.acted(w.View.Key); ok {
		l.metrics.reloadLatency.Observe(took.Seconds())
	}
	l.options.Log.Info("reloaded in place", "workload", w.View.Key, "causes", causesOf(decision.Causes), "message", decision.Message)
	l.event(w, corev1.EventTypeNormal, EventReloaded, decision.Message)
	l.alert(w, decision.Causes, "reloaded in place", EventReloaded, decision.Message, true)
}

// NudgeTexts names contents in nudges.
type NudgeTexts struct {
	Cache    Cache
	Rules    decide.Options
	Digester source.Digester
}

// Of returns the text of the first nudge for a source, which goes out before anything has settled; ok is false if the workload
// does not follow the source.
func (n *NudgeTexts) Of(key workload.Key, ref source.Ref) (text string, ok bool) {
	w, exists := n.Cache.Workload(key)
	snapshot := n.Cache.Source(ref)
	// The driver brings a class pod after pod, and each of them is a change of it: nudging all pods each time helps nobody.
	if !exists || snapshot == nil || ref.Kind == source.SecretProviderClass || !w.Policy.Select(ref, snapshot.Ignore, snapshot.Match, true, n.Rules.AutoAll).Follows() {
		return "", false
	}
	whole := source.SourceUsages{Ref: ref, Usages: []source.Usage{{Ref: ref, Via: source.ViaNamed}}}
	return n.Digester.ConfigHash([]source.SourceState{{Usages: whole, Snapshot: snapshot}}, "nudge")[:targetLength], true
}
