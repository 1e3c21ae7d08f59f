package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/internal/annotation"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/patience"
)

func configMap(value string) *corev1.ConfigMap { return obj.ConfigMap("conf", "k", value) }

// deployment follows the ConfigMap conf.
func deployment(name string) runtime.Object {
	return obj.Deployment(name, obj.Annotation("reloader.stakater.com/auto", "true"), obj.EnvFrom(obj.CM("conf")))
}

// quick starts a controller for a server, in namespace shop and with leases that are short for this machine.
func quick(t *testing.T, s *apiServer, name string, more ...string) *process {
	t.Helper()
	args := append([]string{
		"--kubeconfig", kubeconfig(t, s.server.URL), "--listen-address=127.0.0.1:0", "--settle=100ms", "--baseline-rate=1000",
		"--lease-duration=" + patience.Stretch(3*time.Second).String(), "--lease-renew-deadline=" + patience.Stretch(2*time.Second).String(),
		"--lease-retry-period=100ms", "--enable-ha",
	}, more...)
	return start(t, []string{"POD_NAME=" + name, "POD_NAMESPACE=inpod-system"}, args...)
}

// count is how many requests begin with a text; s.mu is held.
func (s *apiServer) count(request string) int {
	n := 0
	for _, r := range s.requests {
		if strings.HasPrefix(r, request) {
			n++
		}
	}
	return n
}

// hasBaseline is how many workloads have a baseline; s.mu is held.
func (s *apiServer) hasBaseline() int {
	n := 0
	for _, object := range s.matching(target{resource: "deployments"}) {
		if object.GetAnnotations()[annotation.Baseline] != "" {
			n++
		}
	}
	return n
}

// events are the messages of the events, sorted; s.mu is held.
func (s *apiServer) events() []string {
	var all []string
	for _, event := range s.matching(target{resource: "events"}) {
		message, _, _ := unstructured.NestedString(event.Object, "message")
		about, _, _ := unstructured.NestedString(event.Object, "involvedObject", "name")
		all = append(all, about+": "+message)
	}
	slices.Sort(all)
	return all
}

// holder is who has the lease; s.mu is held.
func (s *apiServer) holder() string {
	lease, ok := s.objects["leases inpod-system/inpod-controller"]
	if !ok {
		return ""
	}
	holder, _, _ := unstructured.NestedString(lease.Object, "spec", "holderIdentity")
	return holder
}

// variables are the names and values of the config hashes in a Deployment; s.mu is held.
func (s *apiServer) variables(name string) []string {
	containers, _, _ := unstructured.NestedSlice(s.objects["deployments shop/"+name].Object, "spec", "template", "spec", "containers")
	var all []string
	for _, c := range containers {
		container, _ := c.(map[string]any)
		env, _, _ := unstructured.NestedSlice(container, "env")
		for _, e := range env {
			if variable, _ := e.(map[string]any); strings.HasPrefix(fmt.Sprint(variable["name"]), "STAKATER_") {
				all = append(all, fmt.Sprintf("%s=%s", variable["name"], variable["value"]))
			}
		}
	}
	return all
}

// The whole program: what an edit costs, what it does, and that a stop ends in order.
func TestAnEditIsOnePatchAndOneEvent(t *testing.T) {
	t.Parallel()
	s := startAPIServer(t)
	s.put(configMap("0"), obj.ConfigMap("other", "k", "0"))
	for i := range 20 {
		s.put(deployment(fmt.Sprintf("web-%d", i)))
	}
	s.put(obj.Deployment("one", obj.Annotation("reloader.stakater.com/auto", "true"), obj.EnvFrom(obj.CM("other"))))
	p := quick(t, s, "me")
	s.await("every workload gets a baseline", func() bool { return s.hasBaseline() == 21 })
	if status, text := p.get("/ready"); status != http.StatusOK {
		t.Errorf("/ready: %d %q", status, text)
	}
	s.mu.Lock()
	if s.holder() != "me" {
		t.Errorf("the lease is held by %q", s.holder())
	}
	if _, ok := s.objects["secrets inpod-system/inpod-digest-key"]; !ok {
		t.Error("there is no key of digests")
	}
	s.requests = nil
	s.mu.Unlock()

	s.put(obj.ConfigMap("other", "k", "1"))
	s.await("an event", func() bool { return s.count("POST events") > 0 })
	s.mu.Lock()
	var got []string
	for _, r := range s.requests {
		if !strings.Contains(r, " leases ") && !strings.HasPrefix(r, "WATCH") {
			got = append(got, r)
		}
	}
	if diff := cmp.Diff([]string{"PATCH deployments shop/one", "POST events shop/"}, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"one: Rolling update started: ConfigMap other changed (k)"}, s.events()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if hashes := s.variables("one"); len(hashes) != 1 || !strings.HasPrefix(hashes[0], "STAKATER_OTHER_CONFIGMAP=") {
		t.Errorf("config hashes %v", hashes)
	}
	s.mu.Unlock()
	if _, text := p.get("/metrics"); !strings.Contains(text, `inpod_rollouts_total{kind="Deployment",reason="FrozenChanged",result="accepted"} 1`) {
		t.Error("the rollout is not counted")
	}
}

// The whole program: a workload whose pods are refused, or crash since they have the sidecar, has an event with the way
// out.
func TestWhatBecomesOfPodsIsReportedOnTheirWorkload(t *testing.T) {
	t.Parallel()
	s := startAPIServer(t)
	const inject = "inpod.dev/inject"
	refused := obj.Deployment("refused", obj.TemplateAnnotation(inject, "enabled"), obj.Mount(obj.CM("conf")))
	crashes := obj.Deployment("crashes", obj.TemplateAnnotation(inject, "enabled"), obj.Mount(obj.CM("conf")))
	ended := &corev1.ContainerStateTerminated{ExitCode: 1}
	pod := obj.Pod("crashes-abc-1", obj.Label(annotation.InjectedLabel, "true"), obj.Label("pod-template-hash", "abc"),
		obj.Annotation(annotation.InjectionRecord, annotation.Record{Injected: true, Container: "app", SharedProcesses: true}.String()))
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "crashes-abc", UID: "u", Controller: new(true)}}
	s.put(configMap("0"), refused, crashes, pod)
	quick(t, s, "me")
	s.await("the workloads get a baseline", func() bool { return s.hasBaseline() == 2 })
	s.mu.Lock()
	if got := s.events(); len(got) > 0 {
		t.Errorf("before: %q", got)
	}
	s.mu.Unlock()

	refused.Status.Conditions = []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", LastTransitionTime: metav1.NewTime(time.Now().Add(-time.Hour)),
	}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", RestartCount: 4, State: corev1.ContainerState{Terminated: ended}}}
	s.put(refused, pod)
	s.await("both are reported", func() bool {
		events := strings.Join(s.events(), "\n")
		return strings.Contains(events, "refused: The API server refuses the pods") && strings.Contains(events, "inpod.dev/sidecar-capabilities") &&
			strings.Contains(events, "crashes: Container app has ended 5 times") && strings.Contains(events, "shareProcessNamespace: false")
	})
}

// A stop in the middle of work lets the write under way end, then gives up the lease, and then writes the events.
func TestStoppingInTheMiddleOfWork(t *testing.T) {
	t.Parallel()
	s := startAPIServer(t)
	s.put(configMap("0"), deployment("web"))
	p := quick(t, s, "me")
	s.await("the workload gets a baseline", func() bool { return s.hasBaseline() == 1 })
	patch := make(chan struct{})
	s.mu.Lock()
	s.requests = nil
	s.hold["PATCH deployments shop/web"] = patch
	s.mu.Unlock()
	s.put(configMap("1"))
	s.await("a rollout is under way", func() bool { return s.count("PATCH deployments") > 0 })
	p.signal(syscall.SIGTERM)
	p.awaitLog("releasing leadership to stop")
	s.mu.Lock()
	if s.holder() != "me" {
		t.Error("the lease was given up while a write was under way")
	}
	s.mu.Unlock()
	close(patch)
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder() != "" {
		t.Errorf("the lease is still held by %q", s.holder())
	}
	if len(s.variables("web")) != 1 {
		t.Error("the rollout under way was not done")
	}
	if diff := cmp.Diff([]string{"web: Rolling update started: ConfigMap conf changed (k)"}, s.events()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// The digest key is replaced, and another replica leads: it reports the key and takes it, and every baseline is written
// with it. Nothing is rolled for that, and the next edit is.
func TestAnotherLeaderTakesTheDigestKeyThatThereIs(t *testing.T) {
	t.Parallel()
	s := startAPIServer(t)
	s.put(configMap("0"), deployment("web"))
	first := quick(t, s, "first")
	s.await("a baseline", func() bool { return s.hasBaseline() == 1 })
	second := quick(t, s, "second")
	second.awaitLog("joining leader election")
	s.mu.Lock()
	before := s.objects["deployments shop/web"].GetAnnotations()[annotation.Baseline]
	s.mu.Unlock()
	s.put(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "inpod-system", Name: "inpod-digest-key"},
		Data:       map[string][]byte{"key": []byte(strings.Repeat("k", 32))},
	})
	first.signal(syscall.SIGTERM)
	second.awaitLog("digest key replaced")
	s.await("a baseline of the new key", func() bool {
		return s.objects["deployments shop/web"].GetAnnotations()[annotation.Baseline] != before
	})
	s.mu.Lock()
	if hashes := s.variables("web"); len(hashes) > 0 {
		t.Errorf("rolled for the key alone: %v", hashes)
	}
	s.mu.Unlock()
	if _, text := second.get("/metrics"); !strings.Contains(text, "inpod_digest_key_replaced_total 1") ||
		!strings.Contains(text, `inpod_baselines_unreadable_total{why="key"} 1`) {
		t.Error("it is not counted")
	}
	s.put(configMap("1"))
	s.await("the next edit is rolled", func() bool { return len(s.variables("web")) > 0 })
}

// Two replicas, and the leader is stopped, or killed, in the middle of a burst: nothing is lost, and nothing is done twice.
func TestAnotherReplicaGoesOn(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			handOver(t, s)
		})
	}
}

func handOver(t *testing.T, signal syscall.Signal) {
	const many = 60
	s := startAPIServer(t)
	s.put(configMap("0"))
	for i := range many {
		s.put(deployment(fmt.Sprintf("web-%d", i)))
	}
	first := quick(t, s, "first", "--workers=2")
	s.await("every workload gets a baseline", func() bool { return s.hasBaseline() == many })
	second := quick(t, s, "second")
	second.awaitLog("joining leader election")
	if status, text := second.get("/ready"); status != http.StatusOK {
		t.Errorf("/ready of the follower: %d %q", status, text)
	}
	s.mu.Lock()
	s.requests = nil
	s.accepted = func(request string) {
		if strings.HasPrefix(request, "PATCH deployments") {
			time.Sleep(20 * time.Millisecond) // the answer is late
		}
	}
	s.mu.Unlock()
	s.put(configMap("1"))
	s.await("the burst goes on", func() bool { return s.count("PATCH deployments") > many/4 })
	first.signal(signal)
	s.await("another one leads", func() bool { return s.holder() == "second" })
	s.await("everybody is rolled", func() bool {
		for i := range many {
			if len(s.variables(fmt.Sprintf("web-%d", i))) == 0 {
				return false
			}
		}
		return true
	})
	// A second change, which nobody but the second replica sees, shows when it has done everything.
	s.put(obj.ConfigMap("last", "k", "0"), obj.Deployment("last", obj.Annotation("reloader.stakater.com/auto", "true"), obj.EnvFrom(obj.CM("last"))))
	s.await("the last one gets a baseline", func() bool { return s.objects["deployments shop/last"].GetAnnotations()[annotation.Baseline] != "" })
	s.mu.Lock()
	defer s.mu.Unlock()
	// A write of a leader that is killed may be repeated, with the same content, if its answer was still on the way.
	extra := 0
	if signal == syscall.SIGKILL {
		extra = 2
	}
	if n := s.count("PATCH deployments shop/web-"); n < many || n > many+extra {
		t.Errorf("%d patches for %d workloads", n, many)
	}
}
