package decide

import "fmt"

// The messages on what was asked for and what became of it.

// rolloutUndone says that the pods keep old content since the template was put back.
func rolloutUndone(revision string, causes []Cause) string {
	return fmt.Sprintf("Rollout undone%s: the pod template was put back before all pods had the new content, and pods keep the old: %s. "+
		"It is not rolled again. Restart the workload, or edit the source or the template, to have the content taken up", inRevision(revision), describe(causes))
}

// undoWithoutContent says that an undo did not bring the content of before back.
func undoWithoutContent(revision string, causes []Cause) string {
	return fmt.Sprintf("Template put back%s, without the content that it ran with: %s. A rollback does not change sources; "+
		"put their content back, too, if that is wanted", inRevision(revision), describe(causes))
}

func inRevision(revision string) string {
	if revision == "" {
		return ""
	}
	return " (revision " + revision + ")"
}

// immutableMessage names immutable sources that were made again, and the cure.
func immutableMessage(causes []Cause) string {
	return fmt.Sprintf("Rollout blocked: an immutable source was deleted and created again under its name: %s. A kubelet keeps the old content, also for new pods, "+
		"as long as a pod of its node uses the source. Give the source a new name, or scale everything that uses it to zero and back", describe(causes))
}

// started says how a rollout begins, or what it waits for.
func (a *evaluation) started() string {
	switch {
	case a.Workload.OnDelete:
		return "Pod template updated, and the update strategy is OnDelete: a pod keeps the old content until it is deleted"
	case a.Workload.Paused:
		return "Pod template updated, and the rollout is paused: pods keep the old content until it is resumed"
	}
	return "Rolling update started"
}

// contentUnknownMessage says what nobody can know any more.
func contentUnknownMessage(causes []Cause) string {
	return fmt.Sprintf("The digest key was replaced, and nothing shows whether the pods have the current content: %s after pods were created. "+
		"Nothing is rolled for that. Restart the workload if in doubt", describe(causes))
}

// contentUnseenMessage says the same of sources that an edit of the template has brought.
func contentUnseenMessage(causes []Cause) string {
	return fmt.Sprintf("The pod template was edited while inpod did not watch, and nothing shows whether the pods have the current content: "+
		"%s after containers had started, perhaps in a key that the workload does not use. Nothing is rolled for that. Restart the workload if in doubt", describe(causes))
}

// tooLarge says that a baseline does not cover everything.
func tooLarge() string {
	return "The workload follows more sources than its annotation has room for: changes of some of them are not noticed. Name fewer sources"
}
