package reconcile

import (
	"fmt"
	"strings"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// The messages of the loop's own events stand in this file: about writes that failed, and about what concerns no
// single decision. Those of decisions are in package decide.

// refusal is the message of a ReloadFail event: what could not be done, and the cause.
func refusal(view workload.View, action decide.Action, byWebhook bool, cause error) string {
	what := "Recording the baseline failed and will be retried"
	switch action {
	case decide.None, decide.Reload:
	case decide.Resume:
		what = "Resuming the Deployment failed and will be retried"
	case decide.Recreate:
		what = fmt.Sprintf("Recreating Job %s failed and will be retried; its manifest is kept in Job %s", view.Job.Placeholder.Name, view.Key.Name)
	case decide.Replace:
		what = "Evicting a pod failed and will be retried"
	case decide.Rollout:
		what = "Starting the rolling update failed and will be retried"
		if byWebhook {
			what = "Calling the webhook failed and will be retried"
		}
	}
	return what + ": " + cause.Error()
}

// evictedMessage is the message of the event about a pod that was evicted, and the cause.
func evictedMessage(pod, cause string) string {
	return fmt.Sprintf("Evicted pod %s, so that a new one has the content: %s", pod, cause)
}

// evictionBlockedMessage is the message of the event of that name.
func evictionBlockedMessage(pod string, cause error) string {
	return fmt.Sprintf("Eviction of pod %s refused and will be retried: %s. Set inpod.dev/on-failure: rollout to start a rollout instead", pod, strings.TrimSuffix(cause.Error(), "."))
}

// conflictingInstallation is the message of the event of that name.
func conflictingInstallation() string {
	return "Another installation of inpod has replaced the annotation " + annotation.Baseline +
		" of this workload, so both may start rollouts. Limit one of them by namespaces or by annotation keys"
}

// nothingMatches is the message of the event of that name for a list of sources.
func nothingMatches(key string, kind source.Kind, namespace string, items []string) string {
	return fmt.Sprintf("annotation %s: no %s in namespace %s matches %s; a workload follows only sources of its own namespace",
		key, kind, namespace, fewOf(items))
}

// nothingFound is the same for a search among the sources that the workload uses.
func nothingFound(search, match string) string {
	return fmt.Sprintf(`annotation %s: no source that the workload uses has the annotation %s: "true"`, search, match)
}

// fewOf quotes some items.
func fewOf(items []string) string {
	const few = 5
	var quoted []string
	for i, item := range items {
		if i == few {
			return strings.Join(quoted, ", ") + fmt.Sprintf(" and %d more items", len(items)-few)
		}
		quoted = append(quoted, fmt.Sprintf("%.60q", item))
	}
	return strings.Join(quoted, ", ")
}
