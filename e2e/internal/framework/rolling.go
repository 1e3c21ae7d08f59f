//go:build e2e

package framework

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// What happened to a pod.
const (
	PodCreated     = "created"
	PodReady       = "ready"
	PodUnready     = "not ready any more"
	PodTerminating = "terminating"
	PodGone        = "gone"
)

// PodStep is one change of one pod.
type PodStep struct {
	Pod, What string
	// New reports whether the pod is made from the new template.
	New bool
	// ReadyOld and ReadyNew count the pods that serve after the step.
	ReadyOld, ReadyNew int
}

// PodHistory follows the pods of one Deployment through a rolling upgrade: which of them is old and which new, what of it
// is worth a line, and how many were ready at the worst moment. It is fed with the events of ONE watch, so that it sees
// every state that the API server had, in order; it knows no cluster and no clock. See [NewPodHistory].
type PodHistory struct {
	pods map[types.UID]podOfHistory
	// templates are the hashes of the pod templates that there were at the beginning: what has one of them is old, also
	// if it replaces a pod that was lost meanwhile.
	templates map[string]bool
	least     int
}

type podOfHistory struct {
	name               string
	old                bool
	ready, terminating bool
	// leaving reports whether the pod was on its way out when the history began: an older story.
	leaving bool
}

// serves reports whether the pod counts as available: a pod that has been asked to stop does not, although it may be
// ready for a moment longer.
func (s podOfHistory) serves() bool { return s.ready && !s.terminating }

// NewPodHistory begins a history with the pods that run before the upgrade.
func NewPodHistory(pods []corev1.Pod) *PodHistory {
	h := &PodHistory{pods: make(map[types.UID]podOfHistory, len(pods)), templates: map[string]bool{}}
	for i := range pods {
		h.templates[templateOf(&pods[i])] = true
	}
	for i := range pods {
		s := h.stateOf(&pods[i])
		s.leaving = s.terminating
		h.pods[pods[i].UID] = s
	}
	old, fresh := h.serving()
	h.least = old + fresh
	return h
}

// Observe takes the next event of the watch. It reports false if there is nothing to print about it.
func (h *PodHistory) Observe(event watch.EventType, pod *corev1.Pod) (PodStep, bool) {
	before, known := h.pods[pod.UID]
	after := h.stateOf(pod)
	after.leaving = before.leaving
	if event == watch.Deleted {
		delete(h.pods, pod.UID)
	} else {
		h.pods[pod.UID] = after
	}
	old, fresh := h.serving()
	h.least = min(h.least, old+fresh)
	step := PodStep{Pod: pod.Name, New: !after.old, ReadyOld: old, ReadyNew: fresh}
	switch {
	case before.leaving:
		return PodStep{}, false
	case event == watch.Deleted && known:
		step.What = PodGone
	case event == watch.Deleted:
		return PodStep{}, false
	case !known:
		step.What = PodCreated
	case after.terminating:
		step.What = PodTerminating
		return step, !before.terminating
	case after.ready != before.ready && after.ready:
		step.What = PodReady
	case after.ready != before.ready:
		step.What = PodUnready
	default:
		return PodStep{}, false
	}
	return step, true
}

// Least is the smallest number of serving pods that there was at any moment.
func (h *PodHistory) Least() int { return h.least }

// NewPods lists the new pods that serve, by name.
func (h *PodHistory) NewPods() []string {
	var names []string
	for s := range maps.Values(h.pods) {
		if !s.old && s.serves() {
			names = append(names, s.name)
		}
	}
	slices.Sort(names)
	return names
}

// OldPods lists the old pods that have not been asked to stop, by name.
func (h *PodHistory) OldPods() []string {
	var names []string
	for s := range maps.Values(h.pods) {
		if s.old && !s.terminating {
			names = append(names, s.name)
		}
	}
	slices.Sort(names)
	return names
}

func (h *PodHistory) serving() (old, fresh int) {
	for s := range maps.Values(h.pods) {
		switch {
		case !s.serves():
		case s.old:
			old++
		default:
			fresh++
		}
	}
	return old, fresh
}

func (h *PodHistory) stateOf(pod *corev1.Pod) podOfHistory {
	ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
	return podOfHistory{name: pod.Name, old: h.templates[templateOf(pod)], ready: ready, terminating: pod.DeletionTimestamp != nil}
}

// templateOf is the hash of the template that a Deployment made the pod from.
func templateOf(pod *corev1.Pod) string { return pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey] }
