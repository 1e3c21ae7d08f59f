//go:build e2e

package e2e_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
)

// anyLevel is the Pod Security level for an nginx as root.
const anyLevel = "privileged"

// installBoth installs injector and controller for one namespace, with Reloader's keys. What the injector adds asks
// every controller of the cluster; ofPod has those of the suite leave it.
func installBoth(t *testing.T) *space {
	t.Helper()
	return installBothWith(t, nil)
}

// installBothWith adds values of the controller.
func installBothWith(t *testing.T, controller framework.Values) *space {
	t.Helper()
	release, values := installInjector(t, nil)
	s := openInjected(t, release, anyLevel, nil)
	values["namespaces"] = []string{s.ns}
	values["controller"] = framework.Values{
		"config":         framework.Values{"settle": "500ms", "logLevel": "debug", "reloadDeadline": patience.Stretch(time.Minute).String()},
		"readinessProbe": framework.Values{"periodSeconds": 1},
	}
	maps.Copy(values["controller"].(framework.Values), controller)
	s.must(s.Install(s.ctx, release, values))
	return s
}

// ofPod is a Deployment of pods like this one.
func ofPod(pod *corev1.Pod, replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Annotations: map[string]string{
			suite.quick.keys.auto: "false", suite.patient.keys.auto: "false",
		}},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: pod.Labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations}, Spec: pod.Spec,
			},
		},
	}
}

// start applies workloads and waits until their pods run and their baselines are recorded. It returns their pods.
func (s *space) start(workloads ...*appsv1.Deployment) map[string][]corev1.Pod {
	s.t.Helper()
	pods := map[string][]corev1.Pod{}
	for _, w := range workloads {
		s.apply(runtime.Object(w))
	}
	for _, w := range workloads {
		key := framework.Deployment(s.ns, w.Name)
		s.must(s.AwaitRollout(s.ctx, key))
		s.hasBaseline(key)
		var err error
		pods[w.Name], err = s.Pods(s.ctx, key)
		s.must(err)
	}
	return pods
}

// everyPodServes waits until each of the pods serves a text.
func (s *space) everyPodServes(pods []corev1.Pod, text string) {
	s.t.Helper()
	for _, pod := range pods {
		s.serves(pod.Name, text)
	}
}

func (s *space) allUndisturbed(pods []corev1.Pod) {
	s.t.Helper()
	for i := range pods {
		s.undisturbed(&pods[i])
	}
}

func (s *space) awaitEvent(name, reason string, texts ...string) {
	s.t.Helper()
	_, err := s.AwaitEvent(s.ctx, framework.Deployment(s.ns, name), reason, texts...)
	s.must(err)
}

// timesReported is how many events of a reason a workload had. Equal events are counted in one.
func (s *space) timesReported(w framework.Workload, reason string) int {
	s.t.Helper()
	events, err := s.Events(s.ctx, w, reason)
	s.must(err)
	n := 0
	for _, event := range events {
		n += int(max(event.Count, 1))
	}
	return n
}

// observed is the recorded baseline of a workload.
func (s *space) observed(w framework.Workload) string {
	return s.state(w).Annotations[annotation.Baseline]
}

// awaitRecorded waits until another baseline than this one is recorded: the pods have confirmed.
func (s *space) awaitRecorded(w framework.Workload, before string) {
	s.t.Helper()
	_, err := s.Await(s.ctx, w, "another baseline recorded", func(state framework.State) bool { return state.Annotations[annotation.Baseline] != before })
	s.must(err)
}

// sameTemplate holds that nothing was rolled.
func (s *space) sameTemplate(before framework.State, w framework.Workload) {
	s.t.Helper()
	if diff := cmp.Diff(before.Template, s.state(w).Template); diff != "" {
		s.t.Errorf("%s was rolled (-before +now):\n%s", w, diff)
	}
}

// An edit is taken up by the same pods; a bad one is rejected and reported, with nothing rolled; its correction is
// taken up. A key that arrives in the environment as well rolls, and pods that did not get the sidecar are rolled, too.
func TestReloadInPlace(t *testing.T) {
	t.Parallel()
	s := installBoth(t)
	s.apply(configMap("site", "default.conf", site("first")), configMap("color", "color", "red"))

	both := nginxPod("both", "preset", "nginx")
	env("COLOR", ofConfigMap("color"), "color")(&both.Spec)
	bare := nginxPod("bare", "preset", "no-such-preset") // the injector refuses it, and lets it pass without a sidecar
	pods := s.start(ofPod(nginxPod("web", "preset", "nginx"), 3), ofPod(both, 1), ofPod(bare, 1))
	s.everyPodServes(pods["web"], "first")

	web := framework.Deployment(s.ns, "web")
	before := s.state(web)
	edited := time.Now()
	s.apply(configMap("site", "default.conf", site("second")))
	s.everyPodServes(pods["web"], "second")
	t.Logf("served by three pods %s after the edit", time.Since(edited).Round(10*time.Millisecond))
	s.awaitEvent("web", "ReloadedInPlace", "site", "default.conf")
	s.awaitRecorded(web, before.Annotations[annotation.Baseline])
	s.everyPodServes(pods["both"], "second")
	s.awaitEvent("both", "ReloadedInPlace")
	s.awaitEvent("bare", "Reloaded", "lack the sidecar")
	s.awaitEvent("bare", "InjectionSkipped", "InvalidAnnotation", "inpod.dev/preset", "of pod bare-") // where its user looks
	s.allUndisturbed(pods["web"])
	s.allUndisturbed(pods["both"])

	second := s.observed(web)
	s.apply(configMap("site", "default.conf", "nonsense;\n"))
	s.awaitEvent("web", "ReloadRejected", "pod web-", "nonsense")
	s.everyPodServes(pods["web"], "second")
	if s.observed(web) != second {
		t.Error("content that the pods rejected is recorded as theirs")
	}
	reloads := s.timesReported(web, "ReloadedInPlace")
	s.apply(configMap("site", "default.conf", site("third")))
	s.everyPodServes(pods["web"], "third")
	s.awaitRecorded(web, second)
	s.eventually("the event of the correction", func() (string, bool) {
		now := s.timesReported(web, "ReloadedInPlace")
		return fmt.Sprintf("%d events, %d before it", now, reloads), now == reloads+1
	})
	s.allUndisturbed(pods["web"])
	s.sameTemplate(before, web)

	s.apply(configMap("color", "color", "blue"))
	s.awaitEvent("both", "Reloaded", "color")
	s.must(s.AwaitRollout(s.ctx, framework.Deployment(s.ns, "both")))
	s.allUndisturbed(pods["web"])
	s.sameTemplate(before, web)
}

// A change that comes while the sidecar is down is applied when it is back, and the application is not restarted.
func TestASidecarThatIsKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	s := installBoth(t)
	s.apply(configMap("site", "default.conf", site("first")))
	pods := s.start(ofPod(nginxPod("web", "preset", "nginx"), 1))["web"]
	pod := pods[0]
	signal := func(name string) {
		t.Helper()
		script := `for p in /proc/[0-9]*; do case "$(cat $p/comm 2>/dev/null)" in sidecar) kill -` + name + ` ${p#/proc/};; esac; done`
		_, err := s.Exec(s.ctx, s.ns, pod.Name, "web", "sh", "-c", script)
		s.must(err)
	}
	signal("STOP") // the change has to find it idle
	s.apply(configMap("site", "default.conf", site("second")))
	signal("KILL")
	s.serves(pod.Name, "second")
	s.awaitEvent("web", "ReloadedInPlace")
	now := s.awaitPod(pod.Name, "its sidecar restarted", func(pod *corev1.Pod) bool {
		for _, status := range pod.Status.InitContainerStatuses {
			if status.Name == "inpod" && status.RestartCount > 0 {
				return true
			}
		}
		return false
	})
	if now.UID != pod.UID || now.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("the pod was replaced, or its application restarted: %+v", now.Status.ContainerStatuses)
	}
}

// Fifty pods of one Deployment are reloaded, and none of them is restarted or replaced.
func TestFiftyPodsAreReloadedInPlace(t *testing.T) {
	t.Parallel()
	const size = 50
	s := installBoth(t)
	s.apply(configMap("conf", "key", "1"))
	// The program answers every GET; that it was asked is what counts here.
	pod := podWith("many", container("app", "serve"), "reload-url", "http://127.0.0.1:8080/", "reload-method", "GET")
	volume(ofConfigMap("conf"))(&pod.Spec)
	pods := s.start(ofPod(pod, size))["many"]
	if len(pods) != size {
		t.Fatalf("%d pods, want %d", len(pods), size)
	}
	edited := time.Now()
	s.apply(configMap("conf", "key", "2"))
	s.awaitEvent("many", "ReloadedInPlace", "conf")
	t.Logf("%d pods have confirmed %s after the edit", size, time.Since(edited).Round(10*time.Millisecond))
	now, err := s.Pods(s.ctx, framework.Deployment(s.ns, "many"))
	s.must(err)
	if len(now) != size {
		t.Errorf("%d pods, want %d", len(now), size)
	}
	s.allUndisturbed(pods)
	for _, pod := range []corev1.Pod{pods[0], pods[size-1]} {
		if got := s.reported(pod.Name, "applied"); got.Changes != 1 {
			t.Errorf("pod %s saw %d changes, want 1", pod.Name, got.Changes)
		}
	}
}
