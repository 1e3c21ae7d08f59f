package workload_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

func TestWhatIsParticularToACronJob(t *testing.T) {
	t.Parallel()
	cron := obj.CronJob("report", obj.EnvFrom(obj.CM("a")))
	before := view(t, workload.CronJob(), cron)
	cron.Spec.Suspend = new(true)
	cron.Spec.ConcurrencyPolicy = batchv1.ForbidConcurrent
	cron.Status.Active = []corev1.ObjectReference{{Name: "b"}, {Name: "a"}}
	got := view(t, workload.CronJob(), cron)
	want := &workload.Cron{Suspended: true, Policy: batchv1.ForbidConcurrent, Active: []string{"a", "b"}}
	if diff := cmp.Diff(want, got.Cron); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if before.Same(got) {
		t.Error("a Job that runs makes no difference")
	}
	cron.Status.LastScheduleTime = nil
	if !got.Same(view(t, workload.CronJob(), cron)) {
		t.Error("the rest of the status makes a difference")
	}
}
