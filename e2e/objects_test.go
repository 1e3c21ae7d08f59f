//go:build e2e

package e2e_test

import (
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/e2e/internal/framework"
)

// app is a workload in the making: app{kind, name, uses…}, then what is particular to it. Its pods run a program that
// sleeps and pass Pod Security "restricted".
type app struct {
	kind, name                  string
	uses                        []use
	annotations, onTemplatePart map[string]string
	labels                      map[string]string // of the pods, beside those that select them
	replicas                    int32
	hollow                      bool
}

func deployment(name string, uses ...use) app { return newApp("Deployment", name, uses) }
func daemonSet(name string, uses ...use) app  { return newApp("DaemonSet", name, uses) }

// kinds lists the kinds of workload.
func kinds() []string { return []string{"Deployment", "StatefulSet", "DaemonSet"} }

func newApp(kind, name string, uses []use) app {
	return app{kind: kind, name: name, uses: uses, replicas: 1}
}

// idle puts the pods on a node without a kubelet: they are rolled like all others, and run nothing.
func (a app) idle() app {
	a.hollow = true
	return a
}

func (a app) scaled(replicas int32) app {
	a.replicas = replicas
	return a
}

func (a app) annotated(key, value string) app {
	a.annotations = with(a.annotations, key, value)
	return a
}

func (a app) onTemplate(key, value string) app {
	a.onTemplatePart = with(a.onTemplatePart, key, value)
	return a
}

func with(all map[string]string, key, value string) map[string]string {
	all = maps.Clone(all)
	if all == nil {
		all = map[string]string{}
	}
	all[key] = value
	return all
}

// in names the workload.
func (a app) in(namespace string) framework.Workload {
	return framework.Workload{Kind: a.kind, Namespace: namespace, Name: a.name}
}

// object is the workload as Kubernetes has it.
func (a app) object() runtime.Object {
	labels := map[string]string{"app": a.name, "kind": strings.ToLower(a.kind)}
	metadata := metav1.ObjectMeta{Name: a.name, Annotations: a.annotations}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	podLabels := maps.Clone(labels)
	maps.Copy(podLabels, a.labels)
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: podLabels, Annotations: a.onTemplatePart}, Spec: a.pod()}
	switch a.kind {
	case "StatefulSet":
		return &appsv1.StatefulSet{ObjectMeta: metadata, Spec: appsv1.StatefulSetSpec{
			Replicas: &a.replicas, Selector: selector, Template: template, ServiceName: a.name,
			PodManagementPolicy: appsv1.ParallelPodManagement,
		}}
	case "DaemonSet":
		return &appsv1.DaemonSet{ObjectMeta: metadata, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}}
	}
	return &appsv1.Deployment{ObjectMeta: metadata, Spec: appsv1.DeploymentSpec{
		Replicas: &a.replicas, Selector: selector, Template: template,
	}}
}

func (a app) pod() corev1.PodSpec {
	spec := corev1.PodSpec{
		Containers:                    []corev1.Container{container("app", "sleep")},
		AutomountServiceAccountToken:  new(false),
		EnableServiceLinks:            new(false),
		TerminationGracePeriodSeconds: new(int64(1)),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   new(true),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
	if a.hollow {
		suite.hollow.Place(&spec)
	}
	for _, use := range a.uses {
		use(&spec)
	}
	return spec
}

func container(name string, args ...string) corev1.Container {
	return corev1.Container{
		Name: name, Image: suite.cluster.Env.AppImage(), ImagePullPolicy: corev1.PullIfNotPresent, Args: args,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

func configMap(name string, keysAndValues ...string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: pairs(keysAndValues)}
}

func secret(name string, keysAndValues ...string) *corev1.Secret {
	data := map[string][]byte{}
	for key, value := range pairs(keysAndValues) {
		data[key] = []byte(value)
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
}

func pairs(list []string) map[string]string {
	all := map[string]string{}
	for i := 0; i < len(list); i += 2 {
		all[list[i]] = list[i+1]
	}
	return all
}
