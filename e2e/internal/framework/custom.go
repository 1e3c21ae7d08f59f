//go:build e2e

package framework

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

func definitions() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
}

// Custom reads and writes a resource without a Go type here.
func (c *Cluster) Custom(resource schema.GroupVersionResource, namespace string) dynamic.ResourceInterface {
	return c.dynamic.Resource(resource).Namespace(namespace)
}

// Define creates a CustomResourceDefinition and waits until it is served. The result is false where there was one, which
// is left as it is.
func (c *Cluster) Define(ctx context.Context, definition *unstructured.Unstructured) (created bool, err error) {
	_, err = c.dynamic.Resource(definitions()).Create(ctx, definition, metav1.CreateOptions{FieldManager: FieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return false, fmt.Errorf("create %s: %w", definition.GetName(), err)
	}
	created = err == nil
	_, err = AwaitCustom(ctx, c.dynamic.Resource(definitions()), definition.GetName(), func(u *unstructured.Unstructured) bool {
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		return slices.ContainsFunc(conditions, func(condition any) bool {
			fields, _ := condition.(map[string]any)
			return fields["type"] == "Established" && fields["status"] == "True"
		})
	})
	c.mapper.Reset()
	return created, err
}

// Undefine deletes a CustomResourceDefinition with all its objects; one that is gone is fine.
func (c *Cluster) Undefine(ctx context.Context, name string) error {
	err := c.dynamic.Resource(definitions()).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// AwaitCustom waits until the object of a name satisfies a condition, and returns it.
func AwaitCustom(ctx context.Context, resource dynamic.ResourceInterface, name string, condition func(*unstructured.Unstructured) bool) (*unstructured.Unstructured, error) {
	for {
		// An empty resource version begins the watch with what is there now.
		watcher, err := resource.Watch(ctx, metav1.ListOptions{FieldSelector: named(name).String()})
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", name, err)
		}
		found, err := next(ctx, watcher, condition)
		watcher.Stop()
		if found != nil || err != nil {
			return found, err
		}
	}
}

// next returns the first object that satisfies the condition, nil if the watch ends before.
func next(ctx context.Context, watcher watch.Interface, condition func(*unstructured.Unstructured) bool) (*unstructured.Unstructured, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case event, open := <-watcher.ResultChan():
			if !open {
				return nil, nil //nolint:nilnil // to be begun again
			}
			if u, ok := event.Object.(*unstructured.Unstructured); ok && event.Type != watch.Deleted && condition(u) {
				return u, nil
			}
		}
	}
}

// ModuleFile returns a file of a Go module, which the go command fetches if it is not there.
func ModuleFile(ctx context.Context, module, file string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module).Output()
	if err != nil {
		return nil, fmt.Errorf("module %s: %w: %s", module, err, out)
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(out, &downloaded); err != nil {
		return nil, fmt.Errorf("module %s: %w", module, err)
	}
	return os.ReadFile(filepath.Join(downloaded.Dir, filepath.FromSlash(file)))
}
