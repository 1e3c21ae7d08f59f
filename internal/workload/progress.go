package workload

import (
	"crypto/sha256"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/internal/annotation"
)

// Progress is how far the pods of a workload are on the way to its current template.
type Progress string

// The values of Progress. What is asked for is taken up when it is Complete, whether the pods are available or not: a
// pod reads its sources when it starts.
const (
	ProgressUnknown Progress = ""         // the status does not say
	NoneUpdated     Progress = "None"     // every pod has an older template
	PartlyUpdated   Progress = "Partly"   // some pods have an older template
	Complete        Progress = "Complete" // no pod has an older template
)

// revisionKey is what the controllers of Deployments and Argo Rollouts write onto their objects.
const revisionKey = "deployment.kubernetes.io/revision"

// progress of a status that has been seen. replicas are the pods that there are, and wanted those that there are to be.
func progress(seen bool, updated, replicas, wanted int64) Progress {
	switch {
	case !seen:
		// The numbers are about an older template.
		return NoneUpdated
	case updated >= replicas && updated >= wanted:
		return Complete
	case updated > 0:
		return PartlyUpdated
	}
	return NoneUpdated
}

// progressOf makes the function of a row from one on the type of its kind.
func progressOf[T any](of func(*T) (Progress, bool, bool)) func(any) (Progress, bool, bool) {
	return func(object any) (Progress, bool, bool) {
		if typed, ok := object.(*T); ok {
			return of(typed)
		}
		return ProgressUnknown, false, false
	}
}

func progressDeployment(d *appsv1.Deployment) (p Progress, onDelete, scaledToZero bool) {
	s, pods := d.Status, int64(wanted(d.Spec.Replicas))
	seen := s.ObservedGeneration >= d.Generation
	return progress(seen, int64(s.UpdatedReplicas), int64(s.Replicas), pods), false, seen && pods == 0 && s.Replicas == 0
}

func progressStatefulSet(d *appsv1.StatefulSet) (p Progress, onDelete, scaledToZero bool) {
	s, pods := d.Status, int64(wanted(d.Spec.Replicas))
	seen := s.ObservedGeneration >= d.Generation
	return progress(seen, int64(s.UpdatedReplicas), int64(s.Replicas), pods),
		d.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType, seen && pods == 0 && s.Replicas == 0
}

func progressDaemonSet(d *appsv1.DaemonSet) (p Progress, onDelete, scaledToZero bool) {
	s := d.Status
	seen := s.ObservedGeneration >= d.Generation
	return progress(seen, int64(s.UpdatedNumberScheduled), int64(s.CurrentNumberScheduled), int64(s.DesiredNumberScheduled)),
		d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType, false
}

// progressJSON reads the fields that most kinds with replicas have.
func progressJSON(object any) (p Progress, onDelete, scaledToZero bool) {
	content, ok := object.(*unstructured.Unstructured)
	if !ok {
		return ProgressUnknown, false, false
	}
	number := func(path ...string) (int64, bool) {
		n, found, err := unstructured.NestedInt64(content.Object, path...)
		return n, found && err == nil
	}
	pods, said := number("spec", "replicas")
	replicas, counts := number("status", "replicas")
	updated, counted := number("status", "updatedReplicas")
	seen := observed(content)
	scaledToZero = said && pods == 0 && counts && replicas == 0 && seen
	if !said {
		pods = 1
	}
	if !counted || !counts {
		return ProgressUnknown, false, scaledToZero
	}
	return progress(seen, updated, replicas, pods), false, scaledToZero
}

// selectorOf returns the label selector of an object's pods.
func selectorOf(object any) string {
	var selector *metav1.LabelSelector
	switch typed := object.(type) {
	case *appsv1.Deployment:
		selector = typed.Spec.Selector
	case *appsv1.StatefulSet:
		selector = typed.Spec.Selector
	case *appsv1.DaemonSet:
		selector = typed.Spec.Selector
	case *unstructured.Unstructured:
		fields, found, err := unstructured.NestedMap(typed.Object, "spec", "selector")
		if !found || err != nil {
			return ""
		}
		selector = &metav1.LabelSelector{}
		_, hasLabels := fields["matchLabels"]
		_, hasExpressions := fields["matchExpressions"]
		if !hasLabels && !hasExpressions { // as in a DeploymentConfig
			fields = map[string]any{"matchLabels": fields}
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, selector); err != nil {
			return ""
		}
	}
	if selector == nil {
		return ""
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil || parsed.Empty() {
		return ""
	}
	return parsed.String()
}

// ownTemplate returns a digest of a template without what inpod writes. encoded is the template as it is.
func ownTemplate(template *corev1.PodTemplateSpec, encoded []byte) ([sha256.Size]byte, error) {
	if !hasOurs(template) {
		return sha256.Sum256(encoded), nil
	}
	own := template.DeepCopy()
	delete(own.Annotations, annotation.LastReloadedFrom)
	if len(own.Annotations) == 0 {
		own.Annotations = nil
	}
	for i := range own.Spec.Containers {
		c := &own.Spec.Containers[i]
		c.Env = slices.DeleteFunc(c.Env, func(v corev1.EnvVar) bool { return isConfigHash(v.Name, v.Value) })
		if len(c.Env) == 0 {
			c.Env = nil
		}
	}
	text, err := own.Marshal()
	return sha256.Sum256(text), err
}

// ownRaw is the same for a template that came as JSON, so that fields count which inpod does not know.
func ownRaw(raw any, template *corev1.PodTemplateSpec, encoded []byte) ([sha256.Size]byte, error) {
	fields, ok := raw.(map[string]any)
	if !ok || !hasOurs(template) {
		return sha256.Sum256(encoded), nil
	}
	own := runtime.DeepCopyJSON(fields)
	unstructured.RemoveNestedField(own, "metadata", "annotations", annotation.LastReloadedFrom)
	if left, _, err := unstructured.NestedMap(own, "metadata", "annotations"); err == nil && len(left) == 0 {
		unstructured.RemoveNestedField(own, "metadata", "annotations")
	}
	if left, _, err := unstructured.NestedMap(own, "metadata"); err == nil && len(left) == 0 {
		unstructured.RemoveNestedField(own, "metadata")
	}
	containers, _, err := unstructured.NestedSlice(own, "spec", "containers")
	if err != nil {
		return sha256.Sum256(encoded), nil //nolint:nilerr // a template that cannot be used has its own fault
	}
	for _, one := range containers {
		c, ok := one.(map[string]any)
		env, has := c["env"].([]any)
		if !ok || !has {
			continue
		}
		c["env"] = slices.DeleteFunc(env, func(v any) bool {
			fields, _ := v.(map[string]any)
			name, _ := fields["name"].(string)
			value, _ := fields["value"].(string)
			return isConfigHash(name, value)
		})
		if left, _ := c["env"].([]any); len(left) == 0 {
			delete(c, "env")
		}
	}
	if err := unstructured.SetNestedSlice(own, containers, "spec", "containers"); err != nil {
		return sha256.Sum256(encoded), nil //nolint:nilerr // as above
	}
	text, err := json.Marshal(own)
	return sha256.Sum256(text), err
}

// hasOurs reports whether a template has anything that a rollout of inpod writes.
func hasOurs(template *corev1.PodTemplateSpec) bool {
	if _, has := template.Annotations[annotation.LastReloadedFrom]; has {
		return true
	}
	for i := range template.Spec.Containers {
		if slices.ContainsFunc(template.Spec.Containers[i].Env, func(v corev1.EnvVar) bool { return isConfigHash(v.Name, v.Value) }) {
			return true
		}
	}
	return false
}

// isConfigHash distinguishes a variable of a rollout from one that a user happened to name like it.
func isConfigHash(name, value string) bool {
	return strings.HasPrefix(name, VariablePrefix) && configHash.MatchString(value)
}

var configHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// templateTime returns when others than inpod have written the template last, or later.
func templateTime(object metav1.Object) time.Time {
	var last time.Time
	for _, entry := range object.GetManagedFields() {
		if entry.Manager == annotation.FieldManager || entry.Time == nil || entry.FieldsV1 == nil || entry.Subresource != "" {
			continue
		}
		if entry.Time.After(last) && strings.Contains(entry.FieldsV1.String(), `"f:template"`) {
			last = entry.Time.Time
		}
	}
	return last
}

// restoredBy returns the field manager that wrote the baseline last if that is not inpod, and then what inpod wrote
// last in the template. It returns the time at which the last writer of the baseline, inpod or not, wrote the object
// last. Whoever changes a value owns it alone from then on, and whoever made the variable keeps its name
// (https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management).
func restoredBy(object metav1.Object) (manager string, hashes []string, at time.Time) {
	if _, has := object.GetAnnotations()[annotation.Baseline]; !has {
		return "", nil, time.Time{}
	}
	const field = `"f:` + annotation.Baseline + `"`
	for _, entry := range object.GetManagedFields() {
		if entry.FieldsV1 == nil {
			continue
		}
		fields := entry.FieldsV1.String()
		if entry.Manager == annotation.FieldManager {
			for _, match := range ownHash.FindAllStringSubmatch(fields, -1) {
				hashes = append(hashes, match[1]+match[2])
			}
		}
		switch has := strings.Contains(fields, field); {
		case has && entry.Manager == annotation.FieldManager && entry.Time != nil:
			return "", nil, entry.Time.Time
		case has && entry.Manager == annotation.FieldManager:
			return "", nil, time.Time{}
		case has:
			manager = entry.Manager
			if entry.Time != nil && entry.Time.After(at) {
				at = entry.Time.Time
			}
		}
	}
	if manager == "" {
		return "", nil, time.Time{}
	}
	return manager, hashes, at
}

var ownHash = regexp.MustCompile(`\\"name\\":\\"(STAKATER_[A-Z0-9_]+)\\"}":\{[^{}]*(?:\{\}[^{}]*)*"f:value"|f:(` + regexp.QuoteMeta(annotation.LastReloadedFrom) + `)`)
