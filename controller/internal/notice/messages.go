package notice

import (
	"fmt"

	"inpod.dev/inpod/internal/injection"
)

// The messages of all notices stand in this file, in the order of the rules. The sentences about the reasons of an
// [injection.Skip] are in package injection.

func skippedMessage(skip injection.Skip, pod string) string {
	return fmt.Sprintf("%s. The pods run without the sidecar; for details see the annotation inpod.dev/injection of pod %s", skip, pod)
}

func refusedMessage() string {
	return "The API server refuses the pods of this workload, whose template requests the sidecar; the condition ReplicaFailure has the cause. " +
		"If it is the sidecar, change it with inpod.dev/sidecar-capabilities or the requests and limits under inpod.dev/sidecar-, " +
		"or set inpod.dev/inject: disabled on the pod template"
}

func crashesMessage(container, pod string, ends int32) string {
	return fmt.Sprintf("Container %s has ended %d times in pod %s since the sidecar was injected, and stays up in no other pod with the sidecar. "+
		"inpod has set shareProcessNamespace there, under which an image that must run as PID 1 ends at once. "+
		"If that is the cause, set shareProcessNamespace: false on the pod template; changes then start a rollout", container, ends, pod)
}
