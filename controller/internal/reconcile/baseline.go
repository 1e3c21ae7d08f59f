package reconcile

import (
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

// baseline returns what the pods of a workload are known to have. persisted tells that the workload carries a baseline.
// What this replica knows and could not write yet goes before it, unless the workload got another one since.
func (l *Loop) baseline(w observe.Workload, s *state) (b source.Baseline, persisted bool) {
	text := w.View.Annotations[annotation.Observed]
	b, persisted = l.options.Sealer.Decode(w.View.Key.Namespace, text)
	switch {
	case persisted && (s.provisional == nil || s.replaces != text):
		l.keep(w, s, nil)
		return b, true
	case s.provisional == nil && s.ours != nil && len(s.ours.Records) > 0:
		l.keep(w, s, s.ours) // somebody has removed or replaced it
	}
	if s.provisional != nil {
		b = *s.provisional
	}
	return b, persisted
}

// keep remembers a baseline that is to be written; nil for none.
func (l *Loop) keep(w observe.Workload, s *state, baseline *source.Baseline) {
	switch {
	case s.provisional == nil && baseline != nil:
		l.metrics.pending.Inc()
	case s.provisional != nil && baseline == nil:
		l.metrics.pending.Dec()
	}
	s.provisional, s.replaces = baseline, w.View.Annotations[annotation.Observed]
}

// overwritten tells that somebody has replaced the baseline that we wrote by one that we cannot read: another installation
// with another key of digests follows the workload too. Whoever writes again makes the other one write again, without end.
func (s *state) overwritten(w observe.Workload, persisted bool) bool {
	return !persisted && s.ours != nil && w.View.Annotations[annotation.Observed] != ""
}
