package reconcile

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// writeTimeout bounds one PATCH; webhooks of others may take up to 30 s.
const writeTimeout = 35 * time.Second

// freeConflicts are the conflicts in a row of one workload that are nobody's concern: the watch brings what it is now
// within the back-off. More are reported, as it may never get better.
const freeConflicts = 5

// write calls f, while another workload is decided on, or returns [errNoWriteSlot]. The context of f outlives ctx a little,
// so that a stop does not leave it open whether a write that is under way has happened. A list of pods has the same
// bound.
func (l *Loop) write(ctx context.Context, key workload.Key, f func(context.Context) (uint64, error)) (uint64, error) {
	if !l.writes.Acquire(key) {
		return 0, errNoWriteSlot
	}
	defer func() { l.queue.addAll(l.writes.Release(key)) }()
	<-l.deciding
	defer func() { l.deciding <- struct{}{} }()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(l.options.Grace, cancel)
		context.AfterFunc(bounded, func() { timer.Stop() })
	})
	defer stop()
	return f(bounded)
}

// rollout writes a decision for a rollout once the workload has a slot, and reports it. It returns when to reconcile
// again.
func (l *Loop) rollout(ctx context.Context, w observe.Workload, s *state, decision decide.Decision) (time.Duration, error) {
	if !l.writes.Acquire(w.View.Key) {
		l.queue.addAll(l.limiter.Release(w.View.Key)) // who waits for a write holds no rollout slot
		return 0, errNoWriteSlot
	}
	now := time.Now()
	granted, wait, next := l.limiter.Acquire(w.View.Key, now)
	l.queue.addAll(next)
	if !granted {
		l.options.Log.Debug("waiting for a rollout slot", "workload", w.View.Key)
		return wait, nil
	}
	version, err := l.write(ctx, w.View.Key, func(ctx context.Context) (uint64, error) {
		return l.options.Writer.Rollout(ctx, w.View, decision, now)
	})
	if busy := (*decide.BusyError)(nil); errors.As(err, &busy) {
		l.queue.addAll(l.limiter.Release(w.View.Key))
		l.busy(w, s, busy.Instead(decision))
		return busyWait, nil
	}
	l.options.Compat.Acted(w.View.Key, err == nil, time.Since(now))
	if err != nil {
		l.queue.addAll(l.limiter.Release(w.View.Key)) // also where it is not tried again
		return 0, l.failed(ctx, w, s, decision, err)
	}
	l.queue.addAll(l.limiter.start(w.View.Key, now))
	l.drop(w.View.Key)
	l.wrote(w, s, version, decision.Baseline)
	s.overwroteAt = time.Time{}
	s.rolled(now)
	s.busy = ""
	l.rolled(w, s, decision)
	return l.options.Limits.Timeout, nil
}

// recreateWait is when to look whether a Job that is deleted is gone.
const recreateWait = time.Second

// recreate carries on with a Job that is recreated.
func (l *Loop) recreate(ctx context.Context, w observe.Workload, s *state, decision decide.Decision) (time.Duration, error) {
	done := false
	_, err := l.write(ctx, w.View.Key, func(ctx context.Context) (_ uint64, err error) {
		done, err = l.options.Writer.Recreate(ctx, w.View, decision)
		return 0, err
	})
	if err != nil {
		return 0, l.failed(ctx, w, s, decision, err)
	}
	if !done {
		l.refusalEnded(w, s, decision.Action, "Recreating the Job continues")
		return recreateWait, nil
	}
	l.refusalEnded(w, s, decision.Action, "The placeholder has no more to do")
	l.options.Log.Info("recreation of a Job ended", "placeholder", w.View.Key, "job", w.View.Job.Placeholder.Name)
	return 0, nil
}

// busyWait is when to reconcile a CronJob that has to wait for one of its Jobs.
const busyWait = 10 * time.Second

// busy reports once that a Job has to wait for another one.
func (l *Loop) busy(w observe.Workload, s *state, decision decide.Decision) {
	if s.busy != decision.Message {
		s.busy = decision.Message
		l.options.Log.Info("rollout deferred", "workload", w.View.Key, "reason", decision.Reason, "message", decision.Message)
		l.event(w, corev1.EventTypeNormal, string(decision.Reason), decision.Message)
	}
}

// record writes the baseline where the decision asks for it. It returns when it can be written if not now.
func (l *Loop) record(ctx context.Context, w observe.Workload, s *state, decision decide.Decision, persisted bool) (time.Duration, error) {
	baseline, wanted, slow := decision.Baseline, decision.Record, paced(decision.Reason)
	if nothingLeft(decision.Reason) {
		l.queue.acted(w.View.Key) // nothing came of the change
	}
	switch {
	case decision.Reason == decide.NotFollowed && !persisted:
		l.keep(w, s, stored{}) // there is nothing in the cluster to drop
		return 0, nil
	case !wanted && s.pendingBaseline.is:
		// Whatever else is to be done: what the pods have has to outlive this replica.
		baseline, wanted, slow = l.restored(w, s.pendingBaseline), true, true
	}
	if !wanted {
		return 0, nil
	}
	if s.isPutBack(w, time.Now()) {
		return restoredPause, nil
	}
	if decision.Reason != decide.NotFollowed {
		// From now on changes are found by comparing with this, although it is not in the cluster yet.
		l.keep(w, s, l.stored(baseline))
	}
	if decision.Reason == decide.ReloadConfirmed {
		l.reloaded(w, decision)
	}
	if slow {
		if s.overwritten(w, persisted) {
			return 0, nil
		}
		if wait := l.baselineDelay(s); wait > 0 {
			return wait, nil
		}
	}
	version, err := l.write(ctx, w.View.Key, func(ctx context.Context) (uint64, error) {
		return l.options.Writer.Record(ctx, w.View, baseline)
	})
	if !errors.Is(err, errNoWriteSlot) {
		s.baselineAt = time.Time{} // another attempt waits again
	}
	if err != nil {
		return 0, l.failed(ctx, w, s, decision, err)
	}
	if !persisted || decision.Reason == decide.BaselineCreated {
		l.metrics.baselinesCreated.Inc()
	}
	l.wrote(w, s, version, baseline)
	if w.View.RestoredBy != "" {
		s.overwroteAt = time.Now()
	}
	l.refusalEnded(w, s, decision.Action, "The baseline was written")
	l.options.Log.Debug("baseline recorded", "workload", w.View.Key, "reason", decision.Reason)
	return 0, nil
}

// paced reports whether a baseline can wait: it says nothing that is not so for longer already.
func paced(reason decide.Reason) bool {
	switch reason {
	case decide.BaselineCreated, decide.Unchanged, decide.NotFollowed, decide.SourceMissing:
		return true
	default:
		return false
	}
}

// nothingLeft reports whether nothing is to be done about a change any more.
func nothingLeft(reason decide.Reason) bool {
	switch reason {
	case decide.Deleting, decide.CreateIgnored, decide.DeleteIgnored, decide.CarriedByTemplate:
		return true
	default:
		return paced(reason) || reason.Deferred() // how long that takes is for its user to say
	}
}

// baselineDelay returns how long to wait before a baseline may be written.
func (l *Loop) baselineDelay(s *state) time.Duration {
	now := time.Now()
	if s.baselineAt.IsZero() {
		s.baselineAt = now.Add(l.baselineRate.ReserveN(now, 1).DelayFrom(now))
	}
	return max(0, s.baselineAt.Sub(now))
}

func (l *Loop) wrote(w observe.Workload, s *state, version uint64, baseline source.Baseline) {
	s.written, s.writtenAt, s.lastWritten = version, time.Now(), l.stored(baseline)
	s.baselineAt, s.conflicts = time.Time{}, 0
	l.keep(w, s, stored{})
}

// failed reports a write that did not work. It returns nil where trying again has no sense.
func (l *Loop) failed(ctx context.Context, w observe.Workload, s *state, decision decide.Decision, err error) error {
	switch {
	case errors.Is(err, errNoWriteSlot):
		return err // nothing was tried
	case apierrors.IsNotFound(err):
		return nil // deleted: the watch will say so
	case ctx.Err() != nil:
		return err // stopping: the next leader compares states and goes on
	case apierrors.IsConflict(err) && s.conflicts < freeConflicts:
		s.conflicts++
		l.options.Log.Debug("conflict, requeueing", "workload", w.View.Key, "error", err)
		return err
	}
	l.refused(w, s, decision, err)
	return err
}
