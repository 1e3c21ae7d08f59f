//go:build e2e

package framework

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// RemoveNamespace deletes a namespace and waits until it and everything in it is gone.
func (c *Cluster) RemoveNamespace(ctx context.Context, name string) error {
	namespaces := c.Client.CoreV1().Namespaces()
	options := metav1.ListOptions{FieldSelector: named(name).String()}
	for {
		list, err := namespaces.List(ctx, options)
		if err != nil {
			return fmt.Errorf("namespace %s: %w", name, err)
		}
		if len(list.Items) == 0 {
			return nil
		}
		if err := c.DeleteNamespace(ctx, name); err != nil && !apierrors.IsConflict(err) { // it is being deleted
			return err
		}
		watcher, err := namespaces.Watch(ctx, metav1.ListOptions{FieldSelector: options.FieldSelector, ResourceVersion: list.ResourceVersion})
		if err != nil {
			return fmt.Errorf("watch namespace %s: %w", name, err)
		}
		gone, err := awaitDeleted(ctx, watcher)
		if err != nil {
			return fmt.Errorf("namespace %s is not gone yet: %w", name, err)
		}
		if gone {
			return nil
		}
	}
}

// awaitDeleted reports false when the server ends the watch before the object is gone.
func awaitDeleted(ctx context.Context, watcher watch.Interface) (bool, error) {
	defer watcher.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case event, open := <-watcher.ResultChan():
			if !open {
				return false, nil
			}
			if event.Type == watch.Deleted {
				return true, nil
			}
		}
	}
}
