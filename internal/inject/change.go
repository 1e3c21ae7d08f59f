package inject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Change is what an injection adds to a pod. It takes nothing away and edits nothing that is there, but for the labels and
// annotations that are inpod's own. Its zero value adds nothing.
type Change struct {
	Volumes []corev1.Volume
	// InitContainers and Containers come behind those that the pod has.
	InitContainers, Containers []corev1.Container
	// ShareProcesses sets shareProcessNamespace.
	ShareProcesses bool
	// Labels and Annotations are set, over values that are there.
	Labels, Annotations map[string]string
}

// IsZero reports whether nothing is added.
func (c Change) IsZero() bool {
	return len(c.Volumes)+len(c.InitContainers)+len(c.Containers)+len(c.Labels)+len(c.Annotations) == 0 && !c.ShareProcesses
}

// Apply returns a copy of the pod with what is added.
func (c Change) Apply(pod *corev1.Pod) *corev1.Pod {
	after := pod.DeepCopy()
	after.Spec.Volumes = append(after.Spec.Volumes, c.Volumes...)
	after.Spec.InitContainers = append(after.Spec.InitContainers, c.InitContainers...)
	after.Spec.Containers = append(after.Spec.Containers, c.Containers...)
	if c.ShareProcesses {
		after.Spec.ShareProcessNamespace = new(true)
	}
	after.Labels = merged(after.Labels, c.Labels)
	after.Annotations = merged(after.Annotations, c.Annotations)
	return after
}

func merged(into, from map[string]string) map[string]string {
	if into == nil && len(from) > 0 {
		into = map[string]string{}
	}
	maps.Copy(into, from)
	return into
}

// LongestPatch bounds how many bytes the patch has for each byte of [Change.Size]: JSON writes a control character in six.
const LongestPatch = 6

// Size is how large what is added is, in bytes as the API server stores it. What it costs to find does not depend on how long
// texts are.
func (c Change) Size() int {
	size := 0
	for i := range c.Volumes {
		size += c.Volumes[i].Size()
	}
	for _, list := range [][]corev1.Container{c.InitContainers, c.Containers} {
		for i := range list {
			size += list[i].Size()
		}
	}
	for _, members := range []map[string]string{c.Labels, c.Annotations} {
		for name, value := range members {
			size += len(name) + len(value)
		}
	}
	return size
}

// operation is one operation of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// Patch returns the JSON patch that makes the change in the pod, nil for none. Its size and cost are those of what is added,
// whatever the pod holds. Equal changes of equal pods give equal patches.
func (c Change) Patch(pod *corev1.Pod) ([]byte, error) {
	if c.IsZero() {
		return nil, nil
	}
	var operations []operation
	add := func(path string, value any) {
		operations = append(operations, operation{Op: "add", Path: path, Value: value})
	}
	addMembers(add, "/metadata/annotations", pod.Annotations == nil, c.Annotations)
	addMembers(add, "/metadata/labels", pod.Labels == nil, c.Labels)
	addElements(add, "/spec/containers", len(pod.Spec.Containers) == 0, c.Containers)
	addElements(add, "/spec/initContainers", len(pod.Spec.InitContainers) == 0, c.InitContainers)
	if c.ShareProcesses {
		add("/spec/shareProcessNamespace", true)
	}
	addElements(add, "/spec/volumes", len(pod.Spec.Volumes) == 0, c.Volumes)
	var patch bytes.Buffer
	encoder := json.NewEncoder(&patch)
	encoder.SetEscapeHTML(false) // six bytes for one, and no browser reads it
	if err := encoder.Encode(operations); err != nil {
		return nil, fmt.Errorf("write the patch: %w", err)
	}
	return bytes.TrimRight(patch.Bytes(), "\n"), nil
}

// addMembers sets members of an object. An "add" to an object that is not there is an error (RFC 6902, section 4.1).
func addMembers(add func(string, any), path string, absent bool, members map[string]string) {
	if absent && len(members) > 0 {
		add(path, members)
		return
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1") // RFC 6901, section 3
	for _, name := range slices.Sorted(maps.Keys(members)) {
		add(path+"/"+escape.Replace(name), members[name])
	}
}

// addElements appends to a list, which is made where it is absent, empty or null.
func addElements[T any](add func(string, any), path string, empty bool, elements []T) {
	if empty && len(elements) > 0 {
		add(path, elements)
		return
	}
	for _, element := range elements {
		add(path+"/-", element)
	}
}
