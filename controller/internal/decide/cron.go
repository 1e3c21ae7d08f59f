package decide

import (
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
)

// nextRun: a CronJob that is suspended starts nothing, and the Job that it starts some day reads the content of then. So do
// the pods of a suspended Job.
func nextRun(a *assessment) (Decision, bool) {
	decision := a.recording(NextRun)
	decision.Causes = a.changed
	return decision, a.Workload.Cron != nil && a.Workload.Cron.Suspended || a.Workload.Job != nil && a.Workload.Job.Suspended
}

// standsIn: a Job that keeps the place of another one has that one made again, with the content that is current then.
// Nothing that is said or missing keeps it from that: the Job would be lost.
func standsIn(a *assessment) (Decision, bool) {
	job := a.Workload.Job
	return Decision{Action: Recreate, Reason: StandsIn, Baseline: a.baseline}, job != nil && job.StandIn != nil
}

// jobOver: what has ended is not run again, and what something else makes is left to that.
func jobOver(a *assessment) (Decision, bool) {
	job := a.Workload.Job
	switch {
	case job == nil || !job.Owned && !job.Finished:
		return Decision{}, false
	case job.Owned:
		return none(OwnedJob), true
	default:
		return none(Finished), true
	}
}

// stillRunning: a CronJob that forbids two Jobs at a time waits for the one that runs.
func stillRunning(a *assessment) (Decision, bool) {
	cron := a.Workload.Cron
	if cron == nil || cron.Policy != batchv1.ForbidConcurrent || len(cron.Active) == 0 {
		return Decision{}, false
	}
	decision := a.holding(StillRunning, waits(cron.Active, a.changed))
	decision.Warning = false
	return decision, true
}

func waits(jobs []string, causes []Cause) string {
	return fmt.Sprintf("Job waits for %s, as concurrencyPolicy Forbid asks: %s", strings.Join(jobs, ", "), describe(causes))
}

// BusyError says that a CronJob which forbids two Jobs at a time has one that its status does not show: the API's own
// controller lists there what it has started itself (k8s.io/kubernetes/pkg/controller/cronjob).
type BusyError struct{ Jobs []string }

// Error implements error.
func (e *BusyError) Error() string { return "still running: " + strings.Join(e.Jobs, ", ") }

// Instead is the decision that was to be made in place of this one.
func (e *BusyError) Instead(of Decision) Decision {
	return Decision{Action: None, Reason: StillRunning, Message: waits(e.Jobs, of.Causes), Causes: of.Causes}
}
