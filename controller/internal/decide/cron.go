package decide

import (
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
)

// nextRun: a CronJob that is suspended starts nothing, and the Job that it starts some day reads the content of then.
func nextRun(a *assessment) (Decision, bool) {
	decision := a.recording(NextRun)
	decision.Causes = a.changed
	return decision, a.Workload.Cron != nil && a.Workload.Cron.Suspended
}

// stillRunning: a CronJob that forbids two Jobs at a time waits for the one that runs.
func stillRunning(a *assessment) (Decision, bool) {
	cron := a.Workload.Cron
	if cron == nil || cron.Policy != batchv1.ForbidConcurrent || len(cron.Active) == 0 {
		return Decision{}, false
	}
	decision := a.holding(StillRunning, fmt.Sprintf("Job waits for %s, as concurrencyPolicy Forbid asks: %s",
		strings.Join(cron.Active, ", "), describe(a.changed)))
	decision.Warning = false
	return decision, true
}
