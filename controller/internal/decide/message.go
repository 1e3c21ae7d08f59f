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
