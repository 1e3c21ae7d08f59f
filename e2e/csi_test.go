//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/kit"
)

func secretsStore(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "secrets-store.csi.x-k8s.io", Version: "v1", Resource: resource}
}

// class makes a SecretProviderClass.
func (s *space) class(name string, annotations map[string]string) {
	s.t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"provider": "vault"}}}
	u.SetGroupVersionKind(secretsStore("").GroupVersion().WithKind("SecretProviderClass"))
	u.SetName(name)
	u.SetAnnotations(annotations)
	_, err := s.Custom(secretsStore("secretproviderclasses"), s.ns).Create(s.ctx, u, metav1.CreateOptions{FieldManager: kit.FieldManager})
	s.must(err)
}

// mount does what the driver does when a pod starts: it writes which versions the pod has.
func (s *space) mount(pod, class, version string) {
	s.t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"status": driverStatus(pod, class, version)}}
	u.SetGroupVersionKind(secretsStore("").GroupVersion().WithKind("SecretProviderClassPodStatus"))
	u.SetName(pod + "-" + class)
	u.SetLabels(map[string]string{"internal.secrets-store.csi.k8s.io/node-name": "node"})
	_, err := s.Custom(secretsStore("secretproviderclasspodstatuses"), s.ns).Create(s.ctx, u, metav1.CreateOptions{FieldManager: "secrets-store-csi-driver"})
	s.must(err)
}

func driverStatus(pod, class, version string) map[string]any {
	return map[string]any{
		"mounted": true, "podName": pod, "secretProviderClassName": class, "targetPath": "/var/lib/kubelet/pods/" + pod,
		"objects": []any{map[string]any{"id": "secret/db-password", "version": version}},
	}
}

// patchStatus changes the status of a pod, or its metadata.
func (s *space) patchStatus(pod, class string, change map[string]any) {
	s.t.Helper()
	body, err := json.Marshal(change)
	s.must(err)
	_, err = s.Custom(secretsStore("secretproviderclasspodstatuses"), s.ns).
		Patch(s.ctx, pod+"-"+class, types.MergePatchType, body, metav1.PatchOptions{FieldManager: "secrets-store-csi-driver"})
	s.must(err)
}

// rotate does what the driver does when it finds other versions.
func (s *space) rotate(pod, class, version string) {
	s.t.Helper()
	s.patchStatus(pod, class, map[string]any{"status": driverStatus(pod, class, version)})
}

// mounting adds a volume of the driver to a Deployment.
func (s *space) mounting(a app, class string) *appsv1.Deployment {
	s.t.Helper()
	d, ok := a.object().(*appsv1.Deployment)
	if !ok {
		s.t.Fatal("not a Deployment")
	}
	pod := &d.Spec.Template.Spec
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "secrets", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
		Driver: "secrets-store.csi.k8s.io", ReadOnly: new(true), VolumeAttributes: map[string]string{"secretProviderClass": class},
	}}})
	pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "secrets", MountPath: "/secrets", ReadOnly: true})
	return d
}

// The driver itself needs a vault; the test writes what it would. It starts without the driver's kinds, as where inpod is
// installed first.
func TestOneRotationOfTheSecretsStoreDriverIsOneRollout(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.install(kit.Values{"enableCsiIntegration": true}, nil)
	s.awaitLog("secretproviderclasspodstatuses.secrets-store.csi.x-k8s.io")
	file, err := os.ReadFile("testdata/secrets-store-crds.yaml")
	s.must(err)
	for part := range strings.SplitSeq(string(file), "\n---\n") {
		s.define(definitionIn(t, []byte(part)))
	}
	s.awaitLog("is served now")

	s.class("vault", nil)
	s.class("other", nil)
	s.class("ignored", map[string]string{s.keys.ignore: "true"})
	for _, class := range []string{"vault", "other", "ignored"} {
		for i := range 3 {
			s.mount(fmt.Sprintf("%s-%d", class, i), class, "1")
		}
	}
	// Every Deployment uses a ConfigMap too, so that one can see when it is recorded.
	s.apply(configMap("config", "key", "1"))
	uses := func(name string) app { return deployment(name, env("KEY", ofConfigMap("config"), "key")).idle() }
	named := uses("named")
	named.annotations = map[string]string{"secretproviderclass.reloader.stakater.com/reload": "va.*"}
	typed := uses("typed")
	typed.annotations = map[string]string{"secretproviderclass.reloader.stakater.com/auto": "true"}
	s.apply(
		s.mounting(uses("auto").annotated(s.keys.auto, "true"), "vault"), s.mounting(typed, "vault"), named.object(),
		s.mounting(uses("unconcerned").annotated(s.keys.auto, "true"), "other"), s.mounting(uses("ignoring").annotated(s.keys.auto, "true"), "ignored"),
		s.mounting(uses("silent"), "vault"),
	)
	w := func(name string) kit.Workload { return kit.Deployment(s.ns, name) }
	concerned := []kit.Workload{w("auto"), w("typed"), w("named")}
	s.adopted(append(concerned, w("unconcerned"), w("ignoring"))...)

	before := s.rollouts()
	// A pod after the other, and slower than the settle time.
	s.rotate("vault-0", "vault", "2")
	s.rotate("ignored-0", "ignored", "2")
	s.rolled(before, concerned...)
	s.rotate("vault-1", "vault", "2")
	s.patchStatus("vault-2", "vault", map[string]any{"metadata": map[string]any{"labels": map[string]any{"touched": "yes"}}}) // still at 1
	s.marker()
	s.rotate("vault-2", "vault", "2")
	s.mount("vault-3", "vault", "2")
	s.marker()
	s.onlyRolled(before, concerned...)
	_, err = s.AwaitEvent(s.ctx, w("auto"), reloaded, "SecretProviderClass vault changed (secret/db-password)")
	s.must(err)

	// New pods start with a newer version, and nobody has anything rotated in any more.
	before = s.rollouts()
	had := map[string]string{}
	for _, one := range concerned {
		had[one.Name] = s.observed(one)
	}
	for i := range 3 {
		s.must(s.Custom(secretsStore("secretproviderclasspodstatuses"), s.ns).Delete(s.ctx, fmt.Sprintf("vault-%d-vault", i), metav1.DeleteOptions{}))
	}
	s.mount("vault-4", "vault", "3")
	for _, one := range concerned {
		s.awaitRecorded(one, had[one.Name])
	}
	s.marker()
	s.onlyRolled(before)
	s.rotate("vault-4", "vault", "2")
	s.rolled(before, concerned...)
}
