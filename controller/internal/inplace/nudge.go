package inplace

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/annotation"
)

// Nudger patches pods.
type Nudger struct {
	Client       metadata.Interface
	FieldManager string
}

// Nudge writes the annotation through the subresource status: the right to patch pods/status lets nobody change what a
// pod runs, and annotations can be written there (k8s.io/kubernetes/pkg/registry/core/pod/strategy.go).
func (n *Nudger) Nudge(ctx context.Context, pod observe.Pod, text string) error {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": pod.UID, "annotations": map[string]string{annotation.Nudge: text},
	}})
	if err != nil {
		return fmt.Errorf("encoding a nudge: %w", err)
	}
	pods := schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	_, err = n.Client.Resource(pods).Namespace(pod.Namespace).
		Patch(ctx, pod.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: n.FieldManager}, "status")
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // the pod is gone, or another has its name
	}
	if err != nil {
		return fmt.Errorf("patching the status of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}
