package admission

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"inpod.dev/inpod/injector/internal/inject"
	"inpod.dev/inpod/internal/workload"
)

// EventReason is the reason of the events about pods without a sidecar. The reason of [inject.Report] begins the message.
const EventReason = "InjectionSkipped"

// longestMessage bounds the message of an event; the API server refuses more than 1024 bytes.
const longestMessage = 1000

// Tell returns a function that reports every pod that gets no sidecar, but for those that nobody asked about, by events on the
// pod's controller and on the workload behind it: the pod does not exist yet, and these are where one looks when pods are not as
// expected.
func Tell(recorder record.EventRecorder) func(pod *corev1.Pod, namespace string, report inject.Report) {
	return func(pod *corev1.Pod, namespace string, report inject.Report) {
		if report.Reason == inject.Injected || report.Reason.Quiet() {
			return
		}
		severity := corev1.EventTypeWarning
		if report.Reason.Expected() {
			severity = corev1.EventTypeNormal
		}
		message := cut(string(report.Reason) + ": " + report.Message)
		controller := owner(pod, namespace)
		recorder.Event(controller, severity, EventReason, message)
		if behind := workloadOf(pod, namespace); behind != nil && behind.Kind != controller.Kind {
			recorder.Event(behind, severity, EventReason, message)
		}
	}
}

// workloadOf is the workload of a pod whose controller is a ReplicaSet or a ReplicationController of one; nil if there is none. Its
// name is known without asking for anything, its UID is not: no right is needed, and kubectl events --for finds the event, while
// kubectl describe, which goes by the UID, does not.
func workloadOf(pod *corev1.Pod, namespace string) *corev1.ObjectReference {
	kinds := workload.Kinds().With(workload.Rollout()).With(workload.DeploymentConfig())
	key := kinds.OwnerOf(pod)
	kind, known := kinds.Of(key.Kind)
	if !known {
		return nil
	}
	return &corev1.ObjectReference{APIVersion: kind.APIVersion(), Kind: kind.APIKind(), Namespace: namespace, Name: key.Name}
}

// owner is the controller of the pod, or the pod itself by its name.
func owner(pod *corev1.Pod, namespace string) *corev1.ObjectReference {
	if c := metav1.GetControllerOf(pod); c != nil {
		return &corev1.ObjectReference{APIVersion: c.APIVersion, Kind: c.Kind, Namespace: namespace, Name: c.Name, UID: c.UID}
	}
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: nameOf(pod)}
}

// cut shortens a text to what an event may hold, without splitting a character.
func cut(text string) string {
	if len(text) <= longestMessage {
		return text
	}
	end := 0
	for i := range text {
		if i > longestMessage-len("…") {
			break
		}
		end = i
	}
	return text[:end] + "…"
}
