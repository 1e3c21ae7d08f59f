//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
)

// mixed puts these sources into the one volume of an nginx.
func mixed(pod *corev1.Pod, sources ...corev1.VolumeProjection) *corev1.Pod {
	pod.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}
	return pod
}

// allOf is a source of a projected volume without items.
func allOf(configMap string) corev1.VolumeProjection {
	return corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: configMap}}}
}

// A key that a later source of the same volume hides changes nothing in any pod; the key that hides it does, and so does its
// going.
func TestHiddenKeysDisturbNothing(t *testing.T) {
	t.Parallel()
	s := installBoth(t)
	s.apply(configMap("base", "default.conf", site("base-1")), configMap("over", "default.conf", site("over-1")))
	withSidecar := ofPod(mixed(nginxPod("web", "preset", "nginx"), allOf("base"), allOf("over")), 1)
	without := ofPod(mixed(nginxPod("plain"), allOf("base"), allOf("over")), 1)
	without.Annotations["reloader.stakater.com/auto"] = "true"
	without.Spec.Template.Annotations = nil
	pods := s.start(withSidecar, without)
	web, plain := framework.Deployment(s.ns, "web"), framework.Deployment(s.ns, "plain")
	both := []framework.Workload{web, plain}
	before := map[framework.Workload]framework.State{web: s.state(web), plain: s.state(plain)}
	s.everyPodServes(pods["web"], "over-1")

	s.apply(configMap("base", "default.conf", site("base-2")))
	for _, w := range both {
		s.awaitRecorded(w, before[w].Annotations[annotation.Baseline])
		s.sameTemplate(before[w], w)
		for _, reason := range []string{"ReloadedInPlace", "Reloaded"} {
			if n := s.timesReported(w, reason); n > 0 {
				t.Errorf("%s had %d events %s after an edit that nothing shows", w, n, reason)
			}
		}
	}

	s.apply(configMap("over", "default.conf", site("over-2")))
	s.everyPodServes(pods["web"], "over-2")
	s.awaitEvent("web", "ReloadedInPlace", "over")
	s.awaitEvent("plain", "Reloaded", "over")
	if got := s.reported(pods["web"][0].Name, "applied"); got.Changes != 1 {
		t.Errorf("the sidecar saw %d changes, want 1: %+v", got.Changes, got)
	}

	recorded := s.observed(web)
	s.apply(configMap("over", "other.conf", "# nothing\n"))
	s.everyPodServes(pods["web"], "base-2")
	s.awaitRecorded(web, recorded)
	s.allUndisturbed(pods["web"])
	s.sameTemplate(before[web], web)
	s.hasHadTemplates(plain, 3)
}

// hasHadTemplates waits until a workload has had as many templates, and holds that it has had no more when it is rolled.
func (s *space) hasHadTemplates(w framework.Workload, want int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%s to have had %d templates", w, want), func() (string, bool) {
		n, err := s.Rollouts(s.ctx, w)
		return fmt.Sprint(n, err), err == nil && n >= want
	})
	s.must(s.AwaitRollout(s.ctx, w))
	if n, err := s.Rollouts(s.ctx, w); err != nil || n != want {
		s.t.Errorf("%s has had %d templates, want %d: %v", w, n, want, err)
	}
}

// In a volume that mixes a ConfigMap with what the kubelet writes of the pod itself, one edit is one reload, and an annotation
// that somebody puts on the pod is none.
func TestForeignAnnotationsReloadNothing(t *testing.T) {
	t.Parallel()
	s := installBoth(t)
	s.apply(configMap("site", "default.conf", site("first")))
	annotations := corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
		Path: "annotations.txt", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations"},
	}}}}
	token := corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: new(int64(600))}}
	workloads := []*appsv1.Deployment{
		ofPod(mixed(nginxPod("after", "preset", "nginx"), allOf("site"), annotations, token), 1),
		ofPod(mixed(nginxPod("before", "preset", "nginx"), annotations, token, allOf("site")), 1),
	}
	pods := s.start(workloads...)

	s.apply(configMap("site", "default.conf", site("second")))
	for name, of := range pods {
		s.everyPodServes(of, "second")
		s.awaitEvent(name, "ReloadedInPlace", "site")
	}
	for _, of := range pods {
		_, err := s.Client.CoreV1().Pods(s.ns).Patch(s.ctx, of[0].Name, types.MergePatchType,
			[]byte(`{"metadata":{"annotations":{"example.com/note":"of somebody else"}}}`), metav1.PatchOptions{})
		s.must(err)
	}
	for _, of := range pods {
		s.eventually("the annotation in the volume", func() (string, bool) {
			text, err := s.Exec(s.ctx, s.ns, of[0].Name, "web", "cat", "/etc/nginx/conf.d/annotations.txt")
			return text, err == nil && strings.Contains(text, "of somebody else")
		})
	}
	s.apply(configMap("site", "default.conf", site("third")))
	for name, of := range pods {
		s.everyPodServes(of, "third")
		if got := s.reported(of[0].Name, "applied"); got.Changes != 2 {
			t.Errorf("%s: the sidecar saw %d changes for two edits and an annotation: %+v", name, got.Changes, got)
		}
		s.allUndisturbed(of)
	}
}
