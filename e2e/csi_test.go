//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
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
	_, err := s.Custom(secretsStore("secretproviderclasses"), s.ns).Create(s.ctx, u, metav1.CreateOptions{FieldManager: framework.FieldManager})
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

// defineDriver defines the driver's kinds, and waits until the controller follows them.
func (s *space) defineDriver() {
	s.t.Helper()
	file, err := os.ReadFile("testdata/secrets-store-crds.yaml")
	s.must(err)
	for part := range strings.SplitSeq(string(file), "\n---\n") {
		s.define(definitionIn(s.t, []byte(part)))
	}
	s.awaitLog("kind available")
}

// withVolume adds a volume of the driver to the first container of a pod.
func withVolume(pod *corev1.Pod, class string) *corev1.Pod {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "secrets", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
		Driver: driverName, ReadOnly: new(true), VolumeAttributes: map[string]string{"secretProviderClass": class},
	}}})
	pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "secrets", MountPath: "/secrets", ReadOnly: true})
	return pod
}

// A rotation comes to one pod after the other. Those with the sidecar reload what the driver has written, and are confirmed when it
// has come to all of them; those without are rolled at once. It is not parallel: the driver and its kinds are the cluster's.
func TestARotationReloadsPodsWithTheSidecar(t *testing.T) { //nolint:paralleltest // see above
	page := func(text string) string { return fmt.Sprintf("location / { return 200 %q; }\n", text) }
	d := startDriver(t, page("first"))
	s := installBothWith(t, framework.Values{"config": framework.Values{
		"settle": "500ms", "logLevel": "debug", "reloadDeadline": patience.Stretch(time.Minute).String(), "enableCsiIntegration": true,
	}})
	s.defineDriver()
	s.class("vault", nil)
	s.apply(configMap("site", "default.conf", "server { listen 8080; include /secrets/page.conf; }\n"))
	bare := withVolume(nginxPod("bare", "preset", "no-such-preset"), "vault") // the injector refuses it, and lets it pass without a sidecar
	pods := s.start(ofPod(withVolume(nginxPod("web", "preset", "nginx"), "vault"), 2), ofPod(bare, 1))
	s.everyPodServes(pods["web"], "first")
	web, plain := framework.Deployment(s.ns, "web"), framework.Deployment(s.ns, "bare")
	for _, pod := range append(pods["web"], pods["bare"]...) {
		s.mount(pod.Name, "vault", "1")
	}
	for _, w := range []framework.Workload{web, plain} {
		_, err := s.Await(s.ctx, w, "the class is recorded", func(state framework.State) bool {
			return strings.Contains(state.Annotations[annotation.Baseline], "SecretProviderClass/vault")
		})
		s.must(err)
	}
	before := s.state(web)

	first, second := pods["web"][0].Name, pods["web"][1].Name
	d.brings(first, page("second"))
	s.rotate(first, "vault", "2")
	s.serves(first, "second")
	s.awaitEvent("bare", reloaded, "SecretProviderClass vault changed (secret/db-password)")
	s.must(s.AwaitRollout(s.ctx, plain))
	s.sameTemplate(before, web)
	if s.observed(web) != before.Annotations[annotation.Baseline] {
		t.Error("it is recorded that all pods have what the driver has brought to one of them")
	}
	d.brings(second, page("second"))
	s.rotate(second, "vault", "2")
	s.serves(second, "second")
	s.awaitEvent("web", "ReloadedInPlace", "SecretProviderClass vault changed (secret/db-password)", "workers renewed")
	s.awaitRecorded(web, before.Annotations[annotation.Baseline])
	s.sameTemplate(before, web)

	recorded := s.observed(web)
	for _, pod := range pods["web"] {
		d.brings(pod.Name, "nonsense here;\n")
		s.rotate(pod.Name, "vault", "3")
	}
	s.awaitEvent("web", "ReloadRejected", "SecretProviderClass vault changed (secret/db-password)")
	s.everyPodServes(pods["web"], "second")
	s.sameTemplate(before, web)
	if s.observed(web) != recorded {
		t.Error("what was rejected is recorded as what the pods have")
	}
	s.allUndisturbed(pods["web"])
}

// The driver itself needs a vault; the test writes what it would. It starts without the driver's kinds, as where inpod is
// installed first.
func TestOneRotationOfTheSecretsStoreDriverIsOneRollout(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.install(framework.Values{"enableCsiIntegration": true}, nil)
	s.awaitLog("secretproviderclasspodstatuses.secrets-store.csi.x-k8s.io")
	s.defineDriver()

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
	w := func(name string) framework.Workload { return framework.Deployment(s.ns, name) }
	concerned := []framework.Workload{w("auto"), w("typed"), w("named")}
	s.hasBaseline(append(concerned, w("unconcerned"), w("ignoring"))...)

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
	_, err := s.AwaitEvent(s.ctx, w("auto"), reloaded, "SecretProviderClass vault changed (secret/db-password)")
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
