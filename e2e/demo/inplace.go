//go:build e2e

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/e2e/internal/kit"
	"inpod.dev/inpod/internal/patience"
)

// outcome is how a change of content that running containers see ended.
type outcome struct {
	event *corev1.Event
	// after is the time from the edit to the event.
	after time.Duration
}

// untilEvent makes a change and waits until inpod says on the workload what came of it. It fails if the pods are not the
// same afterwards: by name, by UID, and without a restart.
func (s *stage) untilEvent(ctx context.Context, name, kind, reason string, change func(context.Context) error) (outcome, error) {
	ctx, cancel := patience.Context(ctx, rolloutPatience)
	defer cancel()
	w := kit.Deployment(namespace, name)
	before, err := s.identities(ctx, w)
	if err != nil {
		return outcome{}, err
	}
	f, err := s.follow(ctx, name)
	if err != nil {
		return outcome{}, err
	}
	defer f.stop()
	f.wanted = func(e *corev1.Event) bool { return e.Type == kind && e.Reason == reason }
	if err := change(ctx); err != nil {
		return outcome{}, err
	}
	f.begun = time.Now()
	for f.seen.event == nil {
		if err := f.next(ctx); err != nil {
			return outcome{}, s.noEvent(name, kind, reason, err)
		}
		if f.seen.decided != 0 {
			return outcome{}, &failure{name + " is not rolled", "a new pod template", []string{eventsOf(name)}}
		}
	}
	got := outcome{event: f.seen.event, after: f.since()}
	after, err := s.identities(ctx, w)
	if err != nil {
		return outcome{}, err
	}
	if !maps.Equal(before, after) {
		return outcome{}, &failure{
			fmt.Sprintf("the same pods of %s, without a restart: %v", name, before), fmt.Sprintf("%v", after), []string{podsOf(name)},
		}
	}
	return got, nil
}

// says tells what inpod said.
func (s *stage) says(o outcome) {
	s.voice.At(o.after, "inpod says what came of it:")
	s.quote(o.event)
}

// quote shows an event.
func (s *stage) quote(event *corev1.Event) {
	s.voice.Quote(fmt.Sprintf("%s  %s  %s", event.Type, event.Reason, event.Message))
}

func (s *stage) noEvent(name, kind, reason string, err error) error {
	return &failure{fmt.Sprintf("an event %s %s on %s", kind, reason, name), err.Error(), []string{eventsOf(name)}}
}

// identities names the pods of a workload by what a replacement or a restart would change.
func (s *stage) identities(ctx context.Context, w kit.Workload) (map[string]string, error) {
	pods, err := s.cluster.Pods(ctx, w)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for i := range pods {
		pod := &pods[i]
		restarts := int32(0)
		for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			restarts += status.RestartCount
		}
		all[pod.Name] = fmt.Sprintf("UID %s, restarts %d", pod.UID, restarts)
	}
	return all, nil
}

// showIdentities prints the pods of a workload.
func (s *stage) showIdentities(ctx context.Context, w kit.Workload) error {
	all, err := s.identities(ctx, w)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s.voice.Plain(fmt.Sprintf("    %s: %s", name, all[name]))
	}
	return err
}
