//go:build e2e

package framework

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
)

// Workload names a workload.
type Workload struct{ Kind, Namespace, Name string }

// Deployment names a Deployment.
func Deployment(namespace, name string) Workload { return Workload{"Deployment", namespace, name} }

// StatefulSet names a StatefulSet.
func StatefulSet(namespace, name string) Workload { return Workload{"StatefulSet", namespace, name} }

// DaemonSet names a DaemonSet.
func DaemonSet(namespace, name string) Workload { return Workload{"DaemonSet", namespace, name} }

func (w Workload) String() string { return w.Kind + " " + w.Namespace + "/" + w.Name }

// State is what the kinds of workload have in common.
type State struct {
	metav1.ObjectMeta
	Template corev1.PodTemplateSpec
	// Selector selects the pods.
	Selector *metav1.LabelSelector
	// Pending says why the rollout is not complete; empty when every pod is a new one and ready.
	Pending string
}

// Env returns a variable that is written in the template as a value, from the first container that has it.
func (s State) Env(name string) (value string, ok bool) {
	for _, container := range s.Template.Spec.Containers {
		for _, variable := range container.Env {
			if variable.Name == name {
				return variable.Value, true
			}
		}
	}
	return "", false
}

// kinds maps each kind of workload to its resource.
func kinds() map[string]string {
	return map[string]string{"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
}

// State reads a workload.
func (c *Cluster) State(ctx context.Context, w Workload) (State, error) {
	apps := c.Client.AppsV1().RESTClient()
	object, err := apps.Get().Namespace(w.Namespace).Resource(kinds()[w.Kind]).Name(w.Name).Do(ctx).Get()
	if err != nil {
		return State{}, fmt.Errorf("%s: %w", w, err)
	}
	return stateOf(object)
}

// States reads every workload of a namespace.
func (c *Cluster) States(ctx context.Context, namespace string) (map[Workload]State, error) {
	states := map[Workload]State{}
	for kind, resource := range kinds() {
		list, err := c.Client.AppsV1().RESTClient().Get().Namespace(namespace).Resource(resource).Do(ctx).Get()
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", resource, namespace, err)
		}
		err = meta.EachListItem(list, func(object runtime.Object) error {
			state, err := stateOf(object)
			states[Workload{kind, namespace, state.Name}] = state
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return states, nil
}

// Await waits until a workload satisfies a condition; what names the condition in the error.
func (c *Cluster) Await(ctx context.Context, w Workload, what string, condition func(State) bool) (State, error) {
	var last State
	err := until(ctx, c.Client.AppsV1().RESTClient(), kinds()[w.Kind], w.Namespace, named(w.Name), func(object runtime.Object) (bool, error) {
		var err error
		last, err = stateOf(object)
		return err == nil && condition(last), err
	})
	if err != nil {
		pending := last.Pending
		if pending == "" {
			pending = "rollout complete"
		}
		return last, fmt.Errorf("%s: waited for: %s; last seen: generation %d, %s: %w", w, what, last.Generation, pending, err)
	}
	return last, nil
}

// AwaitRollout waits until every pod of a workload is a new one and ready. The error has the state of its pods.
func (c *Cluster) AwaitRollout(ctx context.Context, w Workload) error {
	_, err := c.Await(ctx, w, "rollout complete", func(s State) bool { return s.Pending == "" })
	if err != nil {
		return fmt.Errorf("%w\n%s", err, c.Describe(context.WithoutCancel(ctx), w.Namespace))
	}
	return nil
}

// Rollouts counts the templates that a workload has had: ReplicaSets of a Deployment, ControllerRevisions of the
// others. History limits (10 by default) bound it.
func (c *Cluster) Rollouts(ctx context.Context, w Workload) (int, error) {
	var owned []metav1.OwnerReference
	if w.Kind == "Deployment" {
		list, err := c.Client.AppsV1().ReplicaSets(w.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return 0, fmt.Errorf("ReplicaSets of %s: %w", w, err)
		}
		for _, item := range list.Items {
			owned = append(owned, item.OwnerReferences...)
		}
	} else {
		list, err := c.Client.AppsV1().ControllerRevisions(w.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return 0, fmt.Errorf("ControllerRevisions of %s: %w", w, err)
		}
		for _, item := range list.Items {
			owned = append(owned, item.OwnerReferences...)
		}
	}
	count := 0
	for _, owner := range owned {
		if owner.Kind == w.Kind && owner.Name == w.Name {
			count++
		}
	}
	return count, nil
}

// Pods lists the pods of a workload that are not being deleted.
func (c *Cluster) Pods(ctx context.Context, w Workload) ([]corev1.Pod, error) {
	state, err := c.State(ctx, w)
	if err != nil {
		return nil, err
	}
	list, err := c.Client.CoreV1().Pods(w.Namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(state.Selector)})
	if err != nil {
		return nil, fmt.Errorf("pods of %s: %w", w, err)
	}
	var pods []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}

// AwaitPodCount waits until a workload has so many pods, those that are being deleted included.
func (c *Cluster) AwaitPodCount(ctx context.Context, w Workload, count int) error {
	state, err := c.State(ctx, w)
	if err != nil {
		return err
	}
	pods, selector := c.Client.CoreV1().Pods(w.Namespace), metav1.FormatLabelSelector(state.Selector)
	for {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return fmt.Errorf("pods of %s: %w", w, err)
		}
		if len(list.Items) == count {
			return nil
		}
		watcher, err := pods.Watch(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: list.ResourceVersion})
		if err != nil {
			return fmt.Errorf("pods of %s: %w", w, err)
		}
		select {
		case <-watcher.ResultChan(): // something changed: check again
		case <-ctx.Done():
			err = fmt.Errorf("%s: waited for %d pods, there are %d: %w", w, count, len(list.Items), context.Cause(ctx))
		}
		watcher.Stop()
		if err != nil {
			return err
		}
	}
}

// Patch patches a workload.
func (c *Cluster) Patch(ctx context.Context, w Workload, form types.PatchType, body []byte) error {
	err := c.Client.AppsV1().RESTClient().Patch(form).Namespace(w.Namespace).Resource(kinds()[w.Kind]).Name(w.Name).
		VersionedParams(&metav1.PatchOptions{FieldManager: FieldManager}, scheme.ParameterCodec).Body(body).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("patch %s: %w", w, err)
	}
	return nil
}

func stateOf(object runtime.Object) (State, error) {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return State{ObjectMeta: o.ObjectMeta, Template: o.Spec.Template, Selector: o.Spec.Selector, Pending: deploymentPending(o)}, nil
	case *appsv1.StatefulSet:
		return State{ObjectMeta: o.ObjectMeta, Template: o.Spec.Template, Selector: o.Spec.Selector, Pending: statefulSetPending(o)}, nil
	case *appsv1.DaemonSet:
		return State{ObjectMeta: o.ObjectMeta, Template: o.Spec.Template, Selector: o.Spec.Selector, Pending: daemonSetPending(o)}, nil
	}
	return State{}, fmt.Errorf("%T is not a workload", object)
}

func deploymentPending(d *appsv1.Deployment) string {
	want, s := *d.Spec.Replicas, d.Status
	switch {
	case s.ObservedGeneration < d.Generation:
		return fmt.Sprintf("generation %d not yet seen by its controller", d.Generation)
	case s.UpdatedReplicas < want, s.Replicas > s.UpdatedReplicas, s.AvailableReplicas < want:
		return fmt.Sprintf("%d of %d pods new, %d available, %d in all", s.UpdatedReplicas, want, s.AvailableReplicas, s.Replicas)
	}
	return ""
}

func statefulSetPending(d *appsv1.StatefulSet) string {
	want, s := *d.Spec.Replicas, d.Status
	switch {
	case s.ObservedGeneration < d.Generation:
		return fmt.Sprintf("generation %d not yet seen by its controller", d.Generation)
	case want > 0 && s.CurrentRevision != s.UpdateRevision, s.ReadyReplicas < want, s.Replicas > want:
		return fmt.Sprintf("%d of %d pods new, %d ready, %d in all", s.UpdatedReplicas, want, s.ReadyReplicas, s.Replicas)
	}
	return ""
}

func daemonSetPending(d *appsv1.DaemonSet) string {
	want, s := d.Status.DesiredNumberScheduled, d.Status
	switch {
	case s.ObservedGeneration < d.Generation:
		return fmt.Sprintf("generation %d not yet seen by its controller", d.Generation)
	case s.UpdatedNumberScheduled < want, s.NumberAvailable < want:
		return fmt.Sprintf("%d of %d pods new, %d available", s.UpdatedNumberScheduled, want, s.NumberAvailable)
	}
	return ""
}
