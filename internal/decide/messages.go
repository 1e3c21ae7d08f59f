package decide

import (
	"fmt"
	"strings"
	"time"

	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/truncate"
)

// The messages of all decisions stand in this file, so that they can be read one after the other. There is one
// function for each message, named after its reason, in the order of the reasons. A message says what happened, then
// why, then what to do.

func noTemplateMessage(fault string) string { return "Not followed: " + fault }

func pausedByReloaderMessage(since time.Time, period time.Duration) string {
	return fmt.Sprintf("Resumed: the pause that Reloader began at %s has ended (pause-period: %s)", clock(since), period)
}

func sourceMissingMessage(missing []string) string {
	return fmt.Sprintf("Rollout blocked: new pods need %s. Create it, or set optional on its use", strings.Join(missing, ", "))
}

func missingSource(name string) string { return name + ", which does not exist" }

func missingKeys(keys []string, name string) string {
	return fmt.Sprintf("%s in %s", keyList(keys), name)
}

func notifyOnlyMessage(causes []Cause) string {
	return "Notify-only: would start a rollout: " + describe(causes)
}

func pausePeriodMessage(until time.Time, period time.Duration, causes []Cause) string {
	return fmt.Sprintf("Rollout delayed until %s (pause-period: %s): %s", clock(until), period, describe(causes))
}

func windowClosedMessage(opens time.Time, causes []Cause) string {
	return fmt.Sprintf("Rollout delayed until %s, when the maintenance window opens: %s", opens.Format("2006-01-02 15:04 MST"), describe(causes))
}

func windowNeverOpensMessage(causes []Cause) string {
	return "Rollout delayed: the maintenance window never opens: " + describe(causes)
}

func backOffMessage(until time.Time, evicts bool, causes []Cause) string {
	what, many := "Rollout", "rollouts"
	if evicts {
		what, many = "Eviction", "rollouts and evictions"
	}
	return fmt.Sprintf("%s delayed until %s: too many %s in a short time (%s). Check whether two clients keep changing the same source",
		what, until.UTC().Format("15:04:05 UTC"), many, describe(causes))
}

func concurrencyForbiddenMessage(active []string, causes []Cause) string {
	jobs := "Job"
	if len(active) > 1 {
		jobs = "Jobs"
	}
	return fmt.Sprintf("Waiting for %s %s to finish (concurrencyPolicy: Forbid): %s", jobs, strings.Join(active, ", "), describe(causes))
}

// rolloutMessage is that of a rollout for whatever reason. note says why it is one and not a reload in place, where
// that needs a word.
func (a *evaluation) rolloutMessage(note string) string {
	what := a.started()
	switch {
	case a.Workload.Restart:
		what = "Restart of the pods started"
	case a.Options.Webhook:
		what = "Webhook called"
	case a.Workload.Cron != nil:
		what = "Job started"
	case a.Workload.Job != nil:
		what = "Recreation of the Job started"
	}
	return what + ": " + withNote(describe(a.changed), note)
}

// strayMessage stands in the place of one about a rollout where pods have no workload.
func (a *evaluation) strayMessage(note string) string {
	return "No rollout started: no workload that inpod can roll out owns the pods: " + withNote(describe(a.changed), note)
}

func withNote(text, note string) string {
	if note == "" {
		return text
	}
	return text + "; " + note
}

func jobEndedMessage(causes []Cause) string {
	return "Job has ended and is not run again: " + describe(causes) + ". To run it with the new content, delete and create it"
}

func (a *evaluation) reloadConfirmedMessage() string {
	return fmt.Sprintf("Reloaded in place: %s%s", describe(a.changed), a.InPlace.evidence())
}

func (a *evaluation) reloadRejectedMessage() string {
	return fmt.Sprintf("Reload rejected, no rollout started: the application in pod %s keeps the old content: %s (%s)%s",
		a.InPlace.Pod, truncate.Text(a.InPlace.Message, mostWords), describe(a.changed), a.logs())
}

func (p InPlace) restartNeededNote() string {
	return fmt.Sprintf("the application in pod %s needs a restart to use the new content: %s", p.Pod, truncate.Text(p.Message, mostWords))
}

func (a *evaluation) reloadFailedNote() string {
	return fmt.Sprintf("reload in pod %s failed: %s%s", a.InPlace.Pod, truncate.Text(a.InPlace.Message, mostWords), a.logs())
}

// replaceMessage follows the names of the pods that were evicted.
func (a *evaluation) replaceMessage() string {
	return withNote(describe(a.changed), a.reloadFailedNote())
}

// evictionWaitsMessage is about an eviction that would leave the workload with too few pods.
func evictionWaitsMessage(pod string, unavailable, most int) string {
	are := "1 other pod is"
	if unavailable != 1 {
		are = fmt.Sprintf("%d other pods are", unavailable)
	}
	return fmt.Sprintf("Eviction of pod %s waits: %s not ready, and no more than %d may be unavailable", pod, are, most)
}

// failedAgainMessage is that of a reload that failed in a pod which was made after the change.
func (a *evaluation) failedAgainMessage() string {
	var pod string
	for _, failed := range a.InPlace.Failed {
		if failed.Younger {
			pod = failed.Name
			break
		}
	}
	return fmt.Sprintf("No pod evicted: pod %s is younger than the change and failed as well (%s); %s. Set inpod.dev/on-failure: rollout to start a rollout instead",
		pod, describe(a.changed), a.reloadFailedNote())
}

func (a *evaluation) reloadFailedMessage() string {
	return "No rollout started (inpod.dev/on-failure: none): " + a.reloadFailedNote()
}

func (a *evaluation) sidecarNotUnderstoodMessage() string {
	return fmt.Sprintf("Reload not confirmed, no rollout started: pod %s: %s inpod keeps asking (%s)%s",
		a.InPlace.Pod, truncate.Text(a.InPlace.Message, mostWords), describe(a.changed), a.instead())
}

func (a *evaluation) sidecarUnreachableMessage() string {
	return fmt.Sprintf("Reload not confirmed, no rollout started: no sidecar of the pods can be reached, such as that of pod %s %s "+
		"inpod keeps asking (%s)%s", a.InPlace.Pod, truncate.Text(a.InPlace.Message, mostWords), describe(a.changed), a.instead())
}

// instead says how to have a workload rolled whose state is unknown.
func (a *evaluation) instead() string {
	if a.Workload.Stray {
		return ""
	}
	return "; set --unreachable=rollout to start a rollout instead"
}

func (a *evaluation) liveChangedMessage() string { return "Reloading in place: " + describe(a.changed) }

func noSidecarNote() string { return "the pods lack the sidecar that inpod.dev/inject requests" }

// expiringMessage is about files that expire, whatever is decided.
func expiringMessage(r source.Rotation) string {
	return fmt.Sprintf("Container %s mounts volume %s (%s) with subPath at %s, where the kubelet never renews it, so its content expires. "+
		"Mount the volume as a whole, without subPath", r.Container, r.Volume, r.Kind, r.Path)
}

const (
	// fewKeys and fewCauses bound a message; an event's may have 1024 bytes
	// (k8s.io/kubernetes/pkg/apis/core/validation/events.go).
	fewKeys   = 5
	fewCauses = 5
)

// describe says what changed: "ConfigMap app changed (app.conf, users), Secret db was deleted".
func describe(causes []Cause) string {
	var parts []string
	for i, cause := range causes {
		if i == fewCauses {
			parts = append(parts, fmt.Sprintf("and %d more", len(causes)-i))
			break
		}
		parts = append(parts, cause.String())
	}
	return strings.Join(parts, ", ")
}

// String is such as: ConfigMap app changed (app.conf).
func (c Cause) String() string {
	name := fmt.Sprintf("%s %s", c.Ref.Kind, c.Ref.Name)
	switch {
	case c.Diff.Created:
		return name + " was created"
	case c.Diff.Deleted:
		return name + " was deleted"
	}
	var keys []string
	for _, change := range c.Diff.Changes {
		if change.Key != "" {
			keys = append(keys, change.Key)
		}
	}
	if len(keys) == 0 {
		return name + " changed"
	}
	return fmt.Sprintf("%s changed (%s)", name, keyList(keys))
}

func keyList(keys []string) string {
	if len(keys) > fewKeys {
		return fmt.Sprintf("%s and %d more", strings.Join(keys[:fewKeys], ", "), len(keys)-fewKeys)
	}
	return strings.Join(keys, ", ")
}

// mostWords is how much of what an application said goes into a message, in bytes, and mostProof how much of a
// trigger and of a proof.
const (
	mostWords = 600
	mostProof = 150
)

// evidence says by what a confirmation is known, and whether that proves it: "; SIGHUP to bash (PID 7), which is
// alive: not proven".
func (p InPlace) evidence() string {
	text, proof := truncate.Text(p.Trigger, mostProof), truncate.Text(p.Proof, mostProof)
	switch {
	case proof == "alive" && text != "":
		text += ", which is alive"
	case proof != "" && text != "":
		text += ", " + proof
	case proof != "":
		text = proof
	}
	switch {
	case p.Verdict == Confirmed && p.Message != "" && text != "":
		text += "; " + p.Message
	case p.Verdict == Confirmed && p.Message != "":
		text = p.Message
	}
	switch {
	case p.Proven && text == "":
		return ""
	case p.Proven:
		return "; " + text
	case text == "":
		return "; not proven"
	}
	return "; " + text + ": not proven"
}

// logs says where the application's own words are: a sidecar does not see all of them.
func (a *evaluation) logs() string {
	if a.InPlace.Container == "" || a.InPlace.Verdict != Rejected && a.InPlace.Verdict != Failed {
		return ""
	}
	return fmt.Sprintf("; its log: kubectl -n %s logs %s -c %s", a.Workload.Key.Namespace, a.InPlace.Pod, a.InPlace.Container)
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
