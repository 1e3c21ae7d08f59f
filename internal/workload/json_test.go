package workload_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

func cloneSet(tb testing.TB) workload.Kind {
	tb.Helper()
	kind, ok := table(tb).Of("CloneSet")
	if !ok {
		tb.Fatal("no CloneSet")
	}
	return kind
}

func clones(kind workload.Kind, parts ...obj.Part) *unstructured.Unstructured {
	return obj.JSON(kind.APIVersion(), kind.APIKind(), "web", kind.Path, parts...)
}

func set(tb testing.TB, o *unstructured.Unstructured, value any, path ...string) *unstructured.Unstructured {
	tb.Helper()
	if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
		tb.Fatal(err)
	}
	return o
}

func TestFieldsThatNobodyKnowsCount(t *testing.T) {
	t.Parallel()
	kind := cloneSet(t)
	base := view(t, kind, clones(kind))
	edited := view(t, kind, set(t, clones(kind), "other", "spec", "template", "spec", "unknown"))
	if edited.Template == base.Template {
		t.Error("an edit of an unknown field of the template is not seen")
	}
	if elsewhere := view(t, kind, set(t, clones(kind), "other", "spec", "unknown")); !elsewhere.Same(base) {
		t.Error("an edit outside the template counts")
	}
}

func TestShape(t *testing.T) {
	t.Parallel()
	kind := cloneSet(t)
	o := clones(kind, obj.Annotation("a", "1"), obj.TemplateAnnotation("a", "1"), obj.Var("FIRST", "1"), obj.Var("STAKATER_A_SECRET", "1"),
		obj.Container("bare"), obj.Container("empty"))
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	containers[2].(map[string]any)["env"] = []any{}
	set(t, o, containers, "spec", "template", "spec", "containers")
	want := &workload.Shape{
		Annotated: true, TemplateMetadata: true, TemplateAnnotated: true,
		Env: []workload.Env{{Exists: true, At: map[string]int{"STAKATER_A_SECRET": 1}}, {}, {Exists: true}},
	}
	if diff := cmp.Diff(want, view(t, kind, o).Shape); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	bare := clones(kind)
	unstructured.RemoveNestedField(bare.Object, "spec", "template", "metadata")
	if diff := cmp.Diff(&workload.Shape{Env: []workload.Env{{}}}, view(t, kind, bare).Shape); diff != "" {
		t.Errorf("of nothing (-want +got):\n%s", diff)
	}
}

// One object that cannot be read must not keep the others of its kind from being listed.
func TestATemplateThatCannotBeUsedIsAFault(t *testing.T) {
	t.Parallel()
	kind := cloneSet(t)
	for name, c := range map[string]struct {
		template any
		want     string
	}{
		"no template":       {nil, "there is none"},
		"a text":            {"x", "it is not an object"},
		"a list too little": {map[string]any{"spec": map[string]any{"containers": "app"}}, "it is not a pod template"},
		"no containers":     {map[string]any{"spec": map[string]any{}}, "it has no containers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := view(t, kind, set(t, clones(kind, obj.Annotation("a", "1")), c.template, "spec", "template"))
			if !strings.Contains(v.Fault, c.want) || !strings.Contains(v.Fault, "spec.template") {
				t.Errorf("fault %q, want %q", v.Fault, c.want)
			}
			if v.Annotations["a"] != "1" || v.Key.Name != "web" {
				t.Errorf("the rest is not there: %+v", v)
			}
		})
	}
	if v := view(t, kind, clones(kind)); v.Fault != "" {
		t.Errorf("fault %q", v.Fault)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"CloneSet=apps.kruise.io/v1alpha1/clonesets":            "CloneSet apps.kruise.io/v1alpha1 clonesets at spec.template",
		"Service=serving.knative.dev/v1/services:spec.template": "Service serving.knative.dev/v1 services at spec.template",
		"Thing=example.com/v1/things:spec.of.podTemplate":       "Thing example.com/v1 things at spec.of.podTemplate",
		"ReplicationController=v1/replicationcontrollers":       "ReplicationController v1 replicationcontrollers at spec.template",
		"CloneSet":                 `write KIND=`,
		"=a/v1/b":                  `"" is not a kind`,
		"cloneSet=a/v1/b":          `"cloneSet" is not a kind`,
		"A=clonesets":              `"clonesets" is not GROUP/VERSION/RESOURCE`,
		"A=a/b/c/d":                `"a/b/c/d" is not GROUP/VERSION/RESOURCE`,
		"A=A_/v1/b":                `"A_" is not an API group`,
		"A=a//b":                   `"" is not an API version`,
		"A=a/v1/CloneSets":         `"CloneSets" is not a resource`,
		"A=a/v1/b:":                `"" is not a path`,
		"A=a/v1/b:spec.template.0": `"spec.template.0" is not a path`,
	} {
		kind, err := workload.Parse(text)
		got := kind.Name + " " + kind.APIVersion() + " " + kind.Resource.Resource + " at " + strings.Join(kind.Path, ".")
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s; want %s", text, got, want)
		}
	}
}

func TestNamesInATableDiffer(t *testing.T) {
	t.Parallel()
	all := table(t)
	kind, ok := all.Of("StatefulSet.apps.kruise.io")
	if !ok || kind.APIKind() != "StatefulSet" || kind.APIVersion() != "apps.kruise.io/v1beta1" {
		t.Errorf("%t, %+v", ok, kind)
	}
	if kind, _ := all.Of("StatefulSet"); kind.Path != nil {
		t.Error("the StatefulSet of Kubernetes is another one")
	}
	base := workload.Kinds()
	one, two := base.With(workload.Rollout()), base.With(workload.DeploymentConfig())
	if _, has := one.Of("Rollout"); !has || len(two) != len(base)+1 {
		t.Errorf("a table that was added to changes another: %d and %d rows", len(one), len(two))
	}
}

func TestAWorkloadMayRunTheTemplateOfAnother(t *testing.T) {
	t.Parallel()
	rollout := workload.Rollout()
	ref := func(apiVersion, kind, name string) map[string]any {
		return map[string]any{"apiVersion": apiVersion, "kind": kind, "name": name}
	}
	for name, c := range map[string]struct {
		ref   any
		want  string // the name of the Deployment
		fault string
	}{
		"a Deployment":     {ref("apps/v1", "Deployment", "web"), "web", ""},
		"a ReplicaSet":     {ref("apps/v1", "ReplicaSet", "web"), "", `spec.workloadRef names a apps/v1 ReplicaSet "web"`},
		"another group":    {ref("example.com/v1", "Deployment", "web"), "", "only the template of a Deployment of apps/v1 is followed"},
		"without a name":   {ref("apps/v1", "Deployment", ""), "", "only the template of a Deployment of apps/v1 is followed"},
		"nothing in it":    {map[string]any{}, "", "there is none"},
		"nothing sensible": {"x", "", "there is none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := set(t, set(t, clones(rollout), nil, "spec", "template"), c.ref, "spec", "workloadRef")
			v := view(t, rollout, o)
			if v.TemplateOwner.Name != c.want || !strings.Contains(v.Fault, c.fault) || (c.fault == "") != (v.Fault == "") {
				t.Errorf("template owner %s, fault %q", v.TemplateOwner, v.Fault)
			}
			if own := view(t, rollout, clones(rollout)); own.Same(v) || own.TemplateOwner != (workload.Key{}) {
				t.Errorf("one with a template of its own is the same: %+v", own)
			}
		})
	}
	other := cloneSet(t)
	if v := view(t, other, set(t, clones(other), ref("apps/v1", "Deployment", "web"), "spec", "workloadRef")); v.TemplateOwner != (workload.Key{}) {
		t.Errorf("a CloneSet has no such field: %s", v.TemplateOwner)
	}
}
