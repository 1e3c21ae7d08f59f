// Package act writes to the cluster what was decided: one PATCH for a rollout, with the config hash in the pod template
// and the baseline beside it, or one PATCH for the baseline alone. It decides nothing and waits for nothing.
package act

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// FieldManager owns the fields that the controller writes.
const FieldManager = annotation.FieldManager

// Writer changes workloads.
type Writer struct {
	// Client answers with metadata only, so that a PATCH does not bring the whole object back.
	Client   metadata.Interface
	Digester source.Digester
	Kinds    workload.Table
	Strategy config.Strategy
	// Jobs starts Jobs; nil if neither they nor CronJobs are handled.
	Jobs Jobs
	// Evictions evicts pods; nil if that is switched off.
	Evictions Evictions
	// PausedAt is the annotation for the time of a rollout.
	PausedAt string
}

// errRecreated says why a write is refused.
var errRecreated = errors.New("the object was deleted and recreated")

// Rollout writes the config hashes and the baseline of a decision in one PATCH, and returns the resource version that
// it made. Repeating it with the same decision and time changes nothing.
func (w *Writer) Rollout(ctx context.Context, view workload.View, decision decide.Decision, now time.Time) (uint64, error) {
	baseline, err := w.Digester.Encode(decision.Baseline)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", view.Key, err)
	}
	kind, ok := w.Kinds.Of(view.Key.Kind)
	if !ok {
		return 0, unknown(view)
	}
	write, patchType := rolloutPatch, types.StrategicMergePatchType
	switch {
	case view.Restart:
		write, patchType = restartPatch(kind), types.MergePatchType
	case kind.Path != nil:
		write, patchType = jsonPatchFor(kind), types.JSONPatchType
	}
	annotations := map[string]string{annotation.Baseline: baseline}
	if decision.Pause {
		annotations[w.PausedAt] = now.UTC().Format(annotation.PausedAtLayout)
	}
	var start func(context.Context, workload.View, string) error
	switch {
	case view.Cron != nil:
		start = w.startJob
	case view.Job != nil:
		start = w.createPlaceholder
	}
	if start != nil {
		if err := start(ctx, view, baseline); err != nil {
			return 0, err
		}
		return w.recordAfter(ctx, view, annotations)
	}
	body, err := write(view, w.Strategy, decision, annotations, now)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", view.Key, err)
	}
	return w.patch(ctx, view, patchType, body)
}

// Record writes a baseline alone; without records it removes the annotation.
func (w *Writer) Record(ctx context.Context, view workload.View, baseline source.Baseline) (uint64, error) {
	text, err := w.Digester.Encode(baseline)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", view.Key, err)
	}
	body, err := annotatePatch(view, map[string]string{annotation.Baseline: text})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", view.Key, err)
	}
	return w.patch(ctx, view, types.MergePatchType, body)
}

// RecordNotified writes one annotation that says what was reported of a workload; "" removes it.
func (w *Writer) RecordNotified(ctx context.Context, view workload.View, key, content string) (uint64, error) {
	body, err := annotatePatch(view, map[string]string{key: content})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", view.Key, err)
	}
	return w.patch(ctx, view, types.MergePatchType, body)
}

// Resume undoes what Reloader does to pause a Deployment.
func (w *Writer) Resume(ctx context.Context, view workload.View) (uint64, error) {
	body, err := encode(object{
		"metadata": metadataOf(view, map[string]string{w.PausedAt: ""}),
		"spec":     object{"paused": nil},
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", view.Key, err)
	}
	return w.patch(ctx, view, types.MergePatchType, body)
}

func (w *Writer) patch(ctx context.Context, view workload.View, patchType types.PatchType, body []byte) (uint64, error) {
	kind, ok := w.Kinds.Of(view.Key.Kind)
	if !ok {
		return 0, unknown(view)
	}
	written, err := w.Client.Resource(kind.Resource).Namespace(view.Key.Namespace).
		Patch(ctx, view.Key.Name, patchType, body, metav1.PatchOptions{FieldManager: FieldManager})
	if patchType == types.JSONPatchType && failedTest(err) {
		// The object is not what was decided about. The watch brings what it is now.
		err = apierrors.NewConflict(kind.Resource.GroupResource(), view.Key.Name, err)
	}
	if err != nil {
		return 0, fmt.Errorf("patching %s: %w", view.Key, err)
	}
	version, err := strconv.ParseUint(written.ResourceVersion, 10, 64)
	if err != nil {
		return 0, nil //nolint:nilerr // not a number: nothing to compare later states with, but the write has worked
	}
	return version, nil
}

func unknown(view workload.View) error {
	return fmt.Errorf("%s: a kind that inpod does not know", view.Key)
}
