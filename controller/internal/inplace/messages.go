package inplace

import (
	"fmt"
	"strings"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/source"
)

// What is said of pods and their sidecars stands in this file. It becomes part of the events of package decide: "pod
// web-1: " or "such as that of pod web-1 " stands before it.

// These are about pods that have not confirmed.
const (
	podNotRunning     = "it does not run"
	nodeLost          = "its node does not report"
	notRefreshed      = "its kubelet has not brought the new content"
	startedLater      = "its sidecar started after the change, and cannot know whether the application has it"
	notAnswered       = "its application has not answered yet"
	notFinished       = "its sidecar has not finished"
	noReason          = "no reason given"
	sidecarNotRunning = "its sidecar does not run"
)

// notWatched is about a source that a container mounts and the sidecar does not watch.
func notWatched(ref source.Ref) string {
	return fmt.Sprintf("its sidecar does not watch %s %s, which a container mounts", ref.Kind, ref.Name)
}

// mountUnknown is about a mount of a class whose time of change the sidecar does not report.
func mountUnknown(at string, class source.Ref) string {
	return fmt.Sprintf("its sidecar does not report when %s (%s %s) changed: it has an earlier version, or does not watch it", at, class.Kind, class.Name)
}

func rotationUnseen(class source.Ref) string {
	return fmt.Sprintf("its sidecar has not seen the new versions of %s %s", class.Kind, class.Name)
}

func rotationPending(class source.Ref) string {
	return fmt.Sprintf("its driver has not brought the new versions of %s %s", class.Kind, class.Name)
}

// unasked counts the pods that could not be asked; "" for none.
func unasked(lost, down, unrotated int) string {
	var parts []string
	add := func(n int, one, many string) {
		switch n {
		case 0:
		case 1:
			parts = append(parts, "1 pod could not be asked ("+one+")")
		default:
			parts = append(parts, fmt.Sprintf("%d pods could not be asked (%s)", n, many))
		}
	}
	add(lost, "its node does not report", "their nodes do not report")
	add(down, "it does not run", "they do not run")
	add(unrotated, "its driver has not brought the new versions", "their drivers have not brought the new versions")
	return strings.Join(parts, ", ")
}

// These say how a request to a sidecar ended.
const (
	noAnswer     = "no answer in time"
	closedEarly  = "the connection was closed without an answer"
	notHTTP      = "the answer is not HTTP; it may be the TLS of a service mesh"
	notDecrypted = "it cannot be decrypted"
	refusedInPod = "connection refused in the pod"
	ofAPIServer  = "the API server says: "
	ofKubelet    = "the kubelet says: "
	ofAnother    = "something else "
)

// foreignContent is about an answer of another program, by its content type.
func foreignContent(contentType string) string {
	return ofAnother + fmt.Sprintf("answers with content type %.40q", contentType)
}

// answeredWith is about the status and the text of an answer that is no reply.
func answeredWith(status int, text string) string { return fmt.Sprintf("answers %d: %s", status, text) }

// answeredForeign is the same where the text may be the application's.
func answeredForeign(status int) string {
	return fmt.Sprintf("answers %d (text withheld: it may be the application's, and quote a secret)", status)
}

func foreignAnswer(answered string) string { return "the program that listens there " + answered }

// These are the ways out.
const (
	adviceUpgrade  = "If the sidecar is newer than the controller, upgrade the controller."
	adviceRestart  = "If the installation's key was replaced after the pod was created, create pods with the current key: kubectl rollout restart."
	advicePort     = "If it is another program, set another port for the sidecar with inpod.dev/status-port; if the sidecar is newer than the controller, upgrade the controller."
	adviceRequests = "A client sends this sidecar many requests per second."
	adviceForward  = "A port-forward needs permission to get and create pods/portforward, Kubernetes 1.31, and an API server that reaches the kubelets."
)

// adviceDirect is about connections to the address of the pod. home is the namespace of the controller.
func adviceDirect(pod observe.Pod, home string) string {
	return fmt.Sprintf("If a NetworkPolicy or a service mesh blocks it, allow ingress to TCP port %d of these pods from namespace %s, "+
		"or set --confirm-through=portforward.", pod.Port, home)
}

func placeDirect(pod observe.Pod) string { return "at " + address(pod) }

func placeForward(pod observe.Pod) string {
	return fmt.Sprintf("by a port-forward to its port %d", pod.Port)
}

// Error implements error.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("the sidecar cannot be reached %s: %s", e.Place, e.Why)
}

// sentences are the message of a pod whose sidecar cannot be reached.
func (e *UnreachableError) sentences() string {
	return fmt.Sprintf("%s: %s. %s", e.Place, e.Why, e.Advice)
}

// and returns what two ways came to.
func (e *UnreachableError) and(next *UnreachableError) *UnreachableError {
	if e == nil {
		return next
	}
	return &UnreachableError{
		Place: e.Place, Why: fmt.Sprintf("%s; %s: %s", e.Why, next.Place, next.Why), Advice: e.Advice + " " + next.Advice,
	}
}

// Error implements error.
func (e *NotUnderstoodError) Error() string {
	text := fmt.Sprintf("the answer %s is not understood: %s", e.Place, e.Why)
	if e.Version != "" {
		text += "; the sidecar has version " + e.Version
	}
	return text
}

// sentences are the message of a pod whose sidecar is not understood.
func (e *NotUnderstoodError) sentences() string { return fmt.Sprintf("%s. %s", e, e.Advice) }
