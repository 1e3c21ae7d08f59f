//go:build e2e

package framework

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// silentName is the name of the pod and of the Service in front of it.
const silentName = "silent"

// Silent is a Service that accepts connections and says nothing: a webhook there takes as long as its timeout.
type Silent struct {
	cluster *Cluster
	// Namespace, Name and Port are those of the Service.
	Namespace, Name string
	Port            int32
}

// StartSilent starts such a Service in a namespace, and waits until it accepts connections.
func (c *Cluster) StartSilent(ctx context.Context, namespace string) (*Silent, error) {
	s := &Silent{cluster: c, Namespace: namespace, Name: silentName, Port: 443}
	const port = 8443
	labels := map[string]string{"app": silentName}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: silentName, Labels: labels},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: new(false), TerminationGracePeriodSeconds: new(int64(1)),
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: "app", Image: c.Env.AppImage(), ImagePullPolicy: corev1.PullIfNotPresent, Args: []string{"silent"},
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(port)}}},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: silentName}, Spec: corev1.ServiceSpec{
		Selector: labels, Ports: []corev1.ServicePort{{Port: s.Port, TargetPort: intstr.FromInt32(port)}},
	}}
	if err := c.Apply(ctx, namespace, pod, service); err != nil {
		return nil, err
	}
	_, err := AwaitObject(ctx, c.Client.CoreV1().RESTClient(), "pods", namespace, silentName, func(object runtime.Object) bool {
		pod, ok := object.(*corev1.Pod)
		return ok && slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
			return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
		})
	})
	return s, err
}

// Asked is how many requests have waited.
func (s *Silent) Asked(ctx context.Context) (int, error) {
	log, err := s.cluster.Logs(ctx, s.Namespace, s.Name, corev1.PodLogOptions{})
	return strings.Count(log, "asked"), err
}
