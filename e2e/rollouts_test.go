//go:build e2e

package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/e2e/internal/kit"
)

// reloaded is the reason of the event that tells of a rollout; Reloader's.
const reloaded = "Reloaded"

// generations remembers the generation of each workload of the space. It counts the edits of the spec, and nobody but
// the controller edits one between two looks: a difference of one is one rollout.
type generations map[kit.Workload]int64

func (s *space) generations() generations {
	s.t.Helper()
	states, err := s.States(s.ctx, s.ns)
	s.must(err)
	all := generations{}
	for w, state := range states {
		all[w] = state.Generation
	}
	return all
}

// rolled waits until each of the workloads has been rolled once since before. That it is not rolled again is what
// onlyRolled tells.
func (s *space) rolled(before generations, workloads ...kit.Workload) {
	s.t.Helper()
	for _, w := range workloads {
		want := before[w] + 1
		_, err := s.Await(s.ctx, w, fmt.Sprintf("generation %d", want), func(state kit.State) bool { return state.Generation >= want })
		s.must(err)
	}
}

// onlyRolled waits until each of the workloads has been rolled, makes sure with a marker that everything was decided,
// and tells every workload of the space that was rolled more often than that.
func (s *space) onlyRolled(before generations, workloads ...kit.Workload) {
	s.t.Helper()
	s.rolled(before, workloads...)
	s.marker()
	after := s.generations()
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
// Each marker is a workload of its own, because one that is rolled often is put off.
func (s *space) marker() {
	s.t.Helper()
	s.markers++
	name := fmt.Sprintf("marker-%d", s.markers)
	s.apply(configMap(name, "key", "1"), deployment(name, env("KEY", ofConfigMap(name), "key")).idle().annotated(s.keys.configmap, name).object())
	w := kit.Deployment(s.ns, name)
	s.adopted(w)
	before := generations{w: s.state(w).Generation}
	s.apply(configMap(name, "key", "2"))
	s.rolled(before, w)
}

// events returns the events of a reason on a workload, each as often as it happened.
func (s *space) events(w kit.Workload, reason string) []corev1.Event {
	s.t.Helper()
	events, err := s.Events(s.ctx, w, reason)
	s.must(err)
	var all []corev1.Event
	for _, event := range events {
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
func (g generations) workloads() []kit.Workload {
	return slices.SortedFunc(maps.Keys(g), func(a, b kit.Workload) int { return strings.Compare(a.String(), b.String()) })
}
