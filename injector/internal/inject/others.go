package inject

import (
	"encoding/json"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Other injectors add containers before this one is asked, and mount ConfigMaps of their own in them. What the author of the pod
// wrote is known all the same: before the API server asks anybody to change an object that is made, it notes in managedFields
// what the request has (k8s.io/apiserver/pkg/endpoints/handlers/create.go), and what is added later is not in there, in whichever
// order injectors are asked. It costs no request, and whoever forges it misleads nobody but himself.

// authored returns the names of the containers that the request for the pod had; nil where that is not known.
func authored(pod *corev1.Pod) map[string]bool {
	var names map[string]bool
	for i := range pod.ManagedFields {
		entry := &pod.ManagedFields[i]
		if entry.FieldsV1 == nil || entry.Subresource != "" {
			continue
		}
		var fields struct {
			Spec struct {
				Containers     map[string]json.RawMessage `json:"f:containers"`
				InitContainers map[string]json.RawMessage `json:"f:initContainers"`
			} `json:"f:spec"`
		}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			return nil // half of it would make others of those that it leaves out
		}
		for _, list := range []map[string]json.RawMessage{fields.Spec.Containers, fields.Spec.InitContainers} {
			for path := range list {
				var key struct{ Name string }
				if text, isKey := strings.CutPrefix(path, "k:"); !isKey || json.Unmarshal([]byte(text), &key) != nil || key.Name == "" {
					continue
				}
				if names == nil {
					names = map[string]bool{}
				}
				names[key.Name] = true
			}
		}
	}
	return names
}

// isAdded reports whether another injector is known to have added a container.
func (p *plan) isAdded(container string) bool {
	if !p.authoredKnown {
		p.authored, p.authoredKnown = authored(p.pod), true
	}
	return p.authored != nil && !p.authored[container]
}
