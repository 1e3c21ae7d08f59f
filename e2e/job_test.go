//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
)

// job runs the test program with these arguments.
func (s *space) job(name string, args ...string) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{s.keys.auto: "true"}, Labels: map[string]string{"app": name}},
		Spec:       s.cronJob(name, "", args...).Spec.JobTemplate.Spec,
	}
}

// getJob returns nil for one that does not exist.
func (s *space) getJob(name string) *batchv1.Job {
	s.t.Helper()
	job, err := s.Client.BatchV1().Jobs(s.ns).Get(s.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	s.must(err)
	return job
}

// recordedJob waits until what the pods of a Job have is recorded.
func (s *space) recordedJob(name string) *batchv1.Job {
	s.t.Helper()
	var job *batchv1.Job
	s.eventually("Job "+name+" to be recorded", func() (string, bool) {
		job = s.getJob(name)
		return "", job != nil && job.Annotations[annotation.Baseline] != ""
	})
	return job
}

// recreated waits until another Job has the name, and nothing keeps its place any more.
func (s *space) recreated(before *batchv1.Job) *batchv1.Job {
	s.t.Helper()
	var job *batchv1.Job
	s.eventually("Job "+before.Name+" to be recreated", func() (string, bool) {
		job = s.getJob(before.Name)
		return fmt.Sprintf("there: %t, placeholders: %d", job != nil, len(s.placeholders())), job != nil && job.UID != before.UID && len(s.placeholders()) == 0
	})
	return job
}

func (s *space) placeholders() []string {
	s.t.Helper()
	list, err := s.Client.BatchV1().Jobs(s.ns).List(s.ctx, metav1.ListOptions{})
	s.must(err)
	var names []string
	for i := range list.Items {
		if list.Items[i].Annotations[annotation.Placeholder] != "" {
			names = append(names, list.Items[i].Name)
		}
	}
	return names
}

// runningPod waits for the one pod of a Job.
func (s *space) runningPod(job *batchv1.Job) corev1.Pod {
	s.t.Helper()
	var pods []corev1.Pod
	s.eventually("a pod of Job "+job.Name, func() (string, bool) {
		list, err := s.Client.CoreV1().Pods(s.ns).List(s.ctx, metav1.ListOptions{LabelSelector: batchv1.ControllerUidLabel + "=" + string(job.UID)})
		s.must(err)
		pods = list.Items
		return fmt.Sprintf("%d pods", len(pods)), len(pods) == 1 && pods[0].Status.Phase == corev1.PodRunning
	})
	return pods[0]
}

func (s *space) hasContent(job *batchv1.Job, want string) {
	s.t.Helper()
	if got := strings.TrimSpace(s.execIn(s.runningPod(job), "env", "KEY")); got != want {
		s.t.Errorf("the pod of Job %s has %q, want %q", job.Name, got, want)
	}
}

// A Job that runs is recreated under its name, once for a change. One that has ended is not run again, and those of a
// CronJob are left alone.
func TestAChangeRecreatesAJob(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.quick)
	s.apply(configMap("config", "key", "1"))
	// The annotation is in the pod template, so that the Job of the CronJob has it too.
	cron := s.cronJob("report", batchv1.ForbidConcurrent, "sleep")
	cron.Spec.JobTemplate.Spec.Template.Annotations, cron.Annotations = cron.Annotations, map[string]string{s.keys.ignore: "true"}
	s.apply(s.job("migrate", "sleep"), s.job("done", "env", "KEY"), cron)
	cron, err := s.Client.BatchV1().CronJobs(s.ns).Get(s.ctx, "report", metav1.GetOptions{})
	s.must(err)
	owned := s.job("report-1", "sleep")
	owned.Spec.Template.Annotations, owned.Annotations = map[string]string{s.keys.auto: "true"}, nil
	owned.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: cron.Name, UID: cron.UID, Controller: new(true)}}
	s.apply(owned)
	first := s.recordedJob("migrate")
	_, err = framework.AwaitObject(s.ctx, s.Client.BatchV1().RESTClient(), "jobs", s.ns, "done", succeeded)
	s.must(err)
	done, left := s.getJob("done"), s.getJob("report-1")
	s.hasContent(first, "1")

	s.apply(configMap("config", "key", "2"))
	second := s.recreated(first)
	s.hasContent(second, "2")
	if second.Labels["app"] != "migrate" || second.Annotations[s.keys.auto] != "true" {
		t.Errorf("the Job lost labels or annotations: %v, %v", second.Labels, second.Annotations)
	}
	w := framework.Workload{Kind: "Job", Namespace: s.ns, Name: "migrate"}
	_, err = s.AwaitEvent(s.ctx, w, reloaded, "Recreation of the Job started: ConfigMap config changed (key)")
	s.must(err)

	s.apply(configMap("config", "key", "3"))
	third := s.recreated(second)
	s.hasContent(third, "3")
	if events := s.events(w, reloaded); len(events) != 2 {
		t.Errorf("%d events, want one for each change", len(events))
	}
	if job := s.getJob("done"); job == nil || job.UID != done.UID {
		t.Error("a Job that had ended was run again")
	}
	if job := s.getJob("report-1"); job == nil || job.UID != left.UID || job.DeletionTimestamp != nil {
		t.Error("the Job of a CronJob was recreated")
	}
}

func TestAJobThatCannotBeRecreatedGoesOn(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.quick)
	s.apply(configMap("config", "key", "1"), s.job("migrate", "sleep"))
	first := s.recordedJob("migrate")
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "jobs"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/jobs.batch": resource.MustParse("1")}},
	}
	s.apply(quota)
	s.eventually("the quota to count", func() (string, bool) {
		got, err := s.Client.CoreV1().ResourceQuotas(s.ns).Get(s.ctx, "jobs", metav1.GetOptions{})
		s.must(err)
		used := got.Status.Used["count/jobs.batch"]
		return used.String(), used.Value() == 1
	})

	s.apply(configMap("config", "key", "2"))
	_, err := s.AwaitEvent(s.ctx, framework.Workload{Kind: "Job", Namespace: s.ns, Name: "migrate"}, "ReloadFail", "exceeded quota")
	s.must(err)
	if job := s.getJob("migrate"); job == nil || job.UID != first.UID || job.DeletionTimestamp != nil || job.Status.Active != 1 {
		t.Fatalf("the Job was disturbed: %+v", job)
	}
	s.must(s.Client.CoreV1().ResourceQuotas(s.ns).Delete(s.ctx, "jobs", metav1.DeleteOptions{}))
	s.hasContent(s.recreated(first), "2")
}

func jobRule(operation admissionregistrationv1.OperationType) admissionregistrationv1.NamedRuleWithOperations {
	return admissionregistrationv1.NamedRuleWithOperations{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{operation},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{"batch"}, APIVersions: []string{"v1"}, Resources: []string{"jobs"}},
	}}
}

// denyJobs has the API server refuse new Jobs that do not hold to an expression, from when a dry run is refused.
func (s *space) denyJobs(refusal, expression string, refused *batchv1.Job) (remove func()) {
	s.t.Helper()
	remove = s.deny(refusal, expression, jobRule(admissionregistrationv1.Create))
	s.eventually("the policy to be taken up", func() (string, bool) {
		_, err := s.Client.BatchV1().Jobs(s.ns).Create(s.ctx, refused, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return fmt.Sprint(err), err != nil && strings.Contains(err.Error(), refusal)
	})
	return remove
}

// A policy that reads the name of the new Job is met before the old one is deleted.
func TestAPolicyThatRefusesTheNewJobDisturbsNobody(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.quick)
	s.apply(configMap("config", "key", "1"), s.job("migrate", "sleep"))
	first := s.recordedJob("migrate")
	const refusal = "the name is not wanted"
	remove := s.denyJobs(refusal, "object.metadata.name != 'migrate'", s.job("migrate", "sleep"))
	s.apply(configMap("config", "key", "2"))
	_, err := s.AwaitEvent(s.ctx, framework.Workload{Kind: "Job", Namespace: s.ns, Name: "migrate"}, "ReloadFail", refusal)
	s.must(err)
	if job := s.getJob("migrate"); job == nil || job.UID != first.UID || job.DeletionTimestamp != nil || len(s.placeholders()) > 0 {
		t.Fatalf("the Job was disturbed: %+v, placeholders %q", job, s.placeholders())
	}
	remove()
	s.hasContent(s.recreated(first), "2")
}

// A policy that wants a label on every Job gets that of the Job itself.
func TestAJobIsRecreatedWhereJobsNeedALabel(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.quick)
	s.apply(configMap("config", "key", "1"), s.job("migrate", "sleep"))
	first := s.recordedJob("migrate")
	unlabeled := s.job("other", "sleep")
	unlabeled.Labels = nil
	s.denyJobs("the label app is missing", "has(object.metadata.labels) && 'app' in object.metadata.labels", unlabeled)
	s.apply(configMap("config", "key", "2"))
	s.hasContent(s.recreated(first), "2")
}

// Where a policy keeps inpod from deleting a Job, the placeholder waits, and what its user does to the Job counts.
func TestWhatItsUserDoesToAJobBeforeItIsDeletedCounts(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.quick)
	probe := s.job("probe", "sleep")
	probe.Spec.Suspend = new(true)
	s.apply(configMap("config", "key", "1"), s.job("edited", "sleep"), s.job("stopped", "sleep"), s.job("deleted", "sleep"), probe)
	edited, stopped := s.recordedJob("edited"), s.recordedJob("stopped")
	s.runningPod(s.recordedJob("deleted"))
	const refusal = "inpod may not delete this"
	// The probe shows when the policy has been taken up; placeholders are not protected.
	remove := s.deny(refusal,
		"oldObject.metadata.name.contains('-inpod-') || oldObject.metadata.name != 'probe' && !request.userInfo.username.startsWith('system:serviceaccount:"+s.Namespace+":')",
		jobRule(admissionregistrationv1.Delete))
	jobs := s.Client.BatchV1().Jobs(s.ns)
	s.eventually("the policy to be taken up", func() (string, bool) {
		err := jobs.Delete(s.ctx, "probe", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		return fmt.Sprint(err), err != nil && strings.Contains(err.Error(), refusal)
	})

	s.apply(configMap("config", "key", "2"))
	var placeholders []string
	s.eventually("three placeholders", func() (string, bool) {
		placeholders = s.placeholders()
		return fmt.Sprint(placeholders), len(placeholders) == 3
	})
	for _, name := range placeholders {
		_, err := s.AwaitEvent(s.ctx, framework.Workload{Kind: "Job", Namespace: s.ns, Name: name}, "ReloadFail", refusal)
		s.must(err)
	}
	patch := func(name, body string) {
		t.Helper()
		_, err := jobs.Patch(s.ctx, name, types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: framework.FieldManager})
		s.must(err)
	}
	patch("edited", `{"metadata":{"labels":{"team":"shop"}},"spec":{"activeDeadlineSeconds":3000}}`)
	patch("stopped", `{"spec":{"suspend":true}}`)
	s.must(jobs.Delete(s.ctx, "deleted", metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationForeground)}))
	s.eventually("one placeholder to be left", func() (string, bool) {
		left := s.placeholders()
		return fmt.Sprint(left), len(left) == 1
	})
	remove()
	got := s.recreated(edited)
	s.hasContent(got, "2")
	if deadline := got.Spec.ActiveDeadlineSeconds; got.Labels["team"] != "shop" || deadline == nil || *deadline != 3000 {
		t.Errorf("the edit is lost: labels %v, deadline %v", got.Labels, deadline)
	}
	if job := s.getJob("stopped"); job == nil || job.UID != stopped.UID || !*job.Spec.Suspend {
		t.Errorf("the suspended Job is %+v", job)
	}
	if job := s.getJob("deleted"); job != nil {
		t.Error("the Job that was deleted is back")
	}
}

func TestAJobIsNotLostWhenTheControllerStopsHalfway(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.install(nil, nil)
	slow := s.job("migrate", "sleep")
	slow.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(1800)) // it ends when the test deletes it
	slow.Spec.Template.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 1800}}}
	s.apply(configMap("config", "key", "1"), slow)
	first := s.recordedJob("migrate")
	pod := s.runningPod(first)
	s.apply(configMap("config", "key", "2"))
	s.eventually("the Job to be deleted", func() (string, bool) {
		job := s.getJob("migrate")
		return fmt.Sprint(job), job != nil && job.DeletionTimestamp != nil
	})
	s.scaleController(0)
	s.must(s.Client.CoreV1().Pods(s.ns).Delete(s.ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0)), Preconditions: &metav1.Preconditions{UID: new(types.UID(pod.UID))}}))
	s.eventually("the Job to be gone", func() (string, bool) { return "", s.getJob("migrate") == nil })
	if names := s.placeholders(); len(names) != 1 {
		t.Fatalf("what keeps its place: %q", names)
	}
	s.apply(configMap("config", "key", "3"))
	s.scaleController(1)
	second := s.recreated(first)
	s.hasContent(second, "3")
	s.marker()
	if job := s.getJob("migrate"); job.UID != second.UID {
		t.Error("it was recreated once more, for content that it had")
	}
}
