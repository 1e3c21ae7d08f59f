//go:build e2e

package framework

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"
)

// ApplyByMerge applies an object of a kind that Kubernetes has as "kubectl apply" does without --server-side: a merge of
// what was applied the last time, what is applied now, and what is there.
func (c *Cluster) ApplyByMerge(ctx context.Context, namespace string, object runtime.Object) error {
	u, resource, err := c.find(namespace, object)
	if err != nil {
		return err
	}
	bare, err := json.Marshal(u)
	if err != nil {
		return err
	}
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[lastApplied] = string(bare)
	u.SetAnnotations(annotations)
	modified, err := json.Marshal(u)
	if err != nil {
		return err
	}
	options := metav1.PatchOptions{FieldManager: "kubectl-client-side-apply"}
	there, err := resource.Get(ctx, u.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = resource.Create(ctx, u, metav1.CreateOptions{FieldManager: options.FieldManager})
	}
	if err != nil || there == nil || there.GetName() == "" {
		return err
	}
	current, err := json.Marshal(there)
	if err != nil {
		return err
	}
	fields, err := strategicpatch.NewPatchMetaFromStruct(object)
	if err != nil {
		return err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch([]byte(there.GetAnnotations()[lastApplied]), modified, current, fields, true)
	if err != nil {
		return fmt.Errorf("merging %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	_, err = resource.Patch(ctx, u.GetName(), types.StrategicMergePatchType, patch, options)
	return err
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Replace writes an object over what is there, as "kubectl replace" does.
func (c *Cluster) Replace(ctx context.Context, namespace string, object runtime.Object) error {
	u, resource, err := c.find(namespace, object)
	if err != nil {
		return err
	}
	_, err = resource.Update(ctx, u, metav1.UpdateOptions{FieldManager: "kubectl-replace"})
	return err
}

// HelmUpgrade installs or upgrades a release of a chart that is made of these objects, in their order of kinds.
func (c *Cluster) HelmUpgrade(ctx context.Context, dir string, r Release, objects ...runtime.Object) error {
	if err := os.MkdirAll(filepath.Join(dir, "templates"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte("apiVersion: v2\nname: app\nversion: 0.1.0\n"), 0o644); err != nil {
		return err
	}
	for _, object := range objects {
		u, err := toUnstructured(object)
		if err != nil {
			return err
		}
		text, err := yaml.Marshal(u)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "templates", u.GetKind()+"-"+u.GetName()+".yaml"), text, 0o644); err != nil {
			return err
		}
	}
	return c.helm(ctx, nil, "upgrade", "--install", r.Name, dir, "--namespace", r.Namespace)
}
