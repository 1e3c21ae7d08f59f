package reconcile

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// stored is a baseline that this replica remembers, as its text: thousands of them are remembered, and in the form of a
// [source.Baseline] each takes kilobytes. The zero value is none.
type stored struct {
	is   bool
	text string
}

func (l *Loop) stored(b source.Baseline) stored {
	text, err := l.options.Digester.Encode(b)
	if err != nil {
		text = "" // nothing that was decided or read lacks a text
	}
	return stored{is: true, text: text}
}

// restored returns what was stored; a baseline without records has no text, and nothing in it.
func (l *Loop) restored(w observe.Workload, b stored) source.Baseline {
	baseline, _ := l.options.Digester.Decode(w.View.Key.Namespace, b.text)
	return baseline
}

// baseline returns what the pods of a workload are known to have. persisted reports that the workload carries a
// baseline, ours that this is that of another object and b is the last one that this replica wrote, and otherKey that
// it is one of another key and nothing better is known. What this replica knows and could not write yet goes before it,
// unless the workload got another one since.
func (l *Loop) baseline(w observe.Workload, s *state) (b source.Baseline, persisted, ours, otherKey bool) {
	text := w.View.Annotations[annotation.Baseline]
	b, fault := l.options.Digester.Read(w.View.Key.Namespace, text)
	persisted = fault == source.Readable
	l.unreadable(w, s, text, fault)
	if s.lastWritten.text == text {
		s.lastWritten.text = text // one copy in memory
	}
	switch {
	case persisted && (!s.pendingBaseline.is || s.pendingReplaces != text):
		l.keep(w, s, stored{})
		if last, is := l.isOfAnother(w, s, b); is {
			return last, true, true, false
		}
		return b, true, false, false
	case !s.pendingBaseline.is && s.lastWritten.text != "":
		l.keep(w, s, s.lastWritten) // somebody has removed or replaced it
	}
	if s.pendingBaseline.is {
		return l.restored(w, s.pendingBaseline), persisted, false, false
	}
	return b, persisted, false, fault == source.OtherKey && len(b.Records) > 0
}

// isOfAnother reports whether something has replaced the baseline that we wrote by that of another object, such as the
// one that a manifest was exported from. It says nothing about the workload, and ours, which is last, still does.
func (l *Loop) isOfAnother(w observe.Workload, s *state, b source.Baseline) (last source.Baseline, is bool) {
	if uid := string(w.View.UID); !s.lastWritten.is || uid == "" || b.UID == "" || b.UID == uid {
		return source.Baseline{}, false
	}
	last = l.restored(w, s.lastWritten)
	return last, last.UID == string(w.View.UID)
}

// keep remembers a baseline that is to be written.
func (l *Loop) keep(w observe.Workload, s *state, baseline stored) {
	switch {
	case !s.pendingBaseline.is && baseline.is:
		l.metrics.pending.Inc()
	case s.pendingBaseline.is && !baseline.is:
		l.metrics.pending.Dec()
	}
	s.pendingBaseline, s.pendingReplaces = baseline, w.View.Annotations[annotation.Baseline]
}

// overwritten reports whether somebody has replaced the baseline that we wrote by one that we cannot read: another
// installation with another key of digests follows the workload too. Whoever writes again makes the other one write
// again, without end.
func (s *state) overwritten(w observe.Workload, persisted bool) bool {
	return !persisted && s.lastWritten.is && w.View.Annotations[annotation.Baseline] != ""
}

// unreadable counts and reports a text that is of no use, once for each text.
func (l *Loop) unreadable(w observe.Workload, s *state, text string, fault source.Unreadable) {
	if fault == source.Readable || fault == source.NoText || s.unread == text {
		return
	}
	s.unread = text
	l.metrics.unreadable.WithLabelValues(string(fault)).Inc()
	l.options.Log.Warn("baseline cannot be read, a new one is recorded", "workload", w.View.Key, "why", fault)
}

const (
	// podsKept is how long a list of pods counts while the workload stays as it is.
	podsKept = 10 * time.Minute
	// restoredPause is the least time between two records where something else puts an old one back.
	restoredPause = time.Hour
)

// listed is what the pods of a workload have said.
type listed struct {
	pods *decide.Pods
	at   time.Time
	of   workload.View
}

// decideWithPods decides, and lists the pods where a decision depends on them.
func (l *Loop) decideWithPods(ctx context.Context, w observe.Workload, s *state, in *decide.Input) (decide.Decision, error) {
	decision := l.options.Decide(*in)
	if !decision.AskPods {
		return decision, nil
	}
	if s.listed == nil || !s.listed.of.Same(w.View) || in.Now.Sub(s.listed.at) >= podsKept {
		s.listed = &listed{pods: &decide.Pods{Unknown: true}, at: in.Now, of: w.View}
		if l.options.Pods != nil {
			var starts []decide.PodStart
			_, err := l.write(ctx, w.View.Key, func(ctx context.Context) (_ uint64, err error) {
				starts, err = l.options.Pods(ctx, w.View)
				return 0, err
			})
			l.unlisted(w, s, err)
			switch {
			case err == nil:
				s.listed.pods = &decide.Pods{Starts: starts}
			case errors.Is(err, observe.ErrNoSelector), apierrors.IsForbidden(err): // they stay unknown
			default:
				s.listed = nil
				return decide.Decision{}, err
			}
		}
	}
	in.Pods = s.listed.pods
	return l.options.Decide(*in), nil
}

// unlisted reports that the pods of a workload cannot be listed, when that begins.
func (l *Loop) unlisted(w observe.Workload, s *state, err error) {
	if errors.Is(err, errNoWriteSlot) {
		return
	}
	if err != nil && !s.unlisted {
		l.options.Log.Warn("pods cannot be listed, which a decision depends on", "workload", w.View.Key, "error", err)
	}
	s.unlisted = err != nil
}

// isPutBack reports whether something else puts an old baseline back again and again, so that writing another one has
// no sense. Once may be an undo, which ends with a rollout.
func (s *state) isPutBack(w observe.Workload, now time.Time) bool {
	return w.View.RestoredBy != "" && !s.overwroteAt.IsZero() && now.Sub(s.overwroteAt) < restoredPause
}
