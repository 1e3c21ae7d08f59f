//go:build e2e

package framework

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// topLevel are the resources outside of namespaces that the chart and the tests create, and namespaces themselves.
func topLevel() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{
		{Version: "v1", Resource: "namespaces"},
		{Version: "v1", Resource: "nodes"},
		definitions(),
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicybindings"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingadmissionpolicies"},
	}
}

// RemoveLabeled deletes what lies outside of namespaces, and namespaces, that have a label and are older than age: what
// a program that was killed has left behind.
func (c *Cluster) RemoveLabeled(ctx context.Context, label string, age time.Duration) error {
	for _, resource := range topLevel() {
		list, err := c.dynamic.Resource(resource).List(ctx, metav1.ListOptions{LabelSelector: label})
		if apierrors.IsNotFound(err) {
			continue // an older cluster does not have the kind
		}
		if err != nil {
			return fmt.Errorf("%s with label %s: %w", resource.Resource, label, err)
		}
		for _, item := range list.Items {
			if time.Since(item.GetCreationTimestamp().Time) < age {
				continue
			}
			err := c.dynamic.Resource(resource).Delete(ctx, item.GetName(), metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("delete %s %s: %w", resource.Resource, item.GetName(), err)
			}
		}
	}
	return nil
}
