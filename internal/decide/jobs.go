package decide

import (
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// Jobs and CronJobs have two rules of their own: whether a Job is handled at all, and when a new one may start.

// jobIsHandled: a Job that keeps the place of another one has that one made again, with the content that is current then, and
// nothing that is said or missing keeps it from that: the Job would be lost. What had ended when the source was edited is not run
// again, and what something else makes is left to that.
func jobIsHandled(a *evaluation) (Decision, bool) {
	job := a.Workload.Job
	switch {
	case job == nil:
		return Decision{}, false
	case job.Placeholder != nil:
		return Decision{Action: Recreate, Reason: RecreatingJob, Baseline: a.baseline}, true
	case !a.follows:
		return Decision{}, false // its baseline is dropped
	case job.Owned:
		return none(OwnedJob), true
	case !job.Finished || a.endedWhileSettling():
		return Decision{}, false
	}
	decision := none(Finished)
	if len(a.changed) > 0 {
		decision.Message = jobEndedMessage(a.changed)
	}
	return decision, true
}

// endedWhileSettling reports whether a Job was running when a source was edited, and ended before the edit had settled. The API
// server cuts both times to seconds: which came first within one is unknown, and what may have ended before is not run again.
func (a *evaluation) endedWhileSettling() bool {
	for _, u := range a.uses {
		if u.Snapshot == nil || !slices.ContainsFunc(a.changed, func(c Cause) bool { return c.Ref == u.Usages.Ref }) {
			continue
		}
		edited, ended := u.Snapshot.Changed.Time.Truncate(time.Second), a.Workload.Job.EndedAt
		if !edited.IsZero() && ended.After(edited) && ended.Sub(edited) <= a.Settle+time.Second {
			return true
		}
	}
	return false
}

// jobMayStart: a CronJob that is suspended starts nothing, and the Job that it starts some day reads the content of then; so do
// the pods of a suspended Job. A CronJob that forbids two Jobs at a time waits for the one that runs.
func jobMayStart(a *evaluation) (Decision, bool) {
	cron, job := a.Workload.Cron, a.Workload.Job
	switch {
	case cron != nil && cron.Suspended, job != nil && job.Suspended:
		decision := a.recording(Suspended)
		decision.Causes = a.changed
		return decision, true
	case cron != nil && cron.Policy == batchv1.ForbidConcurrent && len(cron.Active) > 0:
		decision := a.holding(ConcurrencyForbidden, concurrencyForbiddenMessage(cron.Active, a.changed))
		decision.Warning = false
		return decision, true
	}
	return Decision{}, false
}

// BusyError says that a CronJob which forbids two Jobs at a time has one that its status does not show: the API's own
// controller lists there what it has started itself (k8s.io/kubernetes/pkg/controller/cronjob).
type BusyError struct{ Jobs []string }

// Error implements error.
func (e *BusyError) Error() string { return "still running: " + strings.Join(e.Jobs, ", ") }

// Instead is the decision that was to be made in place of this one.
func (e *BusyError) Instead(of Decision) Decision {
	return Decision{Action: None, Reason: ConcurrencyForbidden, Message: concurrencyForbiddenMessage(e.Jobs, of.Causes), Causes: of.Causes}
}
