package admission

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
)

// diff returns the JSON patch that makes one pod of the other, nil where they are the same. Both are written by the same
// code, so that a field which the API server knows and this program does not is in neither, and stays as it is.
func diff(before, after *corev1.Pod) ([]byte, error) {
	if before == after {
		return nil, nil
	}
	from, err := json.Marshal(before)
	if err != nil {
		return nil, fmt.Errorf("write the pod as it was: %w", err)
	}
	to, err := json.Marshal(after)
	if err != nil {
		return nil, fmt.Errorf("write the pod with the sidecar: %w", err)
	}
	operations, err := jsonpatch.CreatePatch(from, to)
	if err != nil {
		return nil, fmt.Errorf("compare the pod with and without sidecar: %w", err)
	}
	if len(operations) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(operations, inOrder)
	patch, err := json.Marshal(operations)
	if err != nil {
		return nil, fmt.Errorf("write the patch: %w", err)
	}
	return patch, nil
}

// inOrder makes equal pods have equal patches: the library walks over maps. Elements that are added to one list keep
// their order, in which alone they can be added.
func inOrder(a, b jsonpatch.Operation) int {
	parents := cmp.Compare(path.Dir(a.Path), path.Dir(b.Path))
	first, err1 := strconv.Atoi(path.Base(a.Path))
	second, err2 := strconv.Atoi(path.Base(b.Path))
	if err1 == nil && err2 == nil {
		return cmp.Or(parents, cmp.Compare(first, second))
	}
	return cmp.Or(parents, cmp.Compare(a.Path, b.Path))
}
