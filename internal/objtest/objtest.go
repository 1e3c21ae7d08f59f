// Package objtest builds Kubernetes objects for tests, so that a pod template
// with five usages is one line that can be read:
//
//	objtest.Deployment("web", objtest.Mount(objtest.CM("app")), objtest.SubPath(objtest.CM("nginx"), "nginx.conf"),
//		objtest.Env(objtest.Sec("db"), "password"), objtest.EnvFrom(objtest.CM("flags")), objtest.CSI("vault"))
//
// Parts are applied in their order. Those of a container belong to the last
// one that [Container], [Init] or [Sidecar] has begun, and to a regular
// container "app" before that. The package knows nothing of inpod's own types,
// so that tests of all packages may use it.
package objtest

import (
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Namespace is where all objects of tests are.
const Namespace = "shop"

// Part is one thing that an object has.
type Part func(*building)

// building is an object under construction.
type building struct {
	meta     *metav1.ObjectMeta
	template *corev1.PodTemplateSpec
	// current returns the container that parts are added to. It is found again each time, since appending to a list
	// moves it.
	current func() *corev1.Container
}

// build applies parts to an object with a pod template.
func build(meta *metav1.ObjectMeta, template *corev1.PodTemplateSpec, parts []Part) {
	b := &building{meta: meta, template: template}
	for _, part := range parts {
		part(b)
	}
	if len(template.Spec.Containers) == 0 {
		b.begin(&template.Spec.Containers, corev1.Container{Name: "app"})
	}
}

func (b *building) container() *corev1.Container {
	if b.current == nil {
		b.begin(&b.template.Spec.Containers, corev1.Container{Name: "app"})
	}
	return b.current()
}

func (b *building) begin(list *[]corev1.Container, c corev1.Container) {
	c.Image = "example.com/" + c.Name + ":1"
	*list = append(*list, c)
	at := len(*list) - 1
	b.current = func() *corev1.Container { return &(*list)[at] }
}

// meta gives what every object has.
func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: Namespace, UID: types.UID("uid-of-" + name), ResourceVersion: "1"}
}

// Template returns a pod template.
func Template(parts ...Part) *corev1.PodTemplateSpec {
	template := &corev1.PodTemplateSpec{}
	build(&metav1.ObjectMeta{}, template, parts)
	return template
}

// Spec returns the pod spec of such a template.
func Spec(parts ...Part) *corev1.PodSpec { return &Template(parts...).Spec }

// Deployment returns a Deployment.
func Deployment(name string, parts ...Part) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: meta(name)}
	d.Spec.Selector = selector(name, &d.Spec.Template)
	build(&d.ObjectMeta, &d.Spec.Template, parts)
	return d
}

// StatefulSet returns a StatefulSet.
func StatefulSet(name string, parts ...Part) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{ObjectMeta: meta(name)}
	s.Spec.Selector = selector(name, &s.Spec.Template)
	build(&s.ObjectMeta, &s.Spec.Template, parts)
	return s
}

// DaemonSet returns a DaemonSet.
func DaemonSet(name string, parts ...Part) *appsv1.DaemonSet {
	d := &appsv1.DaemonSet{ObjectMeta: meta(name)}
	d.Spec.Selector = selector(name, &d.Spec.Template)
	build(&d.ObjectMeta, &d.Spec.Template, parts)
	return d
}

// CronJob returns a CronJob that runs every hour.
func CronJob(name string, parts ...Part) *batchv1.CronJob {
	c := &batchv1.CronJob{ObjectMeta: meta(name)}
	c.Spec.Schedule = "0 * * * *"
	build(&c.ObjectMeta, &c.Spec.JobTemplate.Spec.Template, parts)
	return c
}

// Job returns a Job as the API server keeps it, with the selector and the labels that it has generated.
func Job(name string, parts ...Part) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: meta(name)}
	build(&j.ObjectMeta, &j.Spec.Template, parts)
	generated := map[string]string{batchv1.ControllerUidLabel: string(j.UID), batchv1.JobNameLabel: name}
	j.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{batchv1.ControllerUidLabel: string(j.UID)}}
	if j.Spec.Template.Labels == nil {
		j.Spec.Template.Labels = map[string]string{}
	}
	maps.Copy(j.Spec.Template.Labels, generated)
	return j
}

// Pod returns a pod. [Annotation] and [Label] are those of its template, which it is.
func Pod(name string, parts ...Part) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: meta(name)}
	template := &corev1.PodTemplateSpec{}
	build(&pod.ObjectMeta, template, parts)
	pod.Spec = template.Spec
	for key, value := range template.Annotations {
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, key, value)
	}
	for key, value := range template.Labels {
		metav1.SetMetaDataLabel(&pod.ObjectMeta, key, value)
	}
	return pod
}

func selector(name string, template *corev1.PodTemplateSpec) *metav1.LabelSelector {
	labels := map[string]string{"app": name}
	template.Labels = map[string]string{"app": name}
	return &metav1.LabelSelector{MatchLabels: labels}
}

// ConfigMap returns a ConfigMap with data: key, value, key, value.
func ConfigMap(name string, pairs ...string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: meta(name), Data: texts(pairs)}
}

// Binary adds binaryData to a ConfigMap: key, value, key, value.
func Binary(cm *corev1.ConfigMap, pairs ...string) *corev1.ConfigMap {
	cm.BinaryData = bytes(pairs)
	return cm
}

// Secret returns a Secret with data: key, value, key, value.
func Secret(name string, pairs ...string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: meta(name), Type: corev1.SecretTypeOpaque, Data: bytes(pairs)}
}

// Annotated adds annotations to any object: key, value, key, value.
func Annotated[T metav1.Object](object T, pairs ...string) T {
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	maps.Copy(annotations, texts(pairs))
	object.SetAnnotations(annotations)
	return object
}

func texts(pairs []string) map[string]string {
	var m map[string]string
	for pair := range slices.Chunk(pairs, 2) {
		if len(pair) == 1 {
			panic(fmt.Sprintf("objtest: the key %q has no value", pair[0]))
		}
		if m == nil {
			m = map[string]string{}
		}
		m[pair[0]] = pair[1]
	}
	return m
}

func bytes(pairs []string) map[string][]byte {
	var m map[string][]byte
	for key, value := range texts(pairs) {
		if m == nil {
			m = map[string][]byte{}
		}
		m[key] = []byte(value)
	}
	return m
}
