//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
)

// cronJob never runs by itself within a test. Its Jobs run the test program with these arguments.
func (s *space) cronJob(name string, policy batchv1.ConcurrencyPolicy, args ...string) *batchv1.CronJob {
	pod := deployment(name, env("KEY", ofConfigMap("config"), "key")).pod()
	pod.RestartPolicy = corev1.RestartPolicyNever
	pod.Containers[0].Args = args
	return &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{s.keys.auto: "true"}},
		Spec: batchv1.CronJobSpec{
			Schedule: "0 0 29 2 *", ConcurrencyPolicy: policy,
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: pod}, BackoffLimit: new(int32(0))}},
		},
	}
}

// jobsOf are the Jobs of a CronJob.
func (s *space) jobsOf(name string) []batchv1.Job {
	s.t.Helper()
	list, err := s.Client.BatchV1().Jobs(s.ns).List(s.ctx, metav1.ListOptions{})
	s.must(err)
	var jobs []batchv1.Job
	for _, job := range list.Items {
		if owner := metav1.GetControllerOf(&job); owner != nil && owner.Kind == "CronJob" && owner.Name == name && job.DeletionTimestamp == nil {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

func (s *space) awaitJobs(name string, count int) []batchv1.Job {
	s.t.Helper()
	var jobs []batchv1.Job
	s.eventually(fmt.Sprintf("%d Jobs of %s", count, name), func() (string, bool) {
		jobs = s.jobsOf(name)
		return fmt.Sprintf("%d Jobs", len(jobs)), len(jobs) == count
	})
	return jobs
}

// finish deletes Jobs, which ends them.
func (s *space) finish(jobs []batchv1.Job) {
	s.t.Helper()
	for _, job := range jobs {
		s.must(s.Client.BatchV1().Jobs(s.ns).Delete(s.ctx, job.Name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}))
	}
}

// A change starts one Job of a CronJob, with the new content, as far as its policy allows; a suspended one starts none.
func TestAChangeStartsAJobOfACronJob(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.quick)
	s.apply(configMap("config", "key", "1"))
	suspended := s.cronJob("suspended", batchv1.AllowConcurrent, "env", "KEY")
	suspended.Spec.Suspend = new(true)
	all := []*batchv1.CronJob{
		s.cronJob("allow", batchv1.AllowConcurrent, "env", "KEY"), s.cronJob("forbid", batchv1.ForbidConcurrent, "sleep"),
		s.cronJob("replace", batchv1.ReplaceConcurrent, "sleep"), suspended,
	}
	for _, cron := range all {
		s.apply(cron)
	}
	observed := func(name string) string {
		cron, err := s.Client.BatchV1().CronJobs(s.ns).Get(s.ctx, name, metav1.GetOptions{})
		s.must(err)
		return cron.Annotations[annotation.Baseline]
	}
	awaitRecorded := func(name, before string) {
		s.eventually(name+" to be recorded", func() (string, bool) { now := observed(name); return now, now != before })
	}
	for _, cron := range all {
		awaitRecorded(cron.Name, "")
	}
	waits := observed("suspended")

	s.apply(configMap("config", "key", "2"))
	allowed := s.awaitJobs("allow", 1)
	_, err := framework.AwaitObject(s.ctx, s.Client.BatchV1().RESTClient(), "jobs", s.ns, allowed[0].Name, succeeded)
	s.must(err)
	pods, err := s.Client.CoreV1().Pods(s.ns).List(s.ctx, metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + allowed[0].Name})
	s.must(err)
	log, err := s.Logs(s.ctx, s.ns, pods.Items[0].Name, corev1.PodLogOptions{})
	s.must(err)
	if strings.TrimSpace(log) != "2" {
		t.Errorf("the Job had %q, want the new content", log)
	}
	_, err = s.AwaitEvent(s.ctx, framework.Workload{Kind: "CronJob", Namespace: s.ns, Name: "allow"}, reloaded, "Job started: ConfigMap config changed (key)")
	s.must(err)
	first := map[string][]batchv1.Job{"forbid": s.awaitJobs("forbid", 1), "replace": s.awaitJobs("replace", 1)}
	awaitRecorded("suspended", waits)
	s.apply(configMap("config", "key", "3"))
	s.awaitJobs("allow", 2)
	s.eventually("the running Job to be replaced", func() (string, bool) {
		jobs := s.jobsOf("replace")
		return fmt.Sprintf("%d Jobs", len(jobs)), len(jobs) == 1 && jobs[0].Name != first["replace"][0].Name
	})
	_, err = s.AwaitEvent(s.ctx, framework.Workload{Kind: "CronJob", Namespace: s.ns, Name: "forbid"}, "ConcurrencyForbidden", first["forbid"][0].Name)
	s.must(err)
	if jobs := s.jobsOf("forbid"); len(jobs) != 1 {
		t.Errorf("%d Jobs of one that forbids two", len(jobs))
	}
	s.finish(first["forbid"])
	s.eventually("the Job that waited", func() (string, bool) {
		jobs := s.jobsOf("forbid")
		return fmt.Sprintf("%d Jobs", len(jobs)), len(jobs) == 1 && jobs[0].Name != first["forbid"][0].Name
	})
	s.marker()
	for name, want := range map[string]int{"allow": 2, "forbid": 1, "replace": 1, "suspended": 0} {
		if jobs := s.jobsOf(name); len(jobs) != want {
			t.Errorf("%d Jobs of %s, want %d", len(jobs), name, want)
		}
	}
}

func succeeded(object runtime.Object) bool {
	job, ok := object.(*batchv1.Job)
	return ok && job.Status.Succeeded == 1
}
