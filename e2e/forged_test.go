//go:build e2e

package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
)

// forged is a review of a pod that does not exist, and says that it belongs to a workload.
func forged(namespace, owner string) []byte {
	pod := nginxPod("forged", "preset", "free-text-of-a-stranger")
	pod.Labels["pod-template-hash"] = "6d4c"
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: owner + "-6d4c", UID: "u", Controller: new(true)}}
	object, err := json.Marshal(pod)
	if err != nil {
		return nil
	}
	review, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "r", Operation: admissionv1.Create, Namespace: namespace,
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, Object: runtime.RawExtension{Raw: object},
		},
	})
	if err != nil {
		return nil
	}
	return review
}

// Whoever reaches the webhook can post what it likes, and no event comes of it. Events come from pods that exist, one for a
// workload and reason, and have no word of the pod.
func TestForgedReviewsWriteNoEvents(t *testing.T) {
	t.Parallel()
	s := installBoth(t)
	s.apply(configMap("site", "default.conf", site("first")))
	s.start(ofPod(nginxPod("victim", "preset", "nginx"), 1))
	for range 10 {
		answer, err := s.Client.CoreV1().RESTClient().Post().Namespace(s.Namespace).Resource("services").Name("https:inpod-injector:443").
			SubResource("proxy").Suffix("inject/pods").SetHeader("Content-Type", "application/json").Body(forged(s.ns, "victim")).DoRaw(s.ctx)
		s.must(err)
		if !strings.Contains(string(answer), `"allowed":true`) || !strings.Contains(string(answer), `"patch"`) {
			t.Fatalf("the review was not answered: %s", answer)
		}
	}

	// What comes after the reviews: events about pods that exist.
	liar := nginxPod("liar", "preset", "nginx")
	delete(liar.Annotations, annotation.InjectKey)
	liar.Labels[annotation.InjectedLabel] = "false"
	liar.Annotations[annotation.InjectionRecord] = `{"reason":"NoTrigger","message":"free-text-of-a-stranger","keys":["free-text-of-a-stranger"]}`
	unknown := nginxPod("unknown", "preset", "nginx")
	delete(unknown.Annotations, annotation.InjectKey)
	unknown.Labels[annotation.InjectedLabel] = "false"
	unknown.Annotations[annotation.InjectionRecord] = `{"reason":"free-text-of-a-stranger"}`
	bare := nginxPod("bare", "preset", "free-text-of-a-stranger")
	s.apply(ofPod(unknown, 1), ofPod(liar, 1), ofPod(nginxPod("web", "preset", "free-text-of-a-stranger"), 3))
	for _, name := range []string{"unknown", "liar", "web"} { // those that ask for nothing get no baseline
		s.must(s.AwaitRollout(s.ctx, framework.Deployment(s.ns, name)))
	}
	s.apply(&appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "bare"},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: new(int32(3)), Selector: &metav1.LabelSelector{MatchLabels: bare.Labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: bare.Labels, Annotations: bare.Annotations}, Spec: bare.Spec},
		},
	})
	event, err := s.AwaitEvent(s.ctx, framework.Deployment(s.ns, "web"), "InjectionSkipped", "InvalidAnnotation", "inpod.dev/preset")
	s.must(err)
	if event.InvolvedObject.UID != s.state(framework.Deployment(s.ns, "web")).UID {
		t.Errorf("kubectl describe does not show it: %v", event.InvolvedObject)
	}
	_, err = s.AwaitEvent(s.ctx, framework.Deployment(s.ns, "liar"), "InjectionSkipped", "NoTrigger")
	s.must(err)
	skipped := func() (about map[string]int) {
		about = map[string]int{}
		all, err := s.Client.CoreV1().Events(s.ns).List(s.ctx, metav1.ListOptions{})
		s.must(err)
		for _, event := range all.Items {
			if event.Reason != "InjectionSkipped" {
				continue
			}
			name := event.InvolvedObject.Name
			if event.InvolvedObject.Kind == "Pod" {
				name = "pod of " + strings.SplitN(name, "-", 2)[0]
			}
			about[name] += int(max(event.Count, 1))
			if strings.Contains(event.Message, "stranger") {
				t.Errorf("an event repeats what a pod says: %s", event.Message)
			}
		}
		return about
	}
	s.eventually("one event on a pod of the ReplicaSet", func() (string, bool) {
		about := skipped()
		return "", about["pod of bare"] == 1
	})
	about := skipped()
	if len(about) != 3 || about["web"] != 1 || about["liar"] != 1 {
		t.Errorf("events about %v; want one each about web, liar and a pod of bare", about)
	}
}
