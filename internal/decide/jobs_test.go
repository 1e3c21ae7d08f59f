package decide_test

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

// asCron makes the workload a CronJob.
func asCron(w *fakeCluster, cron workload.Cron) {
	w.inputs = func(in *decide.Input) { in.Workload.Cron = &cron }
}

func TestCronJobs(t *testing.T) {
	t.Parallel()
	cron := func(c workload.Cron) func(*fakeCluster) { return func(w *fakeCluster) { asCron(w, c); change(w) } }
	const started = "Job started: ConfigMap a changed (k)"
	recorded := []string{"ConfigMap a: k"}
	checkAll(t, map[string]ruleCase{
		"a change starts a Job": {
			parts: frozen(), objects: one(), edit: cron(workload.Cron{}),
			wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantMessage: started, wantRecord: true, wantRecords: recorded,
		},
		"a change that running containers see does so as well": {
			parts: live(), objects: one(), edit: cron(workload.Cron{}),
			wantAction: decide.Rollout, wantReason: decide.NoSidecar, wantMessage: started, wantRecord: true, wantRecords: recorded,
		},
		"a suspended one starts nothing, and its next Job has the content": {
			parts: frozen(), objects: one(), edit: cron(workload.Cron{Suspended: true}), wantReason: decide.Suspended, wantRecord: true, wantRecords: recorded,
		},
		"one that forbids two Jobs waits for the one that runs": {
			parts: frozen(), objects: one(), edit: cron(workload.Cron{Policy: batchv1.ForbidConcurrent, Active: []string{"report-1"}}),
			wantReason: decide.ConcurrencyForbidden, wantRecords: recorded,
			wantMessage: "Waiting for Job report-1 to finish (concurrencyPolicy: Forbid): ConfigMap a changed (k)",
		},
		"it goes on when none runs": {
			parts: frozen(), objects: one(), edit: cron(workload.Cron{Policy: batchv1.ForbidConcurrent}),
			wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantMessage: started, wantRecord: true, wantRecords: recorded,
		},
		"others do not wait": {
			parts: frozen(), objects: one(), edit: cron(workload.Cron{Policy: batchv1.ReplaceConcurrent, Active: []string{"report-1"}}),
			wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantMessage: started, wantRecord: true, wantRecords: recorded,
		},
		"what its template carries needs no Job": {
			parts: frozen(), objects: one(), wantReason: decide.Unchanged, wantRecords: recorded,
			edit: func(w *fakeCluster) {
				asCron(w, workload.Cron{})
				w.edit(append(frozen(), obj.Var("VERSION", "2"))...)
			},
		},
	})
}

func TestJobs(t *testing.T) {
	t.Parallel()
	job := func(j workload.Job) func(*fakeCluster) {
		return func(w *fakeCluster) {
			w.inputs = func(in *decide.Input) { in.Workload.Job = &j }
			change(w)
		}
	}
	// endedAt is a Job that ended, and an edit of its source.
	endedAt := func(edited, ended time.Time) func(*fakeCluster) {
		return func(w *fakeCluster) {
			job(workload.Job{Finished: true, EndedAt: ended})(w)
			w.sources[cmRef("a")].Changed.Time = edited
			inputs := w.inputs
			w.inputs = func(in *decide.Input) { inputs(in); in.Settle = 2 * time.Second }
		}
	}
	const ended = "Job has ended and is not run again: ConfigMap a changed (k). To run it with the new content, delete and create it"
	recorded := []string{"ConfigMap a: k"}
	checkAll(t, map[string]ruleCase{
		"a change has it made again": {
			parts: frozen(), objects: one(), edit: job(workload.Job{}), wantMessage: "Recreation of the Job started: ConfigMap a changed (k)",
			wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: recorded,
		},
		"what has ended is not run again": {
			parts: frozen(), objects: one(), edit: job(workload.Job{Finished: true, EndedAt: now.Add(-time.Hour)}), wantReason: decide.Finished,
			wantMessage: ended,
		},
		"what ended before the edit had settled was running": {
			parts: frozen(), objects: one(), edit: endedAt(now.Add(-2*time.Second), now.Add(-time.Second)), wantMessage: "Recreation of the Job started: ConfigMap a changed (k)",
			wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: recorded,
		},
		"what ended before the edit was not": {
			parts: frozen(), objects: one(), edit: endedAt(now.Add(-2*time.Second), now.Add(-3*time.Second)), wantReason: decide.Finished, wantMessage: ended,
		},
		"what ended long after the edit was not replaced for a reason": {
			parts: frozen(), objects: one(), edit: endedAt(now.Add(-time.Hour), now.Add(-time.Minute)), wantReason: decide.Finished, wantMessage: ended,
		},
		"nothing is to be said of one whose sources are as they were": {
			parts: frozen(), objects: one(), wantReason: decide.Finished,
			edit: func(w *fakeCluster) {
				w.inputs = func(in *decide.Input) { in.Workload.Job = &workload.Job{Finished: true} }
			},
		},
		"what something else makes is left to that": {
			parts: frozen(), objects: one(), edit: job(workload.Job{Owned: true}), wantReason: decide.OwnedJob,
		},
		"the pods of a suspended one will have the content": {
			parts: frozen(), objects: one(), edit: job(workload.Job{Suspended: true}), wantReason: decide.Suspended, wantRecord: true, wantRecords: recorded,
		},
		"one that keeps a place carries on": {
			parts: frozen(), objects: one(), edit: job(workload.Job{Suspended: true, Placeholder: &workload.Placeholder{}}),
			wantAction: decide.Recreate, wantReason: decide.RecreatingJob, wantRecords: recorded,
		},
		"also when something is missing that its pods need": {
			parts: frozen(), objects: one(), wantAction: decide.Recreate, wantReason: decide.RecreatingJob, wantRecords: recorded,
			edit: func(w *fakeCluster) {
				job(workload.Job{Placeholder: &workload.Placeholder{}})(w)
				w.remove(cmRef("a"))
			},
		},
	})
}
