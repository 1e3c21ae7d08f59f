package inject_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/internal/inject"
)

// proxy is a container of another injector, which mounts a ConfigMap of its own.
func proxy() corev1.Container {
	return corev1.Container{Name: "proxy", VolumeMounts: []corev1.VolumeMount{{Name: "mesh", MountPath: "/etc/mesh"}}}
}

func meshVolume(s *corev1.PodSpec) {
	s.Volumes = append(s.Volumes, corev1.Volume{Name: "mesh", VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "mesh"}},
	}})
}

// wrote notes, as the API server does, that somebody wrote these containers.
func wrote(operation metav1.ManagedFieldsOperationType, list string, containers ...string) change {
	return func(pod *corev1.Pod, _ *inject.Options) {
		names := map[string]any{".": struct{}{}}
		for _, name := range containers {
			key, _ := json.Marshal(map[string]string{"name": name})
			names["k:"+string(key)] = map[string]any{".": struct{}{}, "f:name": struct{}{}}
		}
		fields, _ := json.Marshal(map[string]any{"f:spec": map[string]any{list: names, "f:volumes": map[string]any{}}})
		entry := metav1.ManagedFieldsEntry{Manager: "m", Operation: operation, APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(fields))}
		pod.ManagedFields = append(pod.ManagedFields, entry)
	}
}

// wroteRaw notes fields as they are given.
func wroteRaw(fields string) change {
	return func(pod *corev1.Pod, _ *inject.Options) {
		pod.ManagedFields = append(pod.ManagedFields, metav1.ManagedFieldsEntry{Manager: "m", FieldsV1: metav1.NewFieldsV1(fields)})
	}
}

func wroteNonsense(pod *corev1.Pod, _ *inject.Options) {
	pod.ManagedFields = append(pod.ManagedFields, metav1.ManagedFieldsEntry{Manager: "m", FieldsV1: metav1.NewFieldsV1(`{"f:spec":1}`)})
}

// Whoever posts a review says what managedFields hold, and they are not counted when the memory for a review is reserved: to look
// into them takes none.
func TestManagedFieldsAreNotDecoded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"f:metadata":{`)
	for i := range 30_000 {
		fmt.Fprintf(&b, `"f:%d":{},`, i)
	}
	b.WriteString(`"f:x":{}},"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{}`)
	for i := range 15_000 {
		fmt.Fprintf(&b, `,"k:{\"name\":\"c%d\"}":{"f:name":{}}`, i)
	}
	b.WriteString("}}}")
	pod, options := nginx(spec(func(s *corev1.PodSpec) { meshVolume(s); s.Containers = append(s.Containers, proxy()) }))
	pod.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", FieldsV1: metav1.NewFieldsV1(b.String())}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, report := inject.Inject(pod, options)
	runtime.ReadMemStats(&after)
	if report.Reason != inject.Injected {
		t.Errorf("%s: %s", report.Reason, report.Message)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<18 {
		t.Errorf("%d bytes for managedFields of %d", took, b.Len())
	}
}

func TestContainersOfOtherInjectors(t *testing.T) {
	t.Parallel()
	const update, apply, containers = metav1.ManagedFieldsOperationUpdate, metav1.ManagedFieldsOperationApply, "f:containers"
	behind := spec(func(s *corev1.PodSpec) { meshVolume(s); s.Containers = append(s.Containers, proxy()) })
	before := spec(func(s *corev1.PodSpec) { meshVolume(s); s.Containers = slices.Insert(s.Containers, 0, proxy()) })
	native := spec(func(s *corev1.PodSpec) {
		meshVolume(s)
		c := proxy()
		c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		s.InitContainers = append(s.InitContainers, c)
	})
	envOnly := web(func(c *corev1.Container) { c.VolumeMounts = nil })
	second := another(corev1.Container{Name: "second"})
	for name, tc := range map[string]struct {
		changes    []change
		want       inject.Reason
		wantTarget string
	}{
		"one that was added behind":                {[]change{behind, wrote(update, containers, "web")}, inject.Injected, "web"},
		"one that was added in front":              {[]change{before, wrote(update, containers, "web")}, inject.Injected, "web"},
		"one that was added as a native sidecar":   {[]change{native, wrote(update, containers, "web")}, inject.Injected, "web"},
		"a pod that was applied":                   {[]change{behind, wrote(apply, containers, "web")}, inject.Injected, "web"},
		"a pod with two managers":                  {[]change{behind, wrote(apply, "f:other"), wrote(update, containers, "web")}, inject.Injected, "web"},
		"an application that mounts nothing":       {[]change{behind, envOnly, wrote(update, containers, "web")}, inject.NothingUsed, ""},
		"two that the author wrote, and one added": {[]change{second, behind, wrote(update, containers, "web", "second")}, inject.AmbiguousContainer, ""},
		"a proxy that the author wrote":            {[]change{behind, wrote(update, containers, "web", "proxy")}, inject.AmbiguousContainer, ""},
		"a native proxy that the author wrote":     {[]change{native, wrote(update, containers, "web"), wrote(update, "f:initContainers", "proxy")}, inject.AmbiguousContainer, ""},
		"a pod without a record of who wrote what": {[]change{behind}, inject.AmbiguousContainer, ""},
		"managed fields that cannot be read":       {[]change{behind, wrote(update, containers, "web"), wroteNonsense}, inject.AmbiguousContainer, ""},
		"managed fields with blanks, and brackets in strings": {
			[]change{behind, wroteRaw(` { "f:metadata" : {"f:labels":{"f:\"}{":{}}} , "f:spec" : { "f:containers" : { "k:{\"name\":\"web\"}" : {"f:args":[1,"]"]} } } } `)}, inject.Injected, "web",
		},
		"volumes and variables of that name": {
			[]change{behind, wroteRaw(`{"f:spec":{"f:volumes":{"k:{\"name\":\"proxy\"}":{}},"f:containers":{"k:{\"name\":\"web\"}":{"f:env":{"k:{\"name\":\"proxy\"}":{}}}}}}`)},
			inject.Injected, "web",
		},
		"keys that are written in another way":      {[]change{behind, wrote(update, containers, "web"), wroteRaw(`{"f:spec":{"f:containers":{"k:{ \"name\":\"proxy\"}":{}}}}`)}, inject.AmbiguousContainer, ""},
		"managed fields that end too early":         {[]change{behind, wroteRaw(`{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{}`)}, inject.AmbiguousContainer, ""},
		"managed fields that speak of other things": {[]change{behind, wrote(update, "f:other")}, inject.AmbiguousContainer, ""},
		"a proxy that is named":                     {[]change{behind, wrote(update, containers, "web"), annotated("inpod.dev/reload-container", "proxy")}, inject.Injected, "proxy"},
		"an application that is named":              {[]change{behind, annotated("inpod.dev/reload-container", "web")}, inject.Injected, "web"},
		"a proxy that another injector made the default": {
			[]change{second, behind, wrote(update, containers, "web", "second"), annotated("kubectl.kubernetes.io/default-container", "proxy")}, inject.AmbiguousContainer, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, options := nginx(tc.changes...)
			_, report := inject.Inject(pod, options)
			if report.Reason != tc.want || report.Record.Container != tc.wantTarget {
				t.Errorf("%s (%s), container %q; want %s, %q", report.Reason, report.Message, report.Record.Container, tc.want, tc.wantTarget)
			}
		})
	}
}

// Anybody may write anything into managedFields. What no decoder understands is not understood.
func FuzzManagedFields(f *testing.F) {
	for _, fields := range []string{
		`{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{}}}}`, `{"f:spec":{}}`, `{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":1`, `{"":[}`, `{"a":"\`, ``, `{"a"}`, `{"a":1,}`, ` { } `,
	} {
		f.Add(fields)
	}
	f.Fuzz(func(t *testing.T, fields string) {
		pod, options := nginx(spec(func(s *corev1.PodSpec) { meshVolume(s); s.Containers = append(s.Containers, proxy()) }), wroteRaw(fields))
		_, report := inject.Inject(pod, options)
		var decoded struct {
			Spec struct {
				Containers     map[string]json.RawMessage `json:"f:containers"`
				InitContainers map[string]json.RawMessage `json:"f:initContainers"`
			} `json:"f:spec"`
		}
		err := json.Unmarshal([]byte(fields), &decoded)
		isThere := len(decoded.Spec.Containers)+len(decoded.Spec.InitContainers) > 0
		if report.Reason != inject.AmbiguousContainer && json.Valid([]byte(fields)) && (err != nil || !isThere) {
			t.Errorf("%s of %q", report.Reason, fields)
		}
	})
}
