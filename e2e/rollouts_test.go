//go:build e2e

package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/e2e/internal/framework"
)

// reloaded is the reason of the event of a rollout; Reloader's.
const reloaded = "Reloaded"

// rollouts are how often each workload of a space was rolled so far.
type rollouts map[framework.Workload]int

func (s *space) rollouts() rollouts {
	s.t.Helper()
	counts, err := s.recorder.Counts(s.ctx)
	s.must(err)
	return counts
}

// rolled waits until each of the workloads has been rolled once since before. That it is not rolled again is what
// onlyRolled reports.
func (s *space) rolled(before rollouts, workloads ...framework.Workload) {
	s.t.Helper()
	for _, w := range workloads {
		s.must(s.recorder.Await(s.ctx, w, before[w]+1))
	}
}

// onlyRolled waits until each of the workloads has been rolled, makes sure with a marker that everything was decided,
// and reports every workload of the space that was rolled more often than that.
func (s *space) onlyRolled(before rollouts, workloads ...framework.Workload) {
	s.t.Helper()
	s.rolled(before, workloads...)
	s.marker()
	after := s.rollouts()
	var wrong []string
	for w, was := range before {
		want := was
		if slices.Contains(workloads, w) {
			want++
		}
		if after[w] != want {
			wrong = append(wrong, fmt.Sprintf("%s was rolled %d times, want %d", w, after[w]-was, want-was))
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		s.t.Fatal(strings.Join(wrong, "\n"))
	}
}

// marker makes a change that has to lead to a rollout and waits for it. What was changed before is decided by then.
// Each marker is a workload of its own, because one that is rolled often is deferred.
func (s *space) marker() {
	s.t.Helper()
	s.markers++
	name := fmt.Sprintf("marker-%d", s.markers)
	s.apply(configMap(name, "key", "1"), deployment(name, env("KEY", ofConfigMap(name), "key")).idle().annotated(s.keys.configmap, name).object())
	w := framework.Deployment(s.ns, name)
	s.hasBaseline(w)
	s.apply(configMap(name, "key", "2"))
	s.rolled(nil, w)
}

// events returns inpod's events of a reason on a workload, or of any, each as often as it happened. The controllers of
// Kubernetes have events of their own.
func (s *space) events(w framework.Workload, reason string) []corev1.Event {
	s.t.Helper()
	events, err := s.Events(s.ctx, w, reason)
	s.must(err)
	var all []corev1.Event
	for _, event := range events {
		if !strings.HasPrefix(event.Source.Component, "inpod") {
			continue
		}
		times := max(1, int(event.Count))
		if event.Series != nil {
			times = int(event.Series.Count)
		}
		for range times {
			all = append(all, event)
		}
	}
	return all
}

// workloads lists the workloads of the space.
func (r rollouts) workloads() []framework.Workload {
	return slices.SortedFunc(maps.Keys(r), func(a, b framework.Workload) int { return strings.Compare(a.String(), b.String()) })
}
