package act

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/workload"
)

// A Job is recreated in steps that can each be repeated, and between which the program may end:
//
//	1  the new Job is tried in a dry run, and a suspended Job of another name is made, which carries the whole manifest:
//	   the placeholder. What refuses one of them has harmed nobody
//	2  the content is recorded on the old Job, so that nobody begins again
//	3  the placeholder records what was edited since and that the old Job is deleted, and it is, with its pods
//	4  what is edited while they end is recorded as well, and when it is gone, the new one is made from the placeholder
//	5  the placeholder is deleted
//
// The placeholder is a Job that is watched like any other: it has the steps 3 to 5 done, whoever leads then.

// createPlaceholder makes the placeholder of a Job.
func (w *Writer) createPlaceholder(ctx context.Context, view workload.View, baseline string) error {
	jobs := w.Jobs.Jobs(view.Key.Namespace)
	job, err := jobs.Get(ctx, view.Key.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading %s: %w", view.Key, err)
	}
	ended := workload.Finished(job) && !view.Job.Finished
	if job.UID != view.UID || ended || suspended(job) || job.DeletionTimestamp != nil {
		return fmt.Errorf("reading %s: %w", view.Key, apierrors.NewConflict(batchv1.Resource("jobs"), view.Key.Name, errRecreated))
	}
	placeholder, err := placeholderOf(job, baseline, w.recordOf(job, false))
	if err != nil {
		return fmt.Errorf("%s: %w", view.Key, err)
	}
	if err := w.tryNew(ctx, placeholder, baseline); err != nil {
		return fmt.Errorf("dry run of recreating %s: %w", view.Key, err)
	}
	_, err = jobs.Create(ctx, placeholder, metav1.CreateOptions{FieldManager: FieldManager})
	if refused(err) {
		// A policy may want labels. They are not given at first, since whoever tracks objects by them would find two.
		if labels := untracked(job.Labels); len(labels) > 0 {
			maps.Copy(labels, placeholder.Labels)
			placeholder.Labels = labels
			_, err = jobs.Create(ctx, placeholder, metav1.CreateOptions{FieldManager: FieldManager})
		}
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating a placeholder for %s: %w", view.Key, err)
	}
	return nil
}

// refused reports whether the API server or a policy has answered that it does not do what was asked.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}

// exceedsQuota reports whether a quota has refused what all other admission lets pass: it is asked last
// (k8s.io/kubernetes/pkg/kubeapiserver/options). While a Job and its placeholder are there a third one may be too many,
// and the new Job is only the second.
func exceedsQuota(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota: ")
}

// untracked are labels without those by which a tool finds its own objects, to prune or to run them.
func untracked(labels map[string]string) map[string]string {
	some := withoutGenerated(labels)
	maps.DeleteFunc(some, func(key, _ string) bool {
		prefix, _, _ := strings.Cut(key, "/")
		switch prefix {
		case "argocd.argoproj.io", "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io", "kapp.k14s.io", "applyset.kubernetes.io", "kueue.x-k8s.io":
			return true
		}
		return key == "app.kubernetes.io/instance" // of Argo CD, where it tracks by label
	})
	return some
}

// tryNew asks whether the new Job would be accepted, with all that the placeholder does not have: its name, labels and
// annotations, and that it runs. Admission comes before storage (Store.Create in
// k8s.io/apiserver/pkg/registry/generic), so that a Job of that name "already exists" when nothing has refused it. A
// webhook that answers no such question is not asked.
func (w *Writer) tryNew(ctx context.Context, placeholder *batchv1.Job, baseline string) error {
	of, err := workload.PlaceholderOf(placeholder)
	if err != nil {
		return err
	}
	job := jobFrom(placeholder, of, baseline)
	_, err = w.Jobs.Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: FieldManager, DryRun: []string{metav1.DryRunAll}})
	if apierrors.IsAlreadyExists(err) || apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run") {
		return nil
	}
	return err
}

// recordOf is what the placeholder of a Job records of it. With deletes the Job is deleted next.
func (w *Writer) recordOf(job *batchv1.Job, deletes bool) workload.Placeholder {
	record := workload.Placeholder{
		Name: job.Name, UID: job.UID, Token: w.tokenOf(job.Namespace, job.Name, job),
		Generation: job.Generation, Deletes: deletes, Ended: workload.Finished(job),
		Labels: withoutGenerated(job.Labels), Annotations: maps.Clone(job.Annotations),
		OwnerReferences: job.OwnerReferences, Finalizers: withoutCascade(job.Finalizers),
	}
	delete(record.Annotations, annotation.Baseline) // the new Job gets its own, and inpod writes it on the old one meanwhile
	return record
}

// placeholderOf is the placeholder of a Job, with that record.
func placeholderOf(job *batchv1.Job, baseline string, record workload.Placeholder) (*batchv1.Job, error) {
	text, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	copied := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: placeholderName(job, baseline), Namespace: job.Namespace, OwnerReferences: job.OwnerReferences,
			Labels:      map[string]string{"app.kubernetes.io/managed-by": "inpod"},
			Annotations: map[string]string{annotation.Placeholder: string(text)},
		},
		Spec: *job.Spec.DeepCopy(),
	}
	copied.Spec.Suspend = new(true)
	dropGenerated(&copied.Spec)
	return copied, nil
}

// tokenOf is what only inpod can write about a Job.
func (w *Writer) tokenOf(namespace, name string, job *batchv1.Job) string {
	return w.Digester.Token("placeholder", namespace, name, string(job.UID))
}

// Recreate carries on where a placeholder keeps the place of a Job. done reports that nothing is left to do.
func (w *Writer) Recreate(ctx context.Context, view workload.View, decision decide.Decision) (done bool, err error) {
	decision.Baseline.UID = "" // the new Job does not have one yet
	baseline, err := w.Digester.Encode(decision.Baseline)
	if err != nil {
		return false, fmt.Errorf("%s: %w", view.Key, err)
	}
	jobs := w.Jobs.Jobs(view.Key.Namespace)
	kept, err := jobs.Get(ctx, view.Key.Name, metav1.GetOptions{})
	if err != nil {
		return apierrors.IsNotFound(err), ignoreNotFound(err, "reading %s: %w", view.Key)
	}
	placeholder, err := workload.PlaceholderOf(kept)
	if err != nil || placeholder == nil {
		return true, err // somebody has taken the annotation away
	}
	if placeholder.Token != w.Digester.Token("placeholder", kept.Namespace, placeholder.Name, string(placeholder.UID)) {
		return false, fmt.Errorf("%s is the placeholder of Job %s, and was not written with this installation's key. "+
			"If another installation of inpod recreates the Job, leave it. "+
			"Otherwise delete it only when Job %[2]s exists: it has the manifest to create that from", view.Key, placeholder.Name)
	}
	old, err := jobs.Get(ctx, placeholder.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && !placeholder.Deletes:
		// Its user has deleted it before inpod did, so it is not wanted any more.
	case apierrors.IsNotFound(err):
		_, err = jobs.Create(ctx, jobFrom(kept, placeholder, baseline), metav1.CreateOptions{FieldManager: FieldManager})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return false, fmt.Errorf("recreating Job %s/%s from its placeholder %s: %w", kept.Namespace, placeholder.Name, kept.Name, err)
		}
	case err != nil:
		return false, fmt.Errorf("reading Job %s/%s: %w", kept.Namespace, placeholder.Name, err)
	case old.UID != placeholder.UID:
		// It was recreated, here or by somebody else.
	case workload.Finished(old) && old.DeletionTimestamp == nil && !placeholder.Ended:
		// It has ended before it could be replaced, and what has ended is not run again.
	case old.DeletionTimestamp != nil && !placeholder.Deletes:
		return false, nil // its user deletes it
	case old.DeletionTimestamp != nil:
		return false, w.followEnding(ctx, kept, old, placeholder, baseline)
	case suspended(old):
		// Its user has stopped it meanwhile: it has the content when it goes on.
	default:
		return false, w.deleteOld(ctx, kept, old, baseline)
	}
	err = jobs.Delete(ctx, kept.Name, metav1.DeleteOptions{
		PropagationPolicy: new(metav1.DeletePropagationBackground), Preconditions: &metav1.Preconditions{UID: &kept.UID},
	})
	return true, ignoreNotFound(err, "deleting %s: %w", view.Key)
}

// triedFor is how long it is believed that the new Job would be accepted.
const triedFor = time.Minute

// deleteOld has the placeholder record what was edited since and that inpod deletes the old Job, and deletes it in that
// version, without a pause in between.
func (w *Writer) deleteOld(ctx context.Context, kept, old *batchv1.Job, baseline string) error {
	before, err := placeholderOf(old, baseline, w.recordOf(old, false))
	if err != nil {
		return fmt.Errorf("reading Job %s/%s: %w", old.Namespace, old.Name, err)
	}
	after, err := placeholderOf(old, baseline, w.recordOf(old, true))
	if err != nil {
		return fmt.Errorf("reading Job %s/%s: %w", old.Namespace, old.Name, err)
	}
	recorded := kept.Annotations[annotation.Placeholder]
	ready := recorded == after.Annotations[annotation.Placeholder]
	edited := !ready && recorded != before.Annotations[annotation.Placeholder]
	if edited || time.Since(kept.CreationTimestamp.Time) > triedFor {
		if err := w.tryNew(ctx, after, baseline); err != nil && !exceedsQuota(err) {
			return fmt.Errorf("dry run of recreating Job %s/%s: %w", old.Namespace, old.Name, err)
		}
	}
	if !ready {
		if kept, err = w.refresh(ctx, kept, after); err != nil || kept == nil {
			return err
		}
	}
	// In the foreground: a Job of the same name before the pods of the old one are gone would have both run, and may
	// hang (kubernetes/kubernetes#131917).
	err = w.Jobs.Jobs(old.Namespace).Delete(ctx, old.Name, metav1.DeleteOptions{
		PropagationPolicy: new(metav1.DeletePropagationForeground),
		Preconditions:     &metav1.Preconditions{UID: &old.UID, ResourceVersion: &old.ResourceVersion},
	})
	if refused(err) {
		// It is for its user to delete now, and not to come back then.
		_, back := w.refresh(ctx, kept, before)
		err = errors.Join(err, back)
	}
	return ignoreNotFound(err, "deleting Job %s/%s: %w", old.Namespace, old.Name)
}

// followEnding has the placeholder take over what the user of its Job edits while the pods end, also that it is
// suspended. What others do to a Job that is deleted is not taken over: its finalizers go, and its pods fail.
func (w *Writer) followEnding(ctx context.Context, kept, old *batchv1.Job, recorded *workload.Placeholder, baseline string) error {
	record := w.recordOf(old, true)
	record.Generation-- // the deletion is one (markAsDeleting in k8s.io/apiserver/pkg/registry/generic/registry)
	record.Suspended, record.Finalizers, record.Ended = suspended(old), recorded.Finalizers, recorded.Ended
	fresh, err := placeholderOf(old, baseline, record)
	if err != nil {
		return fmt.Errorf("reading Job %s/%s: %w", old.Namespace, old.Name, err)
	}
	if fresh.Annotations[annotation.Placeholder] == kept.Annotations[annotation.Placeholder] {
		return nil
	}
	_, err = w.refresh(ctx, kept, fresh)
	return err
}

// refresh has a placeholder take over what the user of its Job has edited since, and returns it; nil if it is gone. It is
// one write, so that there is never an older placeholder next to a newer one. The specification is taken over as a
// whole: while a Job was suspended, parts of its template could be edited, and those of the placeholder can.
func (w *Writer) refresh(ctx context.Context, kept, fresh *batchv1.Job) (*batchv1.Job, error) {
	spec := fresh.Spec.DeepCopy()
	if !manualSelector(spec) {
		spec.Selector = kept.Spec.Selector
		for _, key := range generatedLabels() {
			if value, ok := kept.Spec.Template.Labels[key]; ok {
				metav1.SetMetaDataLabel(&spec.Template.ObjectMeta, key, value)
			}
		}
	}
	set := func(path string, value any) map[string]any {
		return map[string]any{"op": "add", "path": path, "value": value}
	}
	body, err := json.Marshal([]map[string]any{
		set("/metadata/uid", kept.UID),
		set("/metadata/resourceVersion", kept.ResourceVersion),
		set("/metadata/ownerReferences", append([]metav1.OwnerReference{}, fresh.OwnerReferences...)),
		set("/metadata/annotations/"+strings.ReplaceAll(annotation.Placeholder, "/", "~1"), fresh.Annotations[annotation.Placeholder]),
		set("/spec", spec),
	})
	if err != nil {
		return nil, err
	}
	written, err := w.Jobs.Jobs(kept.Namespace).Patch(ctx, kept.Name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: FieldManager})
	if err != nil {
		return nil, ignoreNotFound(err, "taking over into %s/%s what was edited: %w", kept.Namespace, kept.Name)
	}
	return written, nil
}

// suspended reports whether a Job is to have no pods for now.
func suspended(job *batchv1.Job) bool { return job.Spec.Suspend != nil && *job.Spec.Suspend }

// ignoreNotFound wraps an error, the last operand of format, but for what is not there.
func ignoreNotFound(err error, format string, operands ...any) error {
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf(format, append(operands, err)...)
}

// jobFrom is the new Job.
func jobFrom(kept *batchv1.Job, placeholder *workload.Placeholder, baseline string) *batchv1.Job {
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: placeholder.Name, Namespace: kept.Namespace,
			Labels: placeholder.Labels, Annotations: maps.Clone(placeholder.Annotations), OwnerReferences: placeholder.OwnerReferences, Finalizers: placeholder.Finalizers,
		},
		Spec: *kept.Spec.DeepCopy(),
	}
	job.Spec.Suspend = new(placeholder.Suspended)
	dropGenerated(&job.Spec)
	delete(job.Annotations, annotation.Baseline)
	if baseline != "" {
		if job.Annotations == nil {
			job.Annotations = map[string]string{}
		}
		job.Annotations[annotation.Baseline] = baseline
	}
	return job
}

// placeholderName comes from what the Job is recreated for, so that there is one placeholder, however often it is
// made.
func placeholderName(job *batchv1.Job, baseline string) string {
	const suffix = 16 // -inpod- and its digest; the name of a Job has at most 63 bytes
	name := job.Name
	if len(name) > 63-suffix-1 {
		name = name[:63-suffix-1]
	}
	return name + "-inpod-" + digestOf(string(job.UID), baseline)
}

// manualSelector reports whether the pods of a Job are found by a selector of its user.
func manualSelector(spec *batchv1.JobSpec) bool {
	return spec.ManualSelector != nil && *spec.ManualSelector
}

// dropGenerated drops what the API server gives to each Job to find its pods.
func dropGenerated(spec *batchv1.JobSpec) {
	if !manualSelector(spec) {
		spec.Selector = nil
		spec.Template.Labels = withoutGenerated(spec.Template.Labels)
	}
}

// generatedLabels are those that the API server gives to the pods of a Job
// (k8s.io/kubernetes/pkg/registry/batch/job/strategy.go).
func generatedLabels() []string {
	return []string{batchv1.ControllerUidLabel, batchv1.JobNameLabel, "controller-uid", "job-name"}
}

// withoutGenerated drops these.
func withoutGenerated(labels map[string]string) map[string]string {
	some := maps.Clone(labels)
	for _, key := range generatedLabels() {
		delete(some, key)
	}
	return some
}

// withoutCascade drops the finalizers that belong to a deletion.
func withoutCascade(finalizers []string) []string {
	var some []string
	for _, finalizer := range finalizers {
		if finalizer != metav1.FinalizerDeleteDependents && finalizer != metav1.FinalizerOrphanDependents {
			some = append(some, finalizer)
		}
	}
	return some
}
