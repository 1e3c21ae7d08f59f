package reconcile

import (
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

// baseline returns what the pods of a workload are known to have. persisted reports that the workload carries a
// baseline. What this replica knows and could not write yet goes before it, unless the workload got another one since.
func (l *Loop) baseline(w observe.Workload, s *state) (b source.Baseline, persisted bool) {
	text := w.View.Annotations[annotation.Baseline]
	b, persisted = l.options.Digester.Decode(w.View.Key.Namespace, text)
	switch {
	case persisted && (s.pendingBaseline == nil || s.pendingReplaces != text):
		l.keep(w, s, nil)
		return b, true
	case s.pendingBaseline == nil && s.lastWritten != nil && len(s.lastWritten.Records) > 0:
		l.keep(w, s, s.lastWritten) // somebody has removed or replaced it
	}
	if s.pendingBaseline != nil {
		b = *s.pendingBaseline
	}
	return b, persisted
}

// keep remembers a baseline that is to be written; nil for none.
func (l *Loop) keep(w observe.Workload, s *state, baseline *source.Baseline) {
	switch {
	case s.pendingBaseline == nil && baseline != nil:
		l.metrics.pending.Inc()
	case s.pendingBaseline != nil && baseline == nil:
		l.metrics.pending.Dec()
	}
	s.pendingBaseline, s.pendingReplaces = baseline, w.View.Annotations[annotation.Baseline]
}

// overwritten reports whether somebody has replaced the baseline that we wrote by one that we cannot read: another
// installation with another key of digests follows the workload too. Whoever writes again makes the other one write
// again, without end.
func (s *state) overwritten(w observe.Workload, persisted bool) bool {
	return !persisted && s.lastWritten != nil && w.View.Annotations[annotation.Baseline] != ""
}
