package decide

import (
	"fmt"
	"strings"
)

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

// mostWords is how much of what an application said goes into a message, in bytes, and mostProof how much of a trigger and of a
// proof.
const (
	mostWords = 600
	mostProof = 150
)

// cut shortens a text to so many bytes.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// evidence says by what a confirmation is known, and whether that proves it: "; SIGHUP to bash (PID 7), which is alive: not
// proven".
func (p InPlace) evidence() string {
	text, proof := cut(p.Trigger, mostProof), cut(p.Proof, mostProof)
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
	return fmt.Sprintf("; its own words: kubectl -n %s logs %s -c %s", a.Workload.Key.Namespace, a.InPlace.Pod, a.InPlace.Container)
}
