// Package notice reports on workloads what their pods have to say: events that are about no decision of the controller.
//
//	a pod, a workload ──► queue of subjects ──► GATHER ──► About ──► an event for each notice that is new
//	                           ▲                                              │
//	                           └──── later: the namespace has had its share ◄─┘
//
// What a pod says of itself can be written by whoever may write the pod. So a notice is a sentence of inpod's own, with values from
// closed sets, and is about a workload that exists in the namespace of the pod.
package notice

import (
	"fmt"

	"inpod.dev/inpod/controller/internal/observe"
)

// Reasons of events.
const (
	// EventSkipped is about pods that have asked for the sidecar and got none.
	EventSkipped = "InjectionSkipped"
)

// Notice is one event.
type Notice struct {
	// Matter is what makes two notices about a workload the same one. It holds no name of a pod.
	Matter  string
	Warning bool
	Reason  string
	Message string
}

// Facts are what is known of a subject.
type Facts struct {
	// Workload is the workload; nil where the subject is pods of an unknown one.
	Workload *observe.Workload
	// Skipped are its pods that have asked for the sidecar and got none, the oldest first.
	Skipped []observe.Skipped
}

// rules are what is worth a word, in the order of the events.
func rules() []func(Facts) []Notice {
	return []func(Facts) []Notice{
		skipped,
	}
}

// About returns what is to be said about a subject. Equal facts give equal notices.
func About(facts Facts) []Notice {
	var notices []Notice
	for _, rule := range rules() {
		notices = append(notices, rule(facts)...)
	}
	return notices
}

// skipped has one notice for each reason, from the newest pod that gives it: an older one may be of an older template.
func skipped(facts Facts) []Notice {
	var notices []Notice
	at := map[string]int{}
	for _, pod := range facts.Skipped {
		if !belongs(pod, facts) {
			continue
		}
		n := Notice{
			Matter: EventSkipped + " " + pod.Skip.String(), Warning: !pod.Skip.Reason.Expected(), Reason: EventSkipped,
			Message: fmt.Sprintf(`%s. Pods run without the sidecar; the annotation inpod.dev/injection of pod %s says more`, pod.Skip, pod.Name),
		}
		if i, seen := at[string(pod.Skip.Reason)]; seen {
			notices[i] = n
			continue
		}
		at[string(pod.Skip.Reason)] = len(notices)
		notices = append(notices, n)
	}
	return notices
}

// belongs reports whether a pod is of the workload that there is now, and not of one of the same name before it.
func belongs(pod observe.Skipped, facts Facts) bool {
	return facts.Workload == nil || !pod.IsDirect || pod.Owner == facts.Workload.View.UID
}
