package workload

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// FromJSON returns the row of a kind that is read as JSON, with its pod template at a path.
func FromJSON(kind string, resource schema.GroupVersionResource, path ...string) Kind {
	return Kind{
		Name: kind, Resource: resource, Path: path,
		New: func() runtime.Object {
			object := &unstructured.Unstructured{}
			object.SetGroupVersionKind(resource.GroupVersion().WithKind(kind))
			return object
		},
		rolling: rollingJSON, progress: progressJSON,
		refused: refusedJSON,
		pods: func(object any) int32 {
			content, ok := object.(*unstructured.Unstructured)
			if !ok {
				return UnknownPods
			}
			replicas, has, err := unstructured.NestedInt64(content.Object, "status", "replicas")
			if !has || err != nil {
				return UnknownPods
			}
			return int32(min(replicas, UnknownPods)) //nolint:gosec // bounded
		},
	}
}

// UnknownPods is more pods than any workload has, so that those which are found are never all of them.
const UnknownPods = 1 << 30

// Rollout is the kind of Argo Rollouts.
func Rollout() Kind {
	kind := FromJSON("Rollout", schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}, "spec", "template")
	kind.Ref, kind.Restart = []string{"spec", "workloadRef"}, []string{"spec", "restartAt"}
	kind.rolling = rollingRollout
	kind.progress = func(object any) (p Progress, onDelete, scaledToZero bool) { return progressJSON(withZeros(object)) }
	kind.HashLabel = "rollouts-pod-template-hash" // argo-rollouts, pkg/apis/rollouts/v1alpha1/types.go DefaultRolloutUniqueLabelKey
	return kind
}

// DeploymentConfig is the kind of OpenShift.
func DeploymentConfig() Kind {
	return FromJSON("DeploymentConfig",
		schema.GroupVersionResource{Group: "apps.openshift.io", Version: "v1", Resource: "deploymentconfigs"}, "spec", "template")
}

// With returns the table with one more row. A name that is taken is followed by the group.
func (t Table) With(kind Kind) Table {
	if _, taken := t.Of(kind.Name); taken {
		kind.Name += "." + kind.Resource.Group
	}
	return append(slices.Clip(t), kind)
}

// Shape says which parts of an object exist that a patch by positions adds to or replaces.
type Shape struct {
	// Annotated, TemplateMetadata and TemplateAnnotated report that the object has annotations, and its template
	// metadata and annotations, be they empty.
	Annotated, TemplateMetadata, TemplateAnnotated bool
	// Applied reports whether the object was written by kubectl apply, on the client's side: the next one puts back
	// each list in which anything differs, as a whole.
	Applied bool
	// Env is of each of the regular containers, in their order.
	Env []Env
}

// Env is the list of variables of one container.
type Env struct {
	// Exists reports whether there is a list, even if it is empty.
	Exists bool
	// At are the positions of the variables whose names begin with [VariablePrefix].
	At map[string]int
}

// jsonView reduces an object that came as JSON. One that cannot be read is a view with a fault and not an error, so that
// it does not block the others of its kind.
func (k Kind) jsonView(object metav1.Object, keep func(string) bool) (View, error) {
	raw, err := k.raw(object)
	if err != nil {
		return View{}, err
	}
	encoded, err := json.Marshal(raw) // and not the decoded template, so that unknown fields count
	if err != nil {
		return View{}, fmt.Errorf("%s: encoding the pod template: %w", k.KeyOf(object), err)
	}
	template, err := decoded(raw)
	templateOwner, refErr := k.templateOwner(object)
	switch {
	case refErr != nil:
		err = refErr
	case templateOwner != Key{}:
		template, err = &corev1.PodTemplateSpec{}, nil
	case err == nil && raw == nil:
		err = errors.New("there is none")
	case err == nil && len(template.Spec.Containers) == 0:
		err = errors.New("it has no containers")
	case err != nil:
		template = &corev1.PodTemplateSpec{}
	}
	own, ownErr := ownRaw(raw, template, encoded)
	if ownErr != nil {
		return View{}, fmt.Errorf("%s: encoding the pod template: %w", k.KeyOf(object), ownErr)
	}
	view := k.view(object, template, encoded, keep)
	view.TemplateOwner, view.OwnTemplate = templateOwner, own
	if err != nil {
		view.Fault = fmt.Sprintf("the pod template at %s cannot be used: %v", strings.Join(k.Path, "."), err)
	}
	view.Shape = shapeOf(object, raw, template)
	return view, nil
}

// templateOwner returns the workload whose template an object runs; it has no name where that runs its own.
func (k Kind) templateOwner(object metav1.Object) (Key, error) {
	content, ok := object.(*unstructured.Unstructured)
	if k.Ref == nil || !ok {
		return Key{}, nil
	}
	ref, has, err := unstructured.NestedMap(content.Object, k.Ref...)
	if !has || err != nil || len(ref) == 0 {
		return Key{}, nil //nolint:nilerr // a reference that is no object is none
	}
	text := func(field string) string { s, _ := ref[field].(string); return s }
	if text("kind") != "Deployment" || !strings.HasPrefix(text("apiVersion"), "apps/") || text("name") == "" {
		return Key{}, fmt.Errorf("%s names a %s %s %q, and only the template of a Deployment of apps/v1 is followed",
			strings.Join(k.Ref, "."), text("apiVersion"), text("kind"), text("name"))
	}
	return Key{Kind: "Deployment", Namespace: object.GetNamespace(), Name: text("name")}, nil
}

// raw returns the pod template of an object as it came, nil where there is none.
func (k Kind) raw(object any) (any, error) {
	content, ok := object.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("a %T is no %s", object, k.Name)
	}
	if gvk := content.GroupVersionKind(); gvk.Kind != k.APIKind() || gvk.Group != k.Resource.Group {
		return nil, fmt.Errorf("a %s is no %s", gvk, k.Name)
	}
	var at any = content.Object
	for _, field := range k.Path {
		fields, ok := at.(map[string]any)
		if !ok {
			return nil, nil //nolint:nilnil // there is none
		}
		at = fields[field]
	}
	return at, nil
}

// decoded is a pod template for reading. Fields that inpod does not know are not in it.
func decoded(raw any) (*corev1.PodTemplateSpec, error) {
	template := &corev1.PodTemplateSpec{}
	if raw == nil {
		return template, nil
	}
	fields, ok := raw.(map[string]any)
	if !ok {
		return nil, errors.New("it is not an object")
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, template); err != nil {
		return nil, fmt.Errorf("it is not a pod template: %w", err)
	}
	return template, nil
}

func shapeOf(object metav1.Object, raw any, template *corev1.PodTemplateSpec) *Shape {
	content, ok := object.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	shape := &Shape{
		Applied:           content.GetAnnotations()[corev1.LastAppliedConfigAnnotation] != "",
		Annotated:         isObject(content.Object, "metadata", "annotations"),
		TemplateMetadata:  isObject(raw, "metadata"),
		TemplateAnnotated: isObject(raw, "metadata", "annotations"),
	}
	for i := range template.Spec.Containers {
		c := &template.Spec.Containers[i]
		env := Env{Exists: c.Env != nil}
		for at := range c.Env {
			if !strings.HasPrefix(c.Env[at].Name, VariablePrefix) {
				continue
			}
			if env.At == nil {
				env.At = map[string]int{}
			}
			env.At[c.Env[at].Name] = at
		}
		shape.Env = append(shape.Env, env)
	}
	return shape
}

func isObject(at any, path ...string) bool {
	for _, field := range path {
		fields, ok := at.(map[string]any)
		if !ok {
			return false
		}
		at = fields[field]
	}
	_, ok := at.(map[string]any)
	return ok
}
