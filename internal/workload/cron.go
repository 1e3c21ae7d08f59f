package workload

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Cron is what is particular to a CronJob: its pods belong to Jobs, which read the content when they start. A change is
// taken up by a Job more, and the template stays as it is.
type Cron struct {
	// Suspended reports whether no Jobs are started for now.
	Suspended bool
	// Policy says what becomes of a Job while another one runs.
	Policy batchv1.ConcurrencyPolicy
	// Active are the names of the Jobs that run, sorted.
	Active []string
}

// same compares what a decision depends on.
func (c *Cron) same(other *Cron) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.Suspended == other.Suspended && c.Policy == other.Policy && slices.Equal(c.Active, other.Active)
}

// CronJob is the row of CronJobs.
func CronJob() Kind {
	return Kind{
		Name:     "CronJob",
		Resource: batchv1.SchemeGroupVersion.WithResource("cronjobs"),
		New:      func() runtime.Object { return &batchv1.CronJob{} },
		template: templateOf(func(c *batchv1.CronJob) *corev1.PodTemplateSpec { return &c.Spec.JobTemplate.Spec.Template }),
		// Its pods are those of Jobs, and none of them is reloaded.
		pods: podsOf(func(*batchv1.CronJob) int32 { return UnknownPods }),
		cron: cronOf,
	}
}

func cronOf(object any) *Cron {
	c, ok := object.(*batchv1.CronJob)
	if !ok {
		return nil
	}
	cron := &Cron{Suspended: c.Spec.Suspend != nil && *c.Spec.Suspend, Policy: c.Spec.ConcurrencyPolicy}
	for _, job := range c.Status.Active {
		cron.Active = append(cron.Active, job.Name)
	}
	slices.Sort(cron.Active)
	return cron
}
