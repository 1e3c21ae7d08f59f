//go:build e2e

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/patience"
)

// seen is what followed an edit.
type seen struct {
	deployment string
	begun      time.Time // when the edit was made
	// decided and done are the times from the edit to the new template and to the last new pod ready.
	decided, done time.Duration
	// event is what inpod said on the workload, after the time from the edit to it.
	event *corev1.Event
	after time.Duration
	// pods are the new pods, template is theirs.
	pods     []string
	template corev1.PodTemplateSpec
}

// roll makes edits and watches the rolling upgrade that follows. It fails if there is none, if there is more than one, if
// ever fewer pods served than the Deployment allows, or if no event says why.
func (d *demo) roll(ctx context.Context, name string, edits ...edit) seen {
	ctx, cancel := patience.Context(ctx, rolloutPatience)
	defer cancel()
	f := d.follow(ctx, name, "Reloaded", edits)
	for d.err == nil && !f.complete() {
		d.next(ctx, f)
	}
	if d.err != nil {
		return seen{}
	}
	d.revisions[name]++
	d.check(ctx, name)
	allowed, err := leastAllowed(f.before)
	d.try(err)
	if f.history.Least() < allowed {
		d.fail("never fewer than %d ready pods of %s, saw %d at the worst moment", allowed, name, f.history.Least())
	}
	f.pods, f.template = f.history.NewPods(), f.now.Spec.Template
	d.ok("%d pods replaced %.1f s after the edit, never fewer than %d ready (%d are allowed)", len(f.pods), f.done.Seconds(), f.history.Least(), allowed)
	d.command("kubectl -n %s events --for deployment/%s", namespace, name)
	d.quote(f.event)
	return f.seen
}

// reload makes an edit and waits until inpod says on the workload what came of it. It fails if the pods are not the same
// afterwards: by name, by UID, and without a restart.
func (d *demo) reload(ctx context.Context, name, reason string, e edit) seen {
	ctx, cancel := patience.Context(ctx, rolloutPatience)
	defer cancel()
	before := d.identities(ctx, name)
	f := d.follow(ctx, name, reason, []edit{e})
	for d.err == nil && f.event == nil {
		d.next(ctx, f)
		if f.decided != 0 {
			d.fail("that %s is not rolled, saw a new pod template", name)
		}
	}
	if after := d.identities(ctx, name); d.err == nil && !maps.Equal(before, after) {
		d.fail("the same pods of %s, without a restart: %v, saw %v", name, before, after)
	}
	if d.err != nil {
		return seen{}
	}
	return f.seen
}

// identities names the pods of a Deployment by what a replacement or a restart would change.
func (d *demo) identities(ctx context.Context, name string) map[string]string {
	all := map[string]string{}
	for _, pod := range d.pods(ctx, name) {
		restarts := int32(0)
		for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			restarts += status.RestartCount
		}
		all[pod.Name] = fmt.Sprintf("UID %s, restarts %d", pod.UID, restarts)
	}
	return all
}

// follower watches one Deployment, its pods and its events from before an edit.
type follower struct {
	seen

	deployments watch.Interface
	ofPods      watch.Interface
	events      watch.Interface
	history     *framework.PodHistory
	// before is the Deployment when the watch began, now as it was seen last.
	before, now *appsv1.Deployment
	// reason is that of the event that is waited for.
	reason string
}

// follow begins to watch, and makes the edits.
func (d *demo) follow(ctx context.Context, name, reason string, edits []edit) *follower {
	f := &follower{seen: seen{deployment: name}, reason: reason}
	if d.err != nil {
		return f
	}
	apps, core := d.Client.AppsV1().RESTClient(), d.Client.CoreV1().RESTClient()
	list, deployments, err := framework.ListAndWatch(ctx, apps, "deployments", namespace, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if !d.try(err) {
		return f
	}
	found, ok := list.(*appsv1.DeploymentList)
	if !ok || len(found.Items) == 0 {
		d.fail("Deployment %s, saw none of that name", name)
		return f
	}
	f.deployments, f.before, f.now = deployments, &found.Items[0], &found.Items[0]
	list, f.ofPods, err = framework.ListAndWatch(ctx, core, "pods", namespace, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(f.before.Spec.Selector)})
	if !d.try(err) {
		return f
	}
	pods, _ := list.(*corev1.PodList)
	f.history = framework.NewPodHistory(pods.Items)
	_, f.events, err = framework.ListAndWatch(ctx, core, "events", namespace, metav1.ListOptions{FieldSelector: "involvedObject.kind=Deployment,involvedObject.name=" + name})
	if d.try(err) {
		for _, e := range edits {
			d.change(ctx, e)
		}
		f.begun = time.Now()
	}
	return f
}

// next takes in one event of any of the watches.
func (d *demo) next(ctx context.Context, f *follower) {
	var event watch.Event
	var open bool
	select {
	case <-ctx.Done():
		d.try(f.late(ctx))
		return
	case event, open = <-f.deployments.ResultChan():
	case event, open = <-f.ofPods.ResultChan():
	case event, open = <-f.events.ResultChan():
	}
	if !open || event.Type == watch.Error {
		d.try(fmt.Errorf("a watch of %s ended: %v", f.deployment, event.Object))
		return
	}
	since := time.Since(f.begun)
	switch object := event.Object.(type) {
	case *appsv1.Deployment:
		f.now = object
		if f.decided != 0 || equality.Semantic.DeepEqual(object.Spec.Template, f.before.Spec.Template) {
			return
		}
		f.decided = since
		d.at(since, "inpod edits the pod template of Deployment %s; Kubernetes does the rest:", object.Name)
		for _, line := range templateDiff(f.before.Spec.Template, object.Spec.Template) {
			d.print("      + %.110s", line)
		}
	case *corev1.Pod:
		step, shown := f.history.Observe(event.Type, object)
		if !shown {
			return
		}
		age := "old"
		if step.New {
			age = "new"
		}
		if step.New && step.What == framework.PodReady {
			f.done = since
		}
		d.at(since, "%s pod %s  %-11s  ready: %d old, %d new", age, step.Pod, step.What, step.ReadyOld, step.ReadyNew)
	case *corev1.Event:
		if event.Type != watch.Deleted && object.Reason == f.reason {
			f.event, f.after = object, since
		}
	}
}

// complete reports whether the new pods have replaced the old ones and inpod has said why.
func (f *follower) complete() bool {
	status, want := f.now.Status, replicas(f.now)
	return f.decided != 0 && f.event != nil &&
		status.ObservedGeneration >= f.now.Generation && status.UpdatedReplicas == want && status.Replicas == want &&
		status.AvailableReplicas == want &&
		len(f.history.OldPods()) == 0 && len(f.history.NewPods()) == int(want)
}

// late says what was seen of that which did not come in time.
func (f *follower) late(ctx context.Context) error {
	var saw []string
	if f.decided == 0 {
		saw = append(saw, "its pod template did not change")
	} else {
		saw = append(saw, fmt.Sprintf("old pods left: %v, new pods ready: %v", f.history.OldPods(), f.history.NewPods()))
	}
	if f.event == nil {
		saw = append(saw, "no such event")
	}
	return fmt.Errorf("expected event %s on %s and what belongs to it, saw after %.0f s: %s: %w",
		f.reason, f.deployment, time.Since(f.begun).Seconds(), strings.Join(saw, ", "), context.Cause(ctx))
}

func replicas(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// leastAllowed is how many pods the strategy of a Deployment leaves ready at every moment.
func leastAllowed(d *appsv1.Deployment) (int, error) {
	want := int(replicas(d))
	if d.Spec.Strategy.RollingUpdate == nil || d.Spec.Strategy.RollingUpdate.MaxUnavailable == nil {
		return want, nil
	}
	unavailable, err := intstr.GetScaledValueFromIntOrPercent(d.Spec.Strategy.RollingUpdate.MaxUnavailable, want, false)
	if err != nil {
		return 0, fmt.Errorf("maxUnavailable of Deployment %s: %w", d.Name, err)
	}
	return want - unavailable, nil
}

// revision is the annotation in which Kubernetes counts the templates of a Deployment. Its generation counts more: edits
// of annotations as well.
const revision = "deployment.kubernetes.io/revision"

// check fails if a Deployment has been rolled more or less often than was printed, or is being rolled.
func (d *demo) check(ctx context.Context, name string) {
	if d.err != nil {
		return
	}
	state, err := d.State(ctx, framework.Deployment(namespace, name))
	want, got := d.revisions[name], state.Annotations[revision]
	if !d.try(err) || got == strconv.Itoa(want) && state.Pending == "" {
		return
	}
	if number, err := strconv.Atoi(got); err == nil {
		d.revisions[name] = number // printed once: what follows is about what happens from now on
	}
	d.fail("%s at revision %d and at rest, saw revision %s %s", name, want, got, state.Pending)
}
