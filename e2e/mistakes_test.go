//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
)

// A key that is misspelled, or written where nobody reads it, is reported on the object, and nothing is rolled for it.
func TestKeysThatDoNotCountAreReportedWhereTheyAre(t *testing.T) {
	t.Parallel()
	s := installBoth(t)
	const reloader = "reloader.stakater.com/"
	db := secret("db", "password", "one")
	db.Annotations = map[string]string{reloader + "match": "True"}
	idle := configMap("followed-by-nobody", "key", "1")
	idle.Annotations = map[string]string{reloader + "auto": "true"}
	s.apply(db, idle, configMap("shop-web", "key", "1"))
	uses := env("KEY", ofSecret("db"), "password")
	labeled := deployment("labeled", uses).idle().object().(*appsv1.Deployment)
	labeled.Labels = map[string]string{reloader + "auto": "true"}
	labeled.Spec.Template.Labels[reloader+"auto"] = "true"
	s.apply(labeled)
	for name, keyAndValue := range map[string][2]string{
		"plural":    {"secrets." + reloader + "reload", "db"},
		"enabled":   {reloader + "enabled", "true"},
		"searches":  {reloader + "search", "true"},
		"settle":    {"inpod.dev/setle", "30s"},
		"injected":  {"inpod.dev/inject", "enabled"},
		"glob":      {"configmap." + reloader + "reload", "shop-*"},
		"blanks":    {"configmap." + reloader + "reload", "shop-api shop-web"},
		"qualified": {"configmap." + reloader + "reload", s.ns + "/shop-web"},
	} {
		s.apply(deployment(name, uses).idle().annotated(keyAndValue[0], keyAndValue[1]).object())
	}
	marker := deployment("marker", env("KEY", ofSecret("db"), "password")).idle().annotated(reloader+"auto", "true")
	s.apply(marker.object())
	s.hasBaseline(marker.in(s.ns))
	before, err := s.States(s.ctx, s.ns)
	s.must(err)

	s.awaitEvent("plural", "InvalidAnnotation", "did you mean secret.reloader.stakater.com/reload?")
	s.awaitEvent("enabled", "InvalidAnnotation", "did you mean reloader.stakater.com/auto?")
	s.awaitEvent("searches", "InvalidAnnotation", "Secret db", `"True" counts as false`)
	s.awaitEvent("settle", "InvalidAnnotation", "did you mean inpod.dev/settle?")
	s.awaitEvent("injected", "InvalidAnnotation", "inpod.dev/inject", "it counts on the pod template")
	s.awaitEvent("labeled", "InvalidAnnotation", "has no effect as a label")
	s.awaitEvent("glob", "InvalidAnnotation", `write "shop-.*"`)
	s.awaitEvent("blanks", "InvalidAnnotation", `write "shop-api,shop-web"`)
	s.awaitEvent("qualified", "InvalidAnnotation", `write "shop-web"`)
	for _, on := range []framework.Workload{{Kind: "Secret", Namespace: s.ns, Name: "db"}, {Kind: "ConfigMap", Namespace: s.ns, Name: "followed-by-nobody"}} {
		event, err := s.AwaitEvent(s.ctx, on, "InvalidAnnotation", reloader)
		s.must(err)
		if event.Type != corev1.EventTypeWarning {
			t.Errorf("%s: %s", on, event.Type)
		}
	}

	s.apply(secret("db", "password", "two"), configMap("shop-web", "key", "2"))
	s.awaitEvent("marker", "Reloaded", "Secret db")
	after, err := s.States(s.ctx, s.ns)
	s.must(err)
	for w, state := range before {
		if w != marker.in(s.ns) && after[w].Generation != state.Generation {
			t.Errorf("%s was rolled", w)
		}
	}

	// What holds is reported once, whoever leads.
	s.restartController()
	s.hasBaseline(marker.in(s.ns))
	s.apply(secret("db", "password", "three"))
	s.eventually("the controller to act after its restart", func() (string, bool) {
		n := s.timesReported(marker.in(s.ns), "Reloaded")
		return strconv.Itoa(n), n == 2
	})
	for _, name := range []string{"plural", "glob", "labeled"} {
		if n := s.timesReported(framework.Deployment(s.ns, name), "InvalidAnnotation"); n != 1 {
			t.Errorf("%s had %d events", name, n)
		}
	}
}

// A ReplicaSet that somebody made by hand is of no kind that inpod rolls. Its pods are reloaded, and what they reject is on it.
func TestPodsOfAnUnknownWorkloadAreReloadedAndReported(t *testing.T) {
	t.Parallel()
	s := installBoth(t)
	s.apply(configMap("site", "default.conf", site("first")))
	pod := nginxPod("web", "preset", "nginx")
	s.apply(&appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: pod.Labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations}, Spec: pod.Spec},
		},
	})
	alone := s.create(nginxPod("alone", "preset", "nginx"))
	var created corev1.Pod
	s.eventually("a pod of the ReplicaSet", func() (string, bool) {
		list, err := s.Client.CoreV1().Pods(s.ns).List(s.ctx, metav1.ListOptions{LabelSelector: "app=web"})
		s.must(err)
		if len(list.Items) == 1 {
			created = list.Items[0]
		}
		return "", len(list.Items) == 1
	})
	started := s.awaitPod(created.Name, "ready", isReady)
	s.awaitPod(alone.Name, "ready", isReady)
	s.serves(created.Name, "first")

	owner, bare := framework.Workload{Kind: "ReplicaSet", Namespace: s.ns, Name: "web"}, framework.Workload{Kind: "Pod", Namespace: s.ns, Name: "alone"}
	for _, tc := range []struct{ content, reason, words string }{
		{site("second"), "ReloadedInPlace", "default.conf"},
		{"nonsense;\n", "ReloadRejected", "nonsense"},
	} {
		s.apply(configMap("site", "default.conf", tc.content))
		for _, on := range []framework.Workload{owner, bare} {
			_, err := s.AwaitEvent(s.ctx, on, tc.reason, tc.words)
			s.must(err)
		}
	}
	s.serves(created.Name, "second")
	s.undisturbed(started)
	now := s.awaitPod(created.Name, "there", func(*corev1.Pod) bool { return true })
	if _, has := now.Annotations[annotation.Baseline]; has {
		t.Error("a baseline was written on a pod")
	}
}

// Another injector's container, which mounts a ConfigMap of its own, is no application of the pod's author.
func TestTheContainerOfAnotherInjectorIsNoTarget(t *testing.T) {
	t.Parallel()
	s := installBoth(t)
	s.apply(configMap("site", "default.conf", site("first")), configMap("mesh", "mesh.yaml", "a: 1"))
	s.meshed()
	pods := s.start(ofPod(nginxPod("web", "preset", "nginx"), 1))["web"]
	var names []string
	for _, c := range pods[0].Spec.Containers {
		names = append(names, c.Name)
	}
	if record := s.record(&pods[0]); len(names) < 2 || record.Container != "web" {
		t.Fatalf("containers %v, record %s", names, record)
	}
	s.everyPodServes(pods, "first")
	web := framework.Deployment(s.ns, "web")
	before := s.state(web)
	s.apply(configMap("mesh", "mesh.yaml", "a: 2"))
	s.apply(configMap("site", "default.conf", site("second")))
	s.everyPodServes(pods, "second")
	s.awaitEvent("web", "ReloadedInPlace", "site")
	s.allUndisturbed(pods)
	s.sameTemplate(before, web)
}

// meshed has the API server add a proxy to the pods of the namespace before injectors are asked, and waits until it does.
func (s *space) meshed() {
	s.t.Helper()
	s.must(s.ApplyYAML(s.ctx, s.ns, fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: %[1]s, labels: {%[2]s: %[3]q}}
spec:
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  matchConditions:
  - {name: first, expression: "!object.spec.containers.exists(c, c.name == 'proxy')"}
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: >
        [
          JSONPatch{op: "add", path: "/spec/containers/-", value: Object.spec.containers{name: "proxy", image: %[4]q, args: ["sleep"], imagePullPolicy: "IfNotPresent",
            volumeMounts: [Object.spec.containers.volumeMounts{name: "mesh", mountPath: "/etc/mesh"}]}},
          JSONPatch{op: "add", path: "/spec/volumes/-", value: Object.spec.volumes{name: "mesh", configMap: Object.spec.volumes.configMap{name: "mesh"}}}
        ]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: %[1]s, labels: {%[2]s: %[3]q}}
spec: {policyName: %[1]s}
`, s.ns, runLabel, suite.run, suite.cluster.Env.AppImage())))
	s.t.Cleanup(func() {
		ctx := context.WithoutCancel(s.ctx)
		for _, err := range []error{
			s.Client.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().Delete(ctx, s.ns, metav1.DeleteOptions{}),
			s.Client.AdmissionregistrationV1().MutatingAdmissionPolicies().Delete(ctx, s.ns, metav1.DeleteOptions{}),
		} {
			if err != nil {
				s.t.Error(err)
			}
		}
	})
	s.eventually("a proxy in new pods", func() (string, bool) {
		probe := nginxPod("probe")
		delete(probe.Annotations, annotation.InjectKey)
		created, err := s.Client.CoreV1().Pods(s.ns).Create(s.ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		s.must(err)
		return "", len(created.Spec.Containers) == 2
	})
}
