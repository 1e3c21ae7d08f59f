package inject

import (
	"bytes"

	corev1 "k8s.io/api/core/v1"
)

// Other injectors add containers before this one is asked, and mount ConfigMaps of their own in them. What the author of the pod
// wrote is known all the same: before the API server asks anybody to change an object that is made, it notes in managedFields
// what the request has (k8s.io/apiserver/pkg/endpoints/handlers/create.go), and what is added later is not in there, in whichever
// order injectors are asked. It costs no request, and whoever forges it misleads nobody but himself.
//
// Nor does it cost memory: what managedFields hold is not counted when a review is let in, so that it is walked over and never
// decoded.

// authored returns which containers of the pod the request had; nil where that is not known.
func authored(pod *corev1.Pod) map[string]bool {
	found := map[string]bool{} // false until it is seen
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			found[list[i].Name] = false
		}
	}
	isKnown := false
	for i := range pod.ManagedFields {
		entry := &pod.ManagedFields[i]
		if entry.FieldsV1 == nil || entry.Subresource != "" {
			continue
		}
		ok := members(entry.FieldsV1.GetRawBytes(), func(field, value []byte) bool {
			return string(field) != "f:spec" || members(value, func(field, value []byte) bool {
				if string(field) != "f:containers" && string(field) != "f:initContainers" {
					return true
				}
				return members(value, func(field, _ []byte) bool {
					name, isContainer, ok := containerOf(field)
					if isContainer && ok {
						isKnown = true
						if _, is := found[string(name)]; is {
							found[string(name)] = true
						}
					}
					return ok
				})
			})
		})
		if !ok {
			return nil // half of it would make others of those that it leaves out
		}
	}
	if !isKnown {
		return nil
	}
	return found
}

// containerOf reads the key of a container in a list of managed fields, in the one form that the API server writes. ok
// is false for another form, which is not known.
func containerOf(key []byte) (name []byte, isContainer, ok bool) {
	if !bytes.HasPrefix(key, []byte("k:")) {
		return nil, false, true
	}
	name, begins := bytes.CutPrefix(key, []byte(`k:{\"name\":\"`))
	name, ends := bytes.CutSuffix(name, []byte(`\"}`))
	return name, true, begins && ends && !bytes.ContainsRune(name, '\\')
}

// members calls visit with the name and the value of each member of a JSON object, as they are written, for as long as visit
// returns true. It reports whether that was so to the end, and the text is an object.
func members(object []byte, visit func(name, value []byte) bool) bool {
	rest, ok := bytes.CutPrefix(trimmed(object), []byte("{"))
	if !ok {
		return false
	}
	if rest = trimmed(rest); bytes.HasPrefix(rest, []byte("}")) {
		return true
	}
	for {
		end := valueEnd(rest)
		if end < len(`""`) || rest[0] != '"' {
			return false
		}
		name := rest[1 : end-1]
		if rest, ok = bytes.CutPrefix(trimmed(rest[end:]), []byte(":")); !ok {
			return false
		}
		rest = trimmed(rest)
		if end = valueEnd(rest); end == 0 || !visit(name, rest[:end]) {
			return false
		}
		rest = trimmed(rest[end:])
		if bytes.HasPrefix(rest, []byte("}")) {
			return true
		}
		if rest, ok = bytes.CutPrefix(rest, []byte(",")); !ok {
			return false
		}
		rest = trimmed(rest)
	}
}

func trimmed(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }

// valueEnd is where the JSON value ends with which a text begins, 0 if it does not end.
func valueEnd(text []byte) int {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			if inString = !inString; !inString && depth == 0 {
				return i + 1
			}
		case inString:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 {
				return i // of a number or a word before it
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case depth == 0 && (c == ',' || c == ':'):
			return i
		}
	}
	return 0
}

// isAdded reports whether another injector is known to have added a container.
func (p *plan) isAdded(container string) bool {
	if !p.authoredKnown {
		p.authored, p.authoredKnown = authored(p.pod), true
	}
	return p.authored != nil && !p.authored[container]
}
