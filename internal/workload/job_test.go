package workload_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/internal/annotation"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

func TestWhatIsParticularToAJob(t *testing.T) {
	t.Parallel()
	ended := func(of batchv1.JobConditionType, status corev1.ConditionStatus) func(*batchv1.Job) {
		return func(j *batchv1.Job) { j.Status.Conditions = []batchv1.JobCondition{{Type: of, Status: status}} }
	}
	for name, tc := range map[string]struct {
		change func(*batchv1.Job)
		want   workload.Job
	}{
		"it runs":                       {func(*batchv1.Job) {}, workload.Job{}},
		"it is complete":                {ended(batchv1.JobComplete, corev1.ConditionTrue), workload.Job{Finished: true}},
		"it has failed":                 {ended(batchv1.JobFailed, corev1.ConditionTrue), workload.Job{Finished: true}},
		"its pods are still ending":     {ended(batchv1.JobFailureTarget, corev1.ConditionTrue), workload.Job{Finished: true}},
		"its success policy was met":    {ended(batchv1.JobSuccessCriteriaMet, corev1.ConditionTrue), workload.Job{Finished: true}},
		"a condition that does not say": {ended(batchv1.JobComplete, corev1.ConditionFalse), workload.Job{}},
		"it was suspended":              {func(j *batchv1.Job) { j.Spec.Suspend = new(true) }, workload.Job{Suspended: true}},
		"a CronJob has made it": {func(j *batchv1.Job) {
			j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "report", Controller: new(true)}}
		}, workload.Job{Owned: true}},
		"somebody wants it deleted together with something": {func(j *batchv1.Job) {
			j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "report"}}
		}, workload.Job{}},
		"another controller runs it": {func(j *batchv1.Job) { j.Spec.ManagedBy = new("kueue.x-k8s.io/multikueue") }, workload.Job{Owned: true}},
		"it is a placeholder": {func(j *batchv1.Job) {
			j.Spec.Suspend = new(true)
			j.Annotations = map[string]string{annotation.Placeholder: `{"name":"migrate","uid":"1","annotations":{"a":"b"}}`}
		}, workload.Job{Suspended: true, Placeholder: &workload.Placeholder{Name: "migrate", UID: "1", Annotations: map[string]string{"a": "b"}}}},
		"its placeholder annotation is invalid": {func(j *batchv1.Job) {
			j.Annotations = map[string]string{annotation.Placeholder: "migrate"}
		}, workload.Job{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := obj.Job("migrate", obj.EnvFrom(obj.CM("a")))
			before := view(t, workload.JobKind(), job)
			tc.change(job)
			got := view(t, workload.JobKind(), job)
			if diff := cmp.Diff(&tc.want, got.Job); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if tc.want.Placeholder != nil && got.Annotations["a"] != "b" {
				t.Error("the placeholder has not the wishes of the Job's user")
			}
			if same := before.Same(got); same != (cmp.Equal(tc.want, workload.Job{}) && before.Annotations[annotation.Placeholder] == got.Annotations[annotation.Placeholder]) {
				t.Errorf("same: %t", same)
			}
		})
	}
}
