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
	"slices"
	"strings"
	"time"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/injection"
)

// Reasons of events.
const (
	// EventSkipped is about pods that have asked for the sidecar and got none.
	EventSkipped = "InjectionSkipped"
	// EventRefused is about a workload that asks for the sidecar and whose pods the API server refuses.
	EventRefused = "PodsRefused"
	// EventCrashes is about pods with the sidecar whose application ends again and again under the shared process namespace.
	EventCrashes = "InjectedPodsCrash"
)

// refusedFor is how long pods have to be refused before it is said: the injector leaves the sidecar out after a few seconds.
const refusedFor = 20 * time.Second

// staysUp is how long an application that has crashed has to run until it has come up; the kubelet takes it for that after ten
// minutes. hasStarted is how long one has to run that has not.
const (
	staysUp    = observe.StaysUp
	hasStarted = time.Minute
)

// Notice is one event.
type Notice struct {
	// Matter is what makes two notices about a workload the same one, also to another replica. It holds no name of a pod, and no count.
	Matter  string
	Warning bool
	Reason  string
	Message string
	// Early reports whether it is not to be said yet, and may have gone before it is.
	Early bool
}

// Facts are what is known of a subject.
type Facts struct {
	// Workload is the workload; nil where the subject is pods of an unknown one.
	Workload *observe.Workload
	// Skipped are its pods that have asked for the sidecar and got none, the oldest first.
	Skipped []observe.Skipped
	// Pods are those with the sidecar.
	Pods []observe.Pod
	Now  time.Time
}

// rules are what is worth a word, in the order of the events.
func rules() []func(Facts) []Notice {
	return []func(Facts) []Notice{
		skipped,
		refused,
		crashes,
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
		if !belongs(pod, facts) || isInvalidAnnotation(pod, facts) {
			continue
		}
		n := Notice{
			Matter: EventSkipped + " " + pod.Skip.String(), Warning: !pod.Skip.Reason.Expected(), Reason: EventSkipped,
			Message: skippedMessage(pod.Skip, pod.Name),
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

// refused is about pods that cannot be made at all. What is against them stands in the condition, in the API server's words.
func refused(facts Facts) []Notice {
	w := facts.Workload
	if w == nil || !w.Policy.Injected || w.View.Refused.IsZero() {
		return nil
	}
	return []Notice{{
		Matter: EventRefused, Warning: true, Reason: EventRefused, Early: facts.Now.Sub(w.View.Refused) < refusedFor,
		Message: refusedMessage(),
	}}
}

// crashes is about an application that stays up in no pod with the sidecar. It says what is known, and not that the one is the
// cause of the other. Between two crashes the application runs, and the notice stays.
func crashes(facts Facts) []Notice {
	if facts.Workload == nil {
		return nil
	}
	var worst observe.Pod
	early := false
	for _, pod := range facts.Pods {
		runs, isRunning := facts.Now.Sub(pod.Started), !pod.Started.IsZero()
		switch {
		case pod.Over:
		case pod.Crash.Ends == 0 && isRunning && runs < hasStarted:
			early = true
		case pod.Crash.Ends == 0 && isRunning, pod.Crash.Ends > 0 && isRunning && runs >= staysUp:
			return nil // it stays up under the shared process namespace, or did not have to
		case pod.Crash.Ends == 0: // nothing is known of it yet
		case !pod.Crash.Shared:
			return nil // it ends without as well
		case pod.Crash.Ends > worst.Crash.Ends:
			worst = pod
		}
	}
	if worst.Name == "" {
		return nil
	}
	return []Notice{{
		Matter: EventCrashes, Warning: true, Reason: EventCrashes, Early: early,
		Message: crashesMessage(worst.Container, worst.Name, worst.Crash.Ends),
	}}
}

// isInvalidAnnotation reports whether nothing is said against a pod but that it has an unknown key, and its workload has it on the
// template: then the event InvalidAnnotation names the key, and says what comes of it.
func isInvalidAnnotation(pod observe.Skipped, facts Facts) bool {
	if facts.Workload == nil || pod.Skip != (injection.Skip{Reason: injection.InvalidAnnotation, HasUnknownKey: true}) {
		return false
	}
	return slices.ContainsFunc(facts.Workload.Problems, func(p annotation.Problem) bool {
		return p.Unknown && p.OnTemplate && strings.HasPrefix(p.Key, annotation.Domain)
	})
}

// belongs reports whether a pod is of the workload that there is now, and not of one of the same name before it.
func belongs(pod observe.Skipped, facts Facts) bool {
	return facts.Workload == nil || !pod.IsDirect || pod.Owner == facts.Workload.View.UID
}
