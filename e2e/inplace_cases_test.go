//go:build e2e

package e2e_test

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
)

// served is a pod whose program answers every request, so that each reload of it works.
func served(name string, uses ...use) *corev1.Pod {
	pod := podWith(name, container("app", "serve"), "reload-url", "http://127.0.0.1:8080/", "reload-method", "GET")
	for _, use := range uses {
		use(&pod.Spec)
	}
	return pod
}

// What is left to the sidecars and what is rolled, case by case, in one namespace: each case has sources and a workload of
// its own, and each edit concerns one of them.
func TestWhatIsReloadedAndWhatIsRolled(t *testing.T) {
	t.Parallel()
	s := installBoth(t)
	s.apply(
		configMap("shrinks", "stays", "1", "goes", "1"), configMap("own", "key", "1"), configMap("shared", "key", "1"),
		configMap("keyed", "live", "1", "frozen", "1"), configMap("several", "key", "1"), configMap("part", "part", "1"),
		secret("private", "key", "1"), prometheusConfig("first"),
	)

	second := served("second", volume(ofConfigMap("own")))
	second.Annotations[annotation.Domain+"reload-container"] = "app"
	second.Spec.Containers = append(second.Spec.Containers, container("helper", "sleep"))
	second.Spec.Volumes = append(second.Spec.Volumes, corev1.Volume{Name: "shared", VolumeSource: ofConfigMap("shared").volume()})
	second.Spec.Containers[1].VolumeMounts = []corev1.VolumeMount{{Name: "shared", MountPath: "/shared"}}

	keyed := served("keyed", volume(ofConfigMap("keyed")))
	keyed.Spec.Containers[0].VolumeMounts = append(keyed.Spec.Containers[0].VolumeMounts,
		corev1.VolumeMount{Name: "keyed", MountPath: "/frozen", SubPath: "frozen"})

	secretive := served("secretive", volume(ofSecret("private")), projected(ofConfigMap("part"), "part"))
	secretive.Spec.Volumes[0].Secret.DefaultMode = new(int32(0o400))
	secretive.Spec.Containers[0].SecurityContext.RunAsUser = new(int64(0))

	pods := s.start(ofPod(served("shrinks", volume(ofConfigMap("shrinks"))), 2), ofPod(second, 1), ofPod(keyed, 1), ofPod(secretive, 1),
		ofPod(prometheusPod("metrics"), 1))
	several, ofSeveral := s.startStatefulSet(served("several", volume(ofConfigMap("several"))), 2)

	s.apply(configMap("shrinks", "stays", "1"))
	s.apply(configMap("shared", "key", "2"))
	s.apply(configMap("keyed", "live", "2", "frozen", "1"))
	s.apply(secret("private", "key", "2"), configMap("part", "part", "2"))
	s.apply(configMap("several", "key", "2"))
	s.apply(prometheusConfig("second"))

	s.awaitEvent("shrinks", "ReloadedInPlace", "goes")
	for _, pod := range pods["shrinks"] {
		if names := s.execIn(pod, "ls", "/shrinks"); strings.Contains(names, "goes") {
			t.Errorf("confirmed, and pod %s still has the key that went:\n%s", pod.Name, names)
		}
	}
	s.awaitEvent("second", "Reloaded", "does not watch ConfigMap shared")
	s.awaitEvent("keyed", "ReloadedInPlace", "live")
	s.awaitEvent("secretive", "ReloadedInPlace", "private", "part")
	if got := s.reported(pods["secretive"][0].Name, "applied"); got.Changes == 0 {
		t.Errorf("the sidecar saw no change: %+v", got)
	}
	_, err := s.AwaitEvent(s.ctx, several, "ReloadedInPlace")
	s.must(err)
	s.allUndisturbed(ofSeveral)
	s.awaitEvent("metrics", "ReloadedInPlace", "prometheus.yml")
	s.hasEdition(pods["metrics"][0].Name, "second")
	for _, name := range []string{"shrinks", "keyed", "secretive", "metrics"} {
		s.allUndisturbed(pods[name])
	}

	// The same source as before, and this time the key that the container got as a file of its own.
	s.apply(configMap("keyed", "live", "2", "frozen", "2"), configMap("own", "key", "2"))
	s.awaitEvent("keyed", "Reloaded", "frozen")
	s.must(s.AwaitRollout(s.ctx, framework.Deployment(s.ns, "second")))
	s.awaitEvent("second", "ReloadedInPlace", "own")
}

// startStatefulSet is start for a StatefulSet of pods like this one.
func (s *space) startStatefulSet(pod *corev1.Pod, replicas int32) (framework.Workload, []corev1.Pod) {
	s.t.Helper()
	as := ofPod(pod, replicas)
	s.apply(&appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: as.Name, Annotations: as.Annotations},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, Selector: as.Spec.Selector, Template: as.Spec.Template, ServiceName: as.Name,
			PodManagementPolicy: appsv1.ParallelPodManagement,
		},
	})
	w := framework.StatefulSet(s.ns, as.Name)
	s.must(s.AwaitRollout(s.ctx, w))
	s.hasBaseline(w)
	pods, err := s.Pods(s.ctx, w)
	s.must(err)
	return w, pods
}

// execIn runs the test program in its container.
func (s *space) execIn(pod corev1.Pod, args ...string) string {
	s.t.Helper()
	out, err := s.Exec(s.ctx, s.ns, pod.Name, "app", append([]string{"/app"}, args...)...)
	s.must(err)
	return out
}

// A certificate reloads while a variable of the same pods waits for its window, and is rolled when the window is taken away.
func TestALiveChangeReloadsWhileAFrozenOneWaits(t *testing.T) {
	t.Parallel()
	s := installBoth(t)
	s.apply(configMap("site", "default.conf", site("first")), configMap("color", "color", "red"))
	pod := nginxPod("web", "preset", "nginx")
	env("COLOR", ofConfigMap("color"), "color")(&pod.Spec)
	d := ofPod(pod, 2)
	now := time.Now().UTC()
	d.Annotations["inpod.dev/window"] = now.Add(-2*time.Hour).Format("15:04") + "-" + now.Add(-time.Hour).Format("15:04") + " UTC"
	pods := s.start(d)["web"]
	web := framework.Deployment(s.ns, "web")
	before := s.state(web)

	s.apply(configMap("site", "default.conf", site("second")), configMap("color", "color", "blue"))
	s.everyPodServes(pods, "second")
	s.awaitEvent("web", "ReloadedInPlace", "site", "default.conf")
	s.awaitEvent("web", "WindowClosed", "ConfigMap color changed (color)")
	s.awaitRecorded(web, before.Annotations[annotation.Baseline])
	s.allUndisturbed(pods)
	s.sameTemplate(before, web)

	s.annotate(web, "inpod.dev/window", "always")
	s.awaitEvent("web", "Reloaded", "ConfigMap color changed (color)")
	s.must(s.AwaitRollout(s.ctx, web))
	after, err := s.Pods(s.ctx, web)
	s.must(err)
	for _, pod := range after {
		if out, err := s.Exec(s.ctx, s.ns, pod.Name, "web", "printenv", "COLOR"); err != nil || strings.TrimSpace(out) != "blue" {
			t.Errorf("%s has the color %q: %v", pod.Name, out, err)
		}
	}
}
