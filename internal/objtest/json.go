package objtest

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// JSON returns an object of a kind without a Go type, with its pod template at a path. It also has fields that nobody
// knows, in the object, in its template and in each of its containers.
func JSON(apiVersion, kind, name string, path []string, parts ...Part) *unstructured.Unstructured {
	d := &appsv1.Deployment{ObjectMeta: meta(name)}
	d.Spec.Template.Labels = map[string]string{"app": name}
	build(&d.ObjectMeta, &d.Spec.Template, parts)
	converted, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
	if err != nil {
		panic(fmt.Sprintf("objtest: %v", err)) // a Deployment always can
	}
	template, _, _ := unstructured.NestedMap(converted, "spec", "template")
	spec, _, _ := unstructured.NestedMap(template, "spec")
	spec["unknown"] = map[string]any{"deep": []any{int64(1), "two"}}
	containers, _, _ := unstructured.NestedSlice(spec, "containers")
	for _, container := range containers {
		if fields, ok := container.(map[string]any); ok {
			fields["unknown"] = "theirs"
		}
	}
	spec["containers"] = containers
	template["spec"] = spec
	object := &unstructured.Unstructured{Object: map[string]any{
		"metadata": converted["metadata"],
		"spec":     map[string]any{"replicas": int64(2), "unknown": []any{map[string]any{"setWeight": int64(20)}}},
	}}
	object.SetAPIVersion(apiVersion)
	object.SetKind(kind)
	if err := unstructured.SetNestedMap(object.Object, template, path...); err != nil {
		panic(fmt.Sprintf("objtest: %v", err))
	}
	return object
}
