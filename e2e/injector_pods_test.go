//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
	"inpod.dev/inpod/internal/sidecarapi"
)

// injectorLabel is on the namespaces whose pods an injector of the tests sees; its value is the namespace of the release.
const injectorLabel = "e2e.inpod.dev/injector"

// sidecarPort is where the injected sidecars listen.
var sidecarPort = strconv.Itoa(sidecarapi.DefaultPort)

// levels of Pod Security for the namespaces of tests.
const (
	restricted = "restricted"
	baseline   = "baseline" // root is allowed, and KILL
)

// installInjector installs an injector, without a controller, that sees the pods of namespaces which openInjected makes
// for it. Config adds settings.
func installInjector(t *testing.T, config framework.Values) (framework.Release, framework.Values) {
	t.Helper()
	home := openSpace(t, charge{})
	release := framework.Release{Name: "inpod", Namespace: home.ns}
	all := framework.Values{"logLevel": "debug"}
	maps.Copy(all, config)
	values := framework.Values{
		"commonLabels": framework.Values{runLabel: suite.run},
		"controller":   framework.Values{"replicas": 0},
		"injector": framework.Values{
			"config": all,
			// Longest that there is: who is not asked in time gets a pod without the sidecar.
			"webhook":        framework.Values{"timeoutSeconds": 30, "namespaceSelector": framework.Values{"matchLabels": framework.Values{injectorLabel: home.ns}}},
			"readinessProbe": framework.Values{"periodSeconds": 1},
		},
	}
	home.must(home.Install(home.ctx, release, values))
	// The configuration of the webhook is cluster-wide, and does not go with the namespace.
	t.Cleanup(func() {
		ctx, cancel := patience.Context(context.WithoutCancel(t.Context()), cleanLimit)
		defer cancel()
		if err := suite.cluster.Uninstall(ctx, release); err != nil {
			t.Error(err)
		}
	})
	return release, values
}

// openInjected makes a namespace that the injector of a release sees.
func openInjected(t *testing.T, release framework.Release, level string, labels map[string]string) *space {
	t.Helper()
	ctx, cancel := patience.Context(t.Context(), limit)
	t.Cleanup(cancel)
	s := &space{Cluster: suite.cluster, t: t, ctx: ctx, charge: charge{Release: release}}
	all := map[string]string{runLabel: suite.run, injectorLabel: release.Namespace, "pod-security.kubernetes.io/enforce": level}
	maps.Copy(all, labels)
	ns, err := s.CreateNamespace(ctx, suite.run+"-"+slug(t.Name())+"-", all)
	s.must(err)
	s.ns = ns
	t.Cleanup(s.close)
	return s
}

// podWith is a pod that asks for the sidecar, with annotations: "key", "value", … without the domain.
func podWith(name string, c corev1.Container, keysAndValues ...string) *corev1.Pod {
	annotations := map[string]string{annotation.InjectKey: "enabled"}
	for i := 0; i < len(keysAndValues); i += 2 {
		annotations[annotation.Domain+keysAndValues[i]] = keysAndValues[i+1]
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}, Annotations: annotations},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{c}, EnableServiceLinks: new(false), TerminationGracePeriodSeconds: new(int64(1)),
			SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		},
	}
}

// site is an nginx configuration that answers with a text on port 8080.
func site(text string) string {
	return fmt.Sprintf("server { listen 8080; location / { return 200 %q; } }\n", text)
}

// nginxPod mounts the ConfigMap "site" as conf.d.
func nginxPod(name string, keysAndValues ...string) *corev1.Pod {
	pod := podWith(name, corev1.Container{
		Name: "web", Image: suite.cluster.Env.NginxImage(), ImagePullPolicy: corev1.PullIfNotPresent,
		ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, TimeoutSeconds: 10, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: fromInt(8080)}}},
	}, keysAndValues...)
	volume(ofConfigMap("site"))(&pod.Spec)
	pod.Spec.Containers[0].VolumeMounts[0].MountPath = "/etc/nginx/conf.d"
	return pod
}

// prometheusPod mounts the ConfigMap "prometheus" and passes "restricted".
func prometheusPod(name string) *corev1.Pod {
	pod := podWith(name, corev1.Container{
		Name: "prometheus", Image: suite.cluster.Env.TestImagePrefix + "/prometheus:2.42", ImagePullPolicy: corev1.PullIfNotPresent,
		Args: []string{"--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus", "--web.enable-lifecycle"},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, TimeoutSeconds: 10, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/-/ready", Port: fromInt(9090)}}},
	}, "preset", "prometheus")
	pod.Spec.SecurityContext.RunAsNonRoot = new(true)
	volume(ofConfigMap("prometheus"))(&pod.Spec)
	pod.Spec.Containers[0].VolumeMounts[0].MountPath = "/etc/prometheus"
	return pod
}

// prometheusConfig is a configuration that differs from others by its edition.
func prometheusConfig(edition string) *corev1.ConfigMap {
	return configMap("prometheus", "prometheus.yml", "global: {external_labels: {edition: "+edition+"}}\n")
}

// hasEdition waits until a prometheus has loaded an edition.
func (s *space) hasEdition(pod, edition string) {
	s.t.Helper()
	s.eventually("prometheus to have "+edition, func() (string, bool) {
		body, err := s.Get(s.ctx, s.ns, pod, "9090", "/api/v1/status/config")
		return string(body), err == nil && strings.Contains(string(body), "edition: "+edition)
	})
}

// asUser lets nginx run as another user than root: it then keeps all that it writes in /tmp. It passes "restricted".
func asUser(pod *corev1.Pod, uid int64) *corev1.Pod {
	pod.Spec.SecurityContext.RunAsNonRoot, pod.Spec.SecurityContext.RunAsUser = new(true), &uid
	web := &pod.Spec.Containers[0]
	web.SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	const scratch = "pid /tmp/nginx.pid; error_log stderr; daemon off;"
	web.Command = []string{"nginx", "-c", "/main/nginx.conf", "-g", scratch}
	volume(ofConfigMap("main"))(&pod.Spec)
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	for _, path := range []string{"/tmp", "/var/log/nginx"} {
		web.VolumeMounts = append(web.VolumeMounts, corev1.VolumeMount{Name: "tmp", MountPath: path})
	}
	return pod
}

// mainConfig is for asUser.
func mainConfig() *corev1.ConfigMap {
	var paths strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&paths, "%s_temp_path /tmp/%s;\n", kind, kind)
	}
	return configMap("main", "nginx.conf", "worker_processes 1;\nevents {}\nhttp {\naccess_log off;\n"+paths.String()+"include /etc/nginx/conf.d/*.conf;\n}\n")
}

// create makes a pod and returns what the API server has made of it.
func (s *space) create(pod *corev1.Pod) *corev1.Pod {
	s.t.Helper()
	created, err := s.Client.CoreV1().Pods(s.ns).Create(s.ctx, pod, metav1.CreateOptions{})
	s.must(err)
	return created
}

// record is what the injector says about a pod.
func (s *space) record(pod *corev1.Pod) annotation.Record {
	s.t.Helper()
	record, err := annotation.ParseRecord(pod.Annotations[annotation.InjectionRecord])
	if err != nil {
		s.t.Fatalf("pod %s has no record of the injector: %v\n%v", pod.Name, err, pod.Annotations)
	}
	return record
}

// sidecarOf is the sidecar's container, nil for none.
func sidecarOf(pod *corev1.Pod) *corev1.Container {
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			if containers[i].Name == "inpod" {
				return &containers[i]
			}
		}
	}
	return nil
}

// awaitPod waits until a pod satisfies a condition.
func (s *space) awaitPod(name, what string, condition func(*corev1.Pod) bool) *corev1.Pod {
	s.t.Helper()
	object, err := framework.AwaitObject(s.ctx, s.Client.CoreV1().RESTClient(), "pods", s.ns, name, func(object runtime.Object) bool {
		pod, ok := object.(*corev1.Pod)
		return ok && condition(pod)
	})
	if err != nil {
		s.t.Fatalf("waited for pod %s to be %s: %v\n%s", name, what, err, s.Describe(context.WithoutCancel(s.ctx), s.ns))
	}
	return object.(*corev1.Pod)
}

func isReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// nudge has the kubelet refresh the volumes of a pod at once, as the controller does.
func (s *space) nudge(pod, why string) {
	s.t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{annotation.Nudge: why}}})
	s.must(err)
	_, err = s.Client.CoreV1().Pods(s.ns).Patch(s.ctx, pod, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	s.must(err)
}

// eventually asks again until there is the answer. Nothing reports when a program's answer changes.
func (s *space) eventually(what string, ask func() (answer string, ok bool)) {
	s.t.Helper()
	var last string
	ctx, cancel := patience.Context(s.ctx, 3*patience.Usual)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(context.Context) (bool, error) {
		answer, ok := ask()
		last = answer
		return ok, nil
	})
	if err != nil {
		s.t.Fatalf("waited for %s: %v; the last answer was:\n%s", what, context.Cause(ctx), last)
	}
}

// serves waits until a pod answers with a text.
func (s *space) serves(pod, text string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%s to serve %q", pod, text), func() (string, bool) {
		body, err := s.Get(s.ctx, s.ns, pod, "8080", "/")
		return fmt.Sprintf("%s %v", body, err), string(body) == text
	})
}

// status is what a sidecar says about itself.
type status struct {
	Changes int
	Last    struct {
		Result, Proof, Message string
		Proven                 bool
	}
	Volumes []struct{ Path, Kind string }
}

// reported waits until a sidecar reports a result.
func (s *space) reported(pod, result string) status {
	s.t.Helper()
	var now status
	s.eventually(fmt.Sprintf("the sidecar of %s to report %q", pod, result), func() (string, bool) {
		body, err := s.Get(s.ctx, s.ns, pod, sidecarPort, "/status")
		if err != nil {
			return err.Error(), false
		}
		now = status{}
		s.must(json.Unmarshal(body, &now))
		return string(body), now.Last.Result == result
	})
	return now
}

// undisturbed holds that a pod is the same as before and nothing in it was restarted.
func (s *space) undisturbed(before *corev1.Pod) {
	s.t.Helper()
	now, err := s.Client.CoreV1().Pods(s.ns).Get(s.ctx, before.Name, metav1.GetOptions{})
	s.must(err)
	if now.UID != before.UID {
		s.t.Errorf("pod %s was replaced", before.Name)
	}
	for _, statuses := range [][]corev1.ContainerStatus{now.Status.InitContainerStatuses, now.Status.ContainerStatuses} {
		for _, status := range statuses {
			if status.RestartCount > 0 {
				s.t.Errorf("container %s of pod %s was restarted %d times: %+v", status.Name, before.Name, status.RestartCount, status.LastTerminationState)
			}
		}
	}
}
