package act

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/workload"
)

// instantiate is on a Job that was not started by the schedule (kubectl create job --from, and Reloader).
const instantiate = "cronjob.kubernetes.io/instantiate"

// Jobs starts Jobs of CronJobs, and makes Jobs again: the part of a client for batch/v1 that it needs.
type Jobs interface {
	batchclient.CronJobsGetter
	batchclient.JobsGetter
}

// startJob starts a Job from the template of a CronJob. Its name comes from what it is started for, so that it is started
// once, however often this is repeated.
func (w *Writer) startJob(ctx context.Context, view workload.View, baseline string) error {
	namespace := view.Key.Namespace
	cron, err := w.Jobs.CronJobs(namespace).Get(ctx, view.Key.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading %s: %w", view.Key, err)
	}
	if cron.UID != view.UID {
		return fmt.Errorf("reading %s: %w", view.Key, apierrors.NewConflict(batchv1.Resource("cronjobs"), view.Key.Name, errRecreated))
	}
	job := jobOf(cron, baseline)
	if err := w.makeRoom(ctx, cron, job.Name); err != nil {
		return err
	}
	_, err = w.Jobs.Jobs(namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: FieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("starting a Job of %s: %w", view.Key, err)
	}
	return nil
}

// makeRoom applies the concurrencyPolicy of a CronJob to its running Jobs, except for one that was started before. The status
// of a CronJob has only those that its controller has started.
func (w *Writer) makeRoom(ctx context.Context, cron *batchv1.CronJob, but string) error {
	if cron.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent && cron.Spec.ConcurrencyPolicy != batchv1.ReplaceConcurrent {
		return nil
	}
	list, err := w.Jobs.Jobs(cron.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing the running Jobs of CronJob %s/%s: %w", cron.Namespace, cron.Name, err)
	}
	var busy []string
	for i := range list.Items {
		job := &list.Items[i]
		if job.Name == but {
			return nil // it was started before, and what ran then was dealt with
		}
		if metav1.IsControlledBy(job, cron) && job.DeletionTimestamp == nil && !workload.Finished(job) {
			busy = append(busy, job.Name)
		}
	}
	if len(busy) > 0 && cron.Spec.ConcurrencyPolicy == batchv1.ForbidConcurrent {
		return &decide.BusyError{Jobs: busy}
	}
	for _, name := range busy {
		err := w.Jobs.Jobs(cron.Namespace).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("replacing Job %s/%s: %w", cron.Namespace, name, err)
		}
	}
	return nil
}

// jobOf is the Job that takes up a baseline.
func jobOf(cron *batchv1.CronJob, baseline string) *batchv1.Job {
	annotations := maps.Clone(cron.Spec.JobTemplate.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[instantiate] = "manual"
	owner := metav1.NewControllerRef(cron, batchv1.SchemeGroupVersion.WithKind("CronJob"))
	owner.BlockOwnerDeletion = nil // OpenShift asks for a right on finalizers where it is set
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: jobName(cron, baseline), Namespace: cron.Namespace, Labels: maps.Clone(cron.Spec.JobTemplate.Labels), Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{*owner},
		},
		Spec: *cron.Spec.JobTemplate.Spec.DeepCopy(),
	}
}

// jobName depends on what is taken up, and on when the baseline before was recorded: content that comes back is another
// reason for a Job. The name of a CronJob has at most 52 bytes, and that of a Job 63
// (k8s.io/kubernetes/pkg/apis/batch/validation).
func jobName(cron *batchv1.CronJob, baseline string) string {
	parts := []string{string(cron.UID), baseline}
	for _, entry := range cron.ManagedFields {
		if entry.Manager == FieldManager && entry.Time != nil {
			parts = append(parts, strconv.FormatInt(entry.Time.Unix(), 10))
		}
	}
	return cron.Name + "-" + digestOf(append(parts, cron.Annotations[annotation.Baseline])...)
}

// digestOf ends the name of a Job, in ten bytes.
func digestOf(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintln(h, part)
	}
	return hex.EncodeToString(h.Sum(nil))[:10]
}

// recordAfter records what a Job was started for.
func (w *Writer) recordAfter(ctx context.Context, view workload.View, annotations map[string]string) (uint64, error) {
	body, err := annotatePatch(view, annotations)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", view.Key, err)
	}
	return w.patch(ctx, view, types.MergePatchType, body)
}
