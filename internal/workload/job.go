package workload

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/internal/annotation"
)

// Job is what is particular to a Job: its pods read the content when they start, and its template can not be changed. A
// change is taken up by another Job of the same name.
type Job struct {
	// Finished reports whether it has ended, or is about to, and EndedAt since when; zero if the status does not say.
	Finished bool
	EndedAt  time.Time
	// Suspended reports whether it has no pods for now.
	Suspended bool
	// Owned reports whether another object makes it, such as a CronJob, or that another controller than Kubernetes' own
	// runs it.
	Owned bool
	// Placeholder is the Job that this one keeps the place of; nil for a Job of its own.
	Placeholder *Placeholder
}

// Placeholder is what a suspended Job carries in the annotation [annotation.Placeholder] while it keeps the place of
// another one that is deleted and recreated: what that one has and a Job of another name can not have. The rest of its
// manifest is that of the placeholder itself.
type Placeholder struct {
	Name string    `json:"name"`
	UID  types.UID `json:"uid"` // of the Job that is deleted
	// Token proves that inpod has written this, and not another client that can create Jobs.
	Token string `json:"token"`
	// Generation is that of the Job when the placeholder was made: another one is an edit that the placeholder does not
	// have.
	Generation int64 `json:"generation,omitempty"`
	// Ended says that the Job had ended when the placeholder was made, and is run again all the same: it was running when the source
	// was edited.
	Ended bool `json:"ended,omitempty"`
	// Suspended says that its user has suspended the Job while its pods ended, and so the new one.
	Suspended bool `json:"suspended,omitempty"`
	// Deletes says that inpod deletes the Job, and is taken back when that is refused. One that is gone without it was
	// deleted by its user, and stays away.
	Deletes         bool                    `json:"deletes,omitempty"`
	Labels          map[string]string       `json:"labels,omitempty"`
	Annotations     map[string]string       `json:"annotations,omitempty"`
	OwnerReferences []metav1.OwnerReference `json:"ownerReferences,omitempty"`
	Finalizers      []string                `json:"finalizers,omitempty"`
}

// same compares what a decision depends on. The Job of a placeholder does not change.
func (j *Job) same(other *Job) bool {
	if j == nil || other == nil {
		return j == other
	}
	return j.Finished == other.Finished && j.EndedAt.Equal(other.EndedAt) && j.Suspended == other.Suspended && j.Owned == other.Owned && (j.Placeholder == nil) == (other.Placeholder == nil)
}

// JobKind is the row of Jobs.
func JobKind() Kind {
	return Kind{
		Name:     "Job",
		Resource: batchv1.SchemeGroupVersion.WithResource("jobs"),
		New:      func() runtime.Object { return &batchv1.Job{} },
		template: templateOf(func(j *batchv1.Job) *corev1.PodTemplateSpec { return &j.Spec.Template }),
		pods:     podsOf(func(j *batchv1.Job) int32 { return j.Status.Active }),
		job:      jobOf,
	}
}

func jobOf(object any) *Job {
	j, ok := object.(*batchv1.Job)
	if !ok {
		return nil
	}
	job := &Job{
		Finished: Finished(j), EndedAt: endedAt(j), Suspended: j.Spec.Suspend != nil && *j.Spec.Suspend, Owned: metav1.GetControllerOfNoCopy(j) != nil || j.Spec.ManagedBy != nil && *j.Spec.ManagedBy != batchv1.JobControllerName,
	}
	// One that cannot be read is that of a suspended Job of another program.
	if placeholder, err := PlaceholderOf(j); err == nil {
		job.Placeholder = placeholder
	}
	return job
}

// Finished reports whether a Job has ended, or has a verdict already and waits for its pods to end
// (k8s.io/kubernetes/pkg/controller/job, KEP-3998).
func Finished(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, ends)
}

// endedAt is the time of the first verdict.
func endedAt(job *batchv1.Job) (first time.Time) {
	for _, condition := range job.Status.Conditions {
		if at := condition.LastTransitionTime.Time; ends(condition) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

func ends(condition batchv1.JobCondition) bool {
	verdicts := []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed, batchv1.JobSuccessCriteriaMet, batchv1.JobFailureTarget}
	return condition.Status == corev1.ConditionTrue && slices.Contains(verdicts, condition.Type)
}

// PlaceholderOf returns what a placeholder records about its Job; nil if the Job is not a placeholder.
func PlaceholderOf(job *batchv1.Job) (*Placeholder, error) {
	text, ok := job.Annotations[annotation.Placeholder]
	if !ok {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	var placeholder Placeholder
	if err := json.Unmarshal([]byte(text), &placeholder); err != nil {
		return nil, fmt.Errorf("annotation %s of Job %s/%s: %w", annotation.Placeholder, job.Namespace, job.Name, err)
	}
	return &placeholder, nil
}
