//go:build e2e

package framework

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
)

// CreateNamespace creates a namespace. A name that ends with "-" gets a suffix of the server; the result is the name.
func (c *Cluster) CreateNamespace(ctx context.Context, name string, labels map[string]string) (string, error) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	if name != "" && name[len(name)-1] == '-' {
		ns.Name, ns.GenerateName = "", name
	}
	created, err := c.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{FieldManager: FieldManager})
	if err != nil {
		return "", fmt.Errorf("create namespace %s: %w", name, err)
	}
	return created.Name, nil
}

// DeleteNamespace asks for the deletion of a namespace and does not wait for it. One that is gone is fine.
func (c *Cluster) DeleteNamespace(ctx context.Context, name string) error {
	err := c.Client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete namespace %s: %w", name, err)
	}
	return nil
}

// ApplyYAML applies each document of a manifest with server-side apply. Namespaced objects that name no namespace go
// into the given one.
func (c *Cluster) ApplyYAML(ctx context.Context, namespace, manifest string) error {
	docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(manifest)), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := docs.Decode(&u.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("manifest: %w", err)
		}
		if len(u.Object) == 0 {
			continue // an empty document
		}
		if err := c.apply(ctx, namespace, u, metav1.ApplyOptions{FieldManager: FieldManager, Force: true}); err != nil {
			return err
		}
	}
}

// Apply applies typed objects in the same way.
func (c *Cluster) Apply(ctx context.Context, namespace string, objects ...runtime.Object) error {
	return c.ApplyAs(ctx, namespace, FieldManager, true, objects...)
}

// ApplyAs applies objects on the server's side as a field manager, as Argo CD and Flux do. Without force a conflict with
// another manager is an error.
func (c *Cluster) ApplyAs(ctx context.Context, namespace, manager string, force bool, objects ...runtime.Object) error {
	for _, object := range objects {
		u, err := toUnstructured(object)
		if err != nil {
			return err
		}
		if err := c.apply(ctx, namespace, u, metav1.ApplyOptions{FieldManager: manager, Force: force}); err != nil {
			return err
		}
	}
	return nil
}

// Delete deletes objects; those that are gone are fine.
func (c *Cluster) Delete(ctx context.Context, namespace string, objects ...runtime.Object) error {
	for _, object := range objects {
		u, resource, err := c.find(namespace, object)
		if err != nil {
			return err
		}
		if err := resource.Delete(ctx, u.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	return nil
}

func (c *Cluster) apply(ctx context.Context, namespace string, u *unstructured.Unstructured, options metav1.ApplyOptions) error {
	resource, err := c.resource(namespace, u)
	if err != nil {
		return err
	}
	if _, err := resource.Apply(ctx, u.GetName(), u, options); err != nil {
		return fmt.Errorf("apply %s %s as %s: %w", u.GetKind(), u.GetName(), options.FieldManager, err)
	}
	return nil
}

// find returns a typed object without its type, and the resource that it belongs to.
func (c *Cluster) find(namespace string, object runtime.Object) (*unstructured.Unstructured, dynamic.ResourceInterface, error) {
	u, err := toUnstructured(object)
	if err != nil {
		return nil, nil, err
	}
	resource, err := c.resource(namespace, u)
	return u, resource, err
}

func (c *Cluster) resource(namespace string, u *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := u.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", gvk.Kind, u.GetName(), err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return c.dynamic.Resource(mapping.Resource), nil
	}
	if u.GetNamespace() == "" {
		u.SetNamespace(namespace)
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(u.GetNamespace()), nil
}

func toUnstructured(object runtime.Object) (*unstructured.Unstructured, error) {
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return nil, err
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kinds[0].Kind, err)
	}
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(kinds[0])
	delete(u.Object, "status") // the zero value that typed objects carry
	return u, nil
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
