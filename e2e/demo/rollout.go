//go:build e2e

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"

	"inpod.dev/inpod/e2e/demo/internal/rolling"
	"inpod.dev/inpod/e2e/demo/internal/voice"
	"inpod.dev/inpod/internal/patience"
)

const (
	// rolloutPatience bounds the wait for one rollout, which takes seconds on an idle machine.
	rolloutPatience = 2 * time.Minute
	// startPatience bounds the wait for first pods, whose image may have to be pulled, and for a namespace to go.
	startPatience = 4 * time.Minute
)

// upgrade is one rolling upgrade, as it was seen.
type upgrade struct {
	deployment string
	// decided and done are the times from the edit to the new template and to the last new pod ready.
	decided, done time.Duration
	// pods are the new pods.
	pods []string
	// event is what inpod said on the workload.
	event *corev1.Event
	// template is that of the new pods.
	template corev1.PodTemplateSpec
}

// hasVariable tells whether a container of the new template has a variable.
func (u upgrade) hasVariable(name string) bool {
	return slices.ContainsFunc(u.template.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	})
}

// roll makes a change and watches the rolling upgrade that follows. It fails if there is none, if there is more than
// one, if ever fewer pods served than the Deployment allows, or if no event says why.
func (s *stage) roll(ctx context.Context, name string, change func(context.Context) error) (upgrade, error) {
	ctx, cancel := patience.Context(ctx, rolloutPatience)
	defer cancel()
	follower, err := s.follow(ctx, name)
	if err != nil {
		return upgrade{}, err
	}
	defer follower.stop()
	if err := change(ctx); err != nil {
		return upgrade{}, err
	}
	follower.begun = time.Now()
	for !follower.complete() {
		if err := follower.next(ctx); err != nil {
			return upgrade{}, err
		}
	}
	want := s.revisions[name] + 1
	s.revisions[name], _ = strconv.Atoi(follower.now.Annotations[revision])
	return follower.verdict(strconv.Itoa(want))
}

// follower watches one Deployment, its pods and its events from before a change.
type follower struct {
	voice   *voice.Voice
	begun   time.Time
	watches map[string]watch.Interface
	history *rolling.History
	// before is the Deployment when the watch began, now as it was seen last.
	before, now *appsv1.Deployment
	// wanted tells the event that is waited for from all others.
	wanted func(*corev1.Event) bool
	seen   upgrade
}

func (s *stage) follow(ctx context.Context, name string) (*follower, error) {
	client := s.cluster.Client
	byName := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
	deployments, err := client.AppsV1().Deployments(namespace).List(ctx, byName)
	if err != nil {
		return nil, err
	}
	if len(deployments.Items) == 0 {
		return nil, &failure{"Deployment " + name, "none of that name", nil}
	}
	f := &follower{
		voice: s.voice, before: &deployments.Items[0], now: &deployments.Items[0], watches: map[string]watch.Interface{},
		wanted: rolled, seen: upgrade{deployment: name},
	}
	ofPods := metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(f.before.Spec.Selector)}
	pods, err := client.CoreV1().Pods(namespace).List(ctx, ofPods)
	if err != nil {
		return nil, err
	}
	f.history = rolling.New(pods.Items)
	aboutIt := metav1.ListOptions{FieldSelector: "involvedObject.kind=Deployment,involvedObject.name=" + name}
	events, err := client.CoreV1().Events(namespace).List(ctx, aboutIt)
	if err != nil {
		return nil, err
	}
	byName.ResourceVersion, ofPods.ResourceVersion = deployments.ResourceVersion, pods.ResourceVersion
	aboutIt.ResourceVersion = events.ResourceVersion
	for what, begin := range map[string]func() (watch.Interface, error){
		"Deployment": func() (watch.Interface, error) { return client.AppsV1().Deployments(namespace).Watch(ctx, byName) },
		"pods":       func() (watch.Interface, error) { return client.CoreV1().Pods(namespace).Watch(ctx, ofPods) },
		"events":     func() (watch.Interface, error) { return client.CoreV1().Events(namespace).Watch(ctx, aboutIt) },
	} {
		if f.watches[what], err = begin(); err != nil {
			f.stop()
			return nil, fmt.Errorf("watch %s of %s: %w", what, name, err)
		}
	}
	return f, nil
}

func (f *follower) stop() {
	for _, w := range f.watches {
		if w != nil {
			w.Stop()
		}
	}
}

// next takes in one event of any of the watches.
func (f *follower) next(ctx context.Context) error {
	var event watch.Event
	var open bool
	select {
	case <-ctx.Done():
		return f.late(ctx)
	case event, open = <-f.watches["Deployment"].ResultChan():
	case event, open = <-f.watches["pods"].ResultChan():
	case event, open = <-f.watches["events"].ResultChan():
	}
	if !open || event.Type == watch.Error {
		return fmt.Errorf("the API server ended a watch of %s: %v", f.seen.deployment, event.Object)
	}
	switch object := event.Object.(type) {
	case *appsv1.Deployment:
		f.deployment(object)
	case *corev1.Pod:
		if step, tell := f.history.Observe(event.Type, object); tell {
			f.pod(step)
		}
	case *corev1.Event:
		if event.Type != watch.Deleted && f.wanted(object) {
			f.seen.event = object
		}
	}
	return nil
}

func (f *follower) deployment(object *appsv1.Deployment) {
	if f.seen.decided == 0 && !equality.Semantic.DeepEqual(object.Spec.Template, f.before.Spec.Template) {
		f.seen.decided = f.since()
		f.voice.At(f.seen.decided, "inpod edits the pod template of Deployment %s; Kubernetes does the rest:", object.Name)
		for _, line := range templateDiff(f.before.Spec.Template, object.Spec.Template) {
			f.voice.Block("+ " + short(line))
		}
	}
	f.now = object
}

func (f *follower) pod(step rolling.Step) {
	style, age := voice.Faint, "old"
	if step.New {
		age = "new"
	}
	switch step.What {
	case rolling.Ready:
		style = voice.Green
		if step.New {
			f.seen.done = f.since()
		}
	case rolling.Terminating:
		style = voice.Yellow
	case rolling.Unready:
		style = voice.Red
	case rolling.Created, rolling.Gone:
	}
	f.voice.At(f.since(), "%s pod %s  %s  ready: %d old, %d new", age, step.Pod,
		f.voice.Paint(style, fmt.Sprintf("%-11s", step.What)), step.ReadyOld, step.ReadyNew)
}

// complete tells whether the new pods have replaced the old ones and inpod has said why.
func (f *follower) complete() bool {
	status, want := f.now.Status, replicas(f.now)
	return f.seen.decided != 0 && f.seen.event != nil &&
		status.ObservedGeneration >= f.now.Generation && status.UpdatedReplicas == want && status.Replicas == want &&
		status.AvailableReplicas == want &&
		len(f.history.OldPods()) == 0 && len(f.history.NewPods()) == int(want)
}

// late says which part of a rollout did not come.
func (f *follower) late(ctx context.Context) error {
	name := f.seen.deployment
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	expected := fmt.Sprintf("a complete rolling upgrade of %s, waited %.0f s", name, f.since().Seconds())
	switch {
	case f.seen.decided == 0:
		return &failure{expected, "its pod template did not change", []string{eventsOf(name)}}
	case f.seen.event == nil && len(f.history.OldPods()) == 0:
		return &failure{"an event of inpod on " + name, "none", []string{eventsOf(name)}}
	}
	return &failure{
		expected, fmt.Sprintf("old pods left: %v, new pods ready: %v", f.history.OldPods(), f.history.NewPods()),
		[]string{podsOf(name)},
	}
}

// verdict checks what was seen.
func (f *follower) verdict(want string) (upgrade, error) {
	name := f.seen.deployment
	if got := f.now.Annotations[revision]; got != want {
		return upgrade{}, &failure{
			fmt.Sprintf("one rollout of %s, to revision %s", name, want), "revision " + got, []string{eventsOf(name)},
		}
	}
	allowed, err := leastAllowed(f.before)
	if err != nil {
		return upgrade{}, err
	}
	if f.history.Least() < allowed {
		return upgrade{}, &failure{
			fmt.Sprintf("never fewer than %d ready pods of %s", allowed, name),
			fmt.Sprintf("%d at the worst moment", f.history.Least()),
			[]string{podsOf(name)},
		}
	}
	f.seen.pods, f.seen.template = f.history.NewPods(), f.now.Spec.Template
	f.voice.Done("%d pods replaced %.1f s after the edit, never fewer than %d ready (%d are allowed)",
		len(f.seen.pods), f.seen.done.Seconds(), f.history.Least(), allowed)
	f.voice.Command("%s", eventsOf(name))
	f.voice.Quote(fmt.Sprintf("%s  %s  %s", f.seen.event.Type, f.seen.event.Reason, f.seen.event.Message))
	return f.seen, nil
}

func (f *follower) since() time.Duration { return time.Since(f.begun) }

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

// rolled tells inpod's event about a rollout from all others. The reason is Reloader's.
func rolled(event *corev1.Event) bool {
	return event.Type == corev1.EventTypeNormal && event.Reason == "Reloaded"
}

// short cuts a line that would take several on a screen.
func short(line string) string {
	const most = 110
	if len(line) <= most {
		return line
	}
	return line[:most] + "..."
}

// templateDiff lists the variables and annotations of a pod template that are new or have a new value.
func templateDiff(before, after corev1.PodTemplateSpec) []string {
	var lines []string
	for key, value := range after.Annotations {
		if before.Annotations[key] != value {
			lines = append(lines, fmt.Sprintf("annotation %s: %s", key, value))
		}
	}
	had := map[string]string{}
	for _, c := range before.Spec.Containers {
		for _, e := range c.Env {
			had[c.Name+"/"+e.Name] = e.Value
		}
	}
	for _, c := range after.Spec.Containers {
		for _, e := range c.Env {
			if old, ok := had[c.Name+"/"+e.Name]; !ok || old != e.Value {
				lines = append(lines, fmt.Sprintf("container %s, env %s=%s", c.Name, e.Name, e.Value))
			}
		}
	}
	slices.Sort(lines)
	return lines
}
