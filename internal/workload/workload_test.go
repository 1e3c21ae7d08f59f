package workload_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// table has every row there is, and some that a configuration may add: at another path, and of a name that is taken.
func table(tb testing.TB) workload.Table {
	tb.Helper()
	all := workload.Kinds().With(workload.CronJob()).With(workload.JobKind()).With(workload.Rollout()).With(workload.DeploymentConfig())
	for _, text := range []string{
		"CloneSet=apps.kruise.io/v1alpha1/clonesets", "Thing=example.com/v1/things:spec.of.podTemplate",
		"StatefulSet=apps.kruise.io/v1beta1/statefulsets",
	} {
		kind, err := workload.Parse(text)
		if err != nil {
			tb.Fatal(err)
		}
		all = all.With(kind)
	}
	return all
}

// object returns an object of a kind, made by what objtest has for it.
func object(tb testing.TB, kind workload.Kind, name string, parts ...obj.Part) metav1.Object {
	tb.Helper()
	if kind.Path != nil {
		return obj.JSON(kind.APIVersion(), kind.APIKind(), name, kind.Path, parts...)
	}
	switch kind.Name {
	case "Deployment":
		return obj.Deployment(name, parts...)
	case "StatefulSet":
		return obj.StatefulSet(name, parts...)
	case "DaemonSet":
		return obj.DaemonSet(name, parts...)
	case "CronJob":
		return obj.CronJob(name, parts...)
	case "Job":
		return obj.Job(name, parts...)
	}
	tb.Fatalf("a new kind, %s: let objtest build it, and name it here", kind.Name)
	return nil
}

func keepAll(string) bool { return true }

func view(tb testing.TB, kind workload.Kind, object metav1.Object) workload.View {
	tb.Helper()
	v, err := kind.View(object, keepAll)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// What holds for every kind of workload.
func TestContract(t *testing.T) {
	t.Parallel()
	for _, kind := range table(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			t.Run("the row is that of the API", func(t *testing.T) { apiRow(t, kind) })
			t.Run("a view has what decisions need", func(t *testing.T) { fullView(t, kind) })
			t.Run("the digest is that of the template", func(t *testing.T) { digest(t, kind) })
			t.Run("a write elsewhere leaves a view the same", func(t *testing.T) { same(t, kind) })
			t.Run("another kind is refused", func(t *testing.T) { refused(t, kind) })
		})
	}
}

func apiRow(t *testing.T, kind workload.Kind) {
	created := kind.New().GetObjectKind().GroupVersionKind()
	if kind.Path == nil {
		kinds, _, err := scheme.Scheme.ObjectKinds(kind.New())
		if err != nil {
			t.Fatal(err)
		}
		created = kinds[0]
	}
	if created.Kind != kind.APIKind() || created.GroupVersion().String() != kind.APIVersion() {
		t.Errorf("New makes a %s, the row says %s %s", created, kind.APIVersion(), kind.Name)
	}
	if want := strings.ToLower(kind.APIKind()) + "s"; kind.Resource.Resource != want {
		t.Errorf("resource %s, want %s", kind.Resource.Resource, want)
	}
	if template, err := kind.Template(kind.New()); template == nil || err != nil {
		t.Errorf("an empty object has no template: %v", err)
	}
	if found, ok := table(t).Of(kind.Name); !ok || found.Name != kind.Name || found.Resource != kind.Resource {
		t.Errorf("Of(%q) = %+v, %t", kind.Name, found, ok)
	}
}

// podsWithoutStatus is how many pods an object without a status has.
func podsWithoutStatus(kind workload.Kind) int {
	if kind.Path != nil || kind.Name == "CronJob" {
		return workload.UnknownPods
	}
	return 0
}

func cronOf(kind workload.Kind) *workload.Cron {
	if kind.Name == "CronJob" {
		return &workload.Cron{}
	}
	return nil
}

func jobOf(kind workload.Kind) *workload.Job {
	if kind.Name == "Job" {
		return &workload.Job{}
	}
	return nil
}

func fullView(t *testing.T, kind workload.Kind) {
	parts := []obj.Part{
		obj.Annotation("keep", "1"), obj.Annotation("drop", "1"), obj.TemplateAnnotation("keep", "2"), obj.TemplateAnnotation("drop", "2"),
		obj.Container("app"), obj.Mount(obj.CM("a")), obj.Var("STAKATER_A_CONFIGMAP", "old"), obj.Var("STAKATER_A_CONFIGMAP", "1"), obj.Var("OTHER", "x"),
		obj.Container("second"), obj.Env(obj.Sec("b"), "k"), obj.Var("STAKATER_B_SECRET", "2"),
		obj.Init("setup"), obj.Var("STAKATER_C_SECRET", "3"),
	}
	o := object(t, kind, "web", parts...)
	written := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	o.SetResourceVersion("42")
	o.SetManagedFields([]metav1.ManagedFieldsEntry{
		{Manager: "kubectl", Time: new(metav1.NewTime(written))}, {Manager: "old", Time: new(metav1.NewTime(written.Add(-time.Hour)))}, {Manager: "timeless"},
	})
	template := obj.Template(parts...)
	got, err := kind.View(o, func(key string) bool { return key == "keep" })
	if err != nil {
		t.Fatal(err)
	}
	got.Rolling, got.Progress, got.Selector, got.MaxUnavailable = false, "", "", 0 // an object without a status has just been made, see rolling_test.go
	want := workload.View{
		Key:                 workload.Key{Kind: kind.Name, Namespace: obj.Namespace, Name: "web"},
		UID:                 "uid-of-web",
		Version:             42,
		Annotations:         map[string]string{"keep": "1"},
		TemplateAnnotations: map[string]string{"keep": "2"},
		Usages:              source.Usages(obj.Namespace, &template.Spec),
		Containers:          []string{"app", "second"},
		Variables:           map[string]string{"app/STAKATER_A_CONFIGMAP": "1", "second/STAKATER_B_SECRET": "2"},
		Template:            got.Template,
		OwnTemplate:         got.OwnTemplate,
		Cron:                cronOf(kind),
		Job:                 jobOf(kind),
		Shape:               got.Shape,
		Pods:                podsWithoutStatus(kind),
		Written:             source.Moment{Version: 42, Time: written},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if (got.Shape != nil) != (kind.Path != nil) {
		t.Errorf("shape %+v", got.Shape)
	}

	o.SetDeletionTimestamp(new(metav1.Now()))
	o.SetResourceVersion("not a number")
	if v := view(t, kind, o); !v.Deleting || v.Version != 0 || v.Written.Version != 0 {
		t.Errorf("deleting %t, version %d, written %+v", v.Deleting, v.Version, v.Written)
	}
	if v := view(t, kind, object(t, kind, "bare")); v.Annotations != nil || v.TemplateAnnotations != nil || v.Variables != nil || !v.Written.Time.IsZero() {
		t.Errorf("an object without anything has a view with something: %+v", v)
	}
}

func digest(t *testing.T, kind workload.Kind) {
	many := []obj.Part{obj.Mount(obj.CM("a")), obj.Env(obj.Sec("b"), "k")}
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		many = append(many, obj.TemplateAnnotation(key, key), obj.Label(key, key))
	}
	base := view(t, kind, object(t, kind, "web", many...))
	for range 20 { // maps have another order each time
		if again := view(t, kind, object(t, kind, "web", many...)); again.Template != base.Template {
			t.Fatal("one template has two digests")
		}
	}
	for name, part := range map[string]obj.Part{
		"an annotation":  obj.TemplateAnnotation("a", "other"),
		"a label":        obj.Label("g", ""),
		"a usage":        obj.EnvFrom(obj.CM("c")),
		"a variable":     obj.Var("A", ""),
		"a container":    obj.Container("second"),
		"a volume alone": obj.Unmounted(obj.CM("c")),
	} {
		if edited := view(t, kind, object(t, kind, "web", append(slices.Clone(many), part)...)); edited.Template == base.Template || edited.Same(base) {
			t.Errorf("%s more is not seen", name)
		}
	}
}

func same(t *testing.T, kind workload.Kind) {
	web := func() metav1.Object {
		return object(t, kind, "web", obj.Annotation("a", "1"), obj.TemplateAnnotation("a", "1"), obj.Mount(obj.CM("a")))
	}
	base := view(t, kind, web())
	for name, tc := range map[string]struct {
		edit func(metav1.Object)
		want bool
	}{
		"nothing":      {func(metav1.Object) {}, true},
		"the version":  {func(o metav1.Object) { o.SetResourceVersion("99") }, true},
		"a label":      {func(o metav1.Object) { o.SetLabels(map[string]string{"a": "b"}) }, true},
		"the status":   {setStatus, true},
		"the replicas": {setReplicas, true},
		"managed fields": {func(o metav1.Object) {
			o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "x", Time: new(metav1.Now())}})
		}, true},
		"an annotation":       {func(o metav1.Object) { o.SetAnnotations(map[string]string{"a": "2"}) }, false},
		"no annotations":      {func(o metav1.Object) { o.SetAnnotations(nil) }, false},
		"the deletion begins": {func(o metav1.Object) { o.SetDeletionTimestamp(new(metav1.Now())) }, false},
		"another object":      {func(o metav1.Object) { o.SetUID("other") }, false},
		"the template":        {func(o metav1.Object) { annotateTemplate(t, kind, o, map[string]string{"a": "2"}) }, false},
	} {
		o := web()
		tc.edit(o)
		if got := view(t, kind, o).Same(base); got != tc.want {
			t.Errorf("%s: same %t", name, got)
		}
	}
}

func refused(t *testing.T, kind workload.Kind) {
	if _, err := kind.View(obj.ConfigMap("a"), keepAll); err == nil || !strings.Contains(err.Error(), kind.Name) || !strings.Contains(err.Error(), "ConfigMap") {
		t.Errorf("error %v, want one that names both kinds", err)
	}
	for _, other := range table(t) {
		if _, err := kind.Template(other.New()); (err == nil) != (other.Name == kind.Name) {
			t.Errorf("a %s as a %s: %v", other.Name, kind.Name, err)
		}
	}
	if _, err := kind.Template(nil); err == nil {
		t.Error("nothing has a template")
	}
}

func annotateTemplate(tb testing.TB, kind workload.Kind, o metav1.Object, annotations map[string]string) {
	tb.Helper()
	if raw, ok := o.(*unstructured.Unstructured); ok {
		if err := unstructured.SetNestedStringMap(raw.Object, annotations, append(slices.Clone(kind.Path), "metadata", "annotations")...); err != nil {
			tb.Fatal(err)
		}
		return
	}
	template, err := kind.Template(o)
	if err != nil {
		tb.Fatal(err)
	}
	template.Annotations = annotations
}

func setStatus(o metav1.Object) {
	switch typed := o.(type) {
	case *appsv1.Deployment:
		typed.Status.ReadyReplicas = 3
	case *appsv1.StatefulSet:
		typed.Status.ReadyReplicas = 3
	case *appsv1.DaemonSet:
		typed.Status.NumberReady = 3
	case *unstructured.Unstructured:
		typed.Object["status"] = map[string]any{"readyReplicas": int64(3)}
	}
}

func setReplicas(o metav1.Object) {
	switch typed := o.(type) {
	case *appsv1.Deployment:
		typed.Spec.Replicas = new(int32(3))
	case *appsv1.StatefulSet:
		typed.Spec.Replicas = new(int32(3))
	case *unstructured.Unstructured:
		typed.Object["spec"].(map[string]any)["replicas"] = int64(3)
	}
}

func TestViewLeavesTheObjectAlone(t *testing.T) {
	t.Parallel()
	for _, kind := range table(t) {
		o := object(t, kind, "web", obj.Annotation("a", "1"), obj.Mount(obj.CM("a")), obj.Var("STAKATER_X", "1"))
		before := o.(runtime.Object).DeepCopyObject()
		v := view(t, kind, o)
		v.Annotations["a"], v.Usages[0].Ref.Name, v.Variables["app/STAKATER_X"], v.Containers[0] = "2", "b", "2", "b"
		if diff := cmp.Diff(before, o.(runtime.Object)); diff != "" {
			t.Errorf("%s was modified:\n%s", kind.Name, diff)
		}
	}
}

func TestKindOfUnknown(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "Pod", "deployment", "Deployments"} {
		if kind, ok := workload.KindOf(name); ok {
			t.Errorf("%q is %s", name, kind.Name)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	if got := (workload.Key{Kind: "Deployment", Namespace: "shop", Name: "web"}).String(); got != "Deployment shop/web" {
		t.Errorf("got %q", got)
	}
	ordered := []workload.Key{
		{Kind: "StatefulSet", Namespace: "a", Name: "a"},
		{Kind: "Deployment", Namespace: "b", Name: "b"},
		{Kind: "StatefulSet", Namespace: "b", Name: "a"},
		{Kind: "StatefulSet", Namespace: "b", Name: "b"},
	}
	shuffled := []workload.Key{ordered[2], ordered[3], ordered[1], ordered[0]}
	slices.SortFunc(shuffled, workload.Key.Compare)
	if diff := cmp.Diff(ordered, shuffled); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRefs(t *testing.T) {
	t.Parallel()
	kind, _ := workload.KindOf("Deployment")
	v := view(t, kind, obj.Deployment("web", obj.Env(obj.Sec("b"), "k"), obj.Mount(obj.CM("z")), obj.Mount(obj.CM("a")), obj.EnvFrom(obj.CM("z"))))
	var got []string
	for _, ref := range v.Refs() {
		got = append(got, ref.String())
	}
	if diff := cmp.Diff([]string{"ConfigMap shop/a", "ConfigMap shop/z", "Secret shop/b"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if v.Usages[0].Via != source.ViaVolume || v.Usages[0].Ref.Name != "z" {
		t.Error("the order of the usages has changed")
	}
}

func BenchmarkView(b *testing.B) {
	kind, _ := workload.KindOf("Deployment")
	o := obj.Deployment("web", obj.Annotation("a", "1"), obj.Mount(obj.CM("app")), obj.SubPath(obj.CM("nginx"), "nginx.conf"), obj.Env(obj.Sec("db"), "password"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := kind.View(o, keepAll); err != nil {
			b.Fatal(err)
		}
	}
}
