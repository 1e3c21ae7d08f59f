//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
)

func fromInt(port int) intstr.IntOrString { return intstr.FromInt(port) }

// One injector, without any controller, for all of these. The tests nudge their pods themselves.
func TestInjector(t *testing.T) {
	t.Parallel()
	release, _ := installInjector(t, nil)
	for name, test := range map[string]struct {
		level  string
		labels map[string]string
		run    func(*space)
	}{
		"a root master":                      {level: baseline, run: aRootMaster},
		"the user of the image":              {level: baseline, run: theUserOfTheImage},
		"the user of the pod, restricted":    {level: restricted, run: theUserOfThePod},
		"an ordinary container":              {level: baseline, run: anOrdinaryContainer},
		"a URL":                              {level: restricted, run: aURL},
		"a command with a validator":         {level: baseline, run: aCommandWithAValidator},
		"secrets of mode 0400 and projected": {level: baseline, run: severalVolumes},
		"a mount inside an emptyDir":         {level: baseline, run: aMountInsideAnEmptyDir},
		"a bad annotation":                   {level: baseline, run: aBadAnnotation},
		"a policy against capabilities":      {level: baseline, run: aPolicyAgainstCapabilities},
		"a quota on limits":                  {level: baseline, run: aQuotaOnLimits},
		"only frozen usages":                 {level: restricted, run: onlyFrozenUsages},
		"a Job":                              {level: restricted, run: aJob},
		"a namespace that asks":              {level: baseline, labels: map[string]string{annotation.InjectKey: "enabled"}, run: aNamespaceThatAsks},
		"no token for the sidecar":           {level: baseline, run: noTokenForTheSidecar},
		"the injector's own namespace":       {level: restricted, run: itsOwnNamespace},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.run(openInjected(t, release, test.level, test.labels))
		})
	}
}

// reloadsInPlace edits the site of an nginx pod twice, well and badly, and holds what the record says.
func (s *space) reloadsInPlace(pod *corev1.Pod, want annotation.Record) status {
	s.t.Helper()
	s.apply(configMap("site", "default.conf", site("first")), mainConfig())
	created := s.create(pod)
	got := s.record(created)
	if !got.Injected || got.Image != want.Image || got.Kind != want.Kind || !strings.HasPrefix(got.User, want.User) {
		s.t.Fatalf("the record is %s\nwant image %s, kind %s, user %s", got, want.Image, want.Kind, want.User)
	}
	s.awaitPod(pod.Name, "ready", isReady)
	s.serves(pod.Name, "first")

	s.apply(configMap("site", "default.conf", site("second")))
	s.nudge(pod.Name, "second")
	s.serves(pod.Name, "second")
	s.reported(pod.Name, "applied")

	s.apply(configMap("site", "default.conf", "nonsense;\n"))
	s.nudge(pod.Name, "bad")
	rejected := s.reported(pod.Name, "rejected")
	s.serves(pod.Name, "second")
	s.undisturbed(created)
	return rejected
}

func aRootMaster(s *space) {
	pod := nginxPod("web", "preset", "nginx")
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(0))}
	s.reloadsInPlace(pod, annotation.Record{Image: "inpod", Kind: "native", User: "0, as container web, with KILL"})
}

func theUserOfTheImage(s *space) {
	rejected := s.reloadsInPlace(nginxPod("web", "preset", "nginx"), annotation.Record{Image: "application", Kind: "native", User: "as the image"})
	if !strings.Contains(rejected.Last.Message, `unknown directive "nonsense"`) {
		s.t.Errorf("the sidecar does not say what nginx said: %s", rejected.Last.Message)
	}
}

func theUserOfThePod(s *space) {
	pod := asUser(nginxPod("web", "preset", "nginx"), 101)
	s.reloadsInPlace(pod, annotation.Record{Image: "inpod", Kind: "native", User: "101"})
}

func anOrdinaryContainer(s *space) {
	pod := nginxPod("web", "preset", "nginx", "native-sidecar", "false", "sidecar-run-as-user", "0")
	s.reloadsInPlace(pod, annotation.Record{Image: "inpod", Kind: "classic", User: "0, as inpod.dev/sidecar-run-as-user says"})
}

func aURL(s *space) {
	s.apply(withTargets("first", "- targets: ['127.0.0.1:1']"))
	created := s.create(prometheusPod("metrics"))
	if got := s.record(created); got.Image != "inpod" || got.SharedProcesses || created.Spec.ShareProcessNamespace != nil {
		s.t.Errorf("a URL needs neither the application's image nor its processes: %s", got)
	}
	s.awaitPod("metrics", "ready", isReady)
	s.hasEdition("metrics", "first")
	s.apply(withTargets("second", "- targets: ['127.0.0.1:1']"))
	s.nudge("metrics", "second")
	s.hasEdition("metrics", "second")
	s.eventually("its metrics to prove what it reads when it reloads", func() (string, bool) {
		last := s.reported("metrics", "applied").Last
		return fmt.Sprintf("%+v", last), last.Proven
	})
	s.apply(withTargets("second", "nonsense: here"))
	s.nudge("metrics", "targets")
	s.eventually("the targets to be applied, not proven", func() (string, bool) {
		last := s.reported("metrics", "applied").Last
		return fmt.Sprintf("%+v", last), !last.Proven && strings.Contains(last.Message, "not proven for /etc/prometheus/targets.yml")
	})
	s.apply(configMap("prometheus", "prometheus.yml", "nonsense\n"))
	s.nudge("metrics", "bad")
	s.reported("metrics", "rejected")
	s.hasEdition("metrics", "second")
	s.undisturbed(created)
}

// withTargets is a configuration with a file of targets. Of a bad one Prometheus says so in a counter, and its reload goes
// well.
func withTargets(edition, targets string) *corev1.ConfigMap {
	config := prometheusConfig(edition)
	config.Data["prometheus.yml"] += "scrape_configs: [{job_name: found, file_sd_configs: [{files: [/etc/prometheus/targets.yml]}]}]\n"
	config.Data["targets.yml"] = targets + "\n"
	return config
}

// The command finds nginx by its pid file, which lies in a folder that both containers mount.
func aCommandWithAValidator(s *space) {
	pod := nginxPod("web", "reload-command", `["nginx","-s","reload"]`, "validate-command", `["nginx","-t","-q"]`, "reload-process", "nginx")
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "run", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	web := &pod.Spec.Containers[0]
	web.VolumeMounts = append(web.VolumeMounts, corev1.VolumeMount{Name: "run", MountPath: "/run"})
	rejected := s.reloadsInPlace(pod, annotation.Record{Image: "application", Kind: "native", User: "as the image"})
	if !strings.Contains(rejected.Last.Message, `unknown directive "nonsense"`) {
		s.t.Errorf("the sidecar does not say what the validator said: %s", rejected.Last.Message)
	}
}

// A Secret that only root can read, and a projected volume, edited together with the site: one reload.
func severalVolumes(s *space) {
	s.apply(configMap("site", "default.conf", site("first")), secret("key", "tls.key", "first"), configMap("extra", "extra.txt", "first"))
	pod := nginxPod("web", "preset", "nginx", "settle", "5s")
	web := &pod.Spec.Containers[0]
	web.SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(0))}
	volume(ofSecret("key"))(&pod.Spec)
	pod.Spec.Volumes[1].Secret.DefaultMode = new(int32(0o400))
	projected(ofConfigMap("extra"), "extra.txt")(&pod.Spec)
	created := s.create(pod)
	s.awaitPod("web", "ready", isReady)
	s.apply(configMap("site", "default.conf", site("second")), secret("key", "tls.key", "second"), configMap("extra", "extra.txt", "second"))
	s.nudge("web", "second")
	s.serves("web", "second")
	now := s.reported("web", "applied")
	if len(now.Volumes) != 3 {
		s.t.Errorf("the sidecar watches %+v; want three volumes", now.Volumes)
	}
	metrics, err := s.Get(s.ctx, s.ns, "web", sidecarPort, "/metrics")
	s.must(err)
	if !strings.Contains(string(metrics), `inpod_sidecar_reloads_total{result="applied"} 1`+"\n") {
		s.t.Errorf("not one reload:\n%s", metrics)
	}
	s.undisturbed(created)
}

// The validator of nginx sees what the application sees. The folder of a mount inside an emptyDir is missing when the sidecar
// starts, before the application: the sidecar has to be able to make it.
func aMountInsideAnEmptyDir(s *space) {
	s.apply(configMap("site", "default.conf", site("first")), configMap("extra", "extra.txt", "first"))
	pod := nginxPod("web", "preset", "nginx")
	volume(ofConfigMap("extra"))(&pod.Spec)
	web := &pod.Spec.Containers[0]
	web.VolumeMounts[1].MountPath = "/srv/www/extra"
	web.VolumeMounts = append(web.VolumeMounts, corev1.VolumeMount{Name: "www", MountPath: "/srv/www"})
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "www", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	created := s.create(pod)
	if sidecarOf(created) == nil {
		s.t.Fatalf("the record is %s; want the sidecar", s.record(created))
	}
	s.awaitPod("web", "ready", isReady)
	s.apply(configMap("site", "default.conf", site("second")))
	s.nudge("web", "second")
	s.serves("web", "second")
	s.undisturbed(created)
}

// A pod whose annotation cannot be understood runs without the sidecar, and says why.
func aBadAnnotation(s *space) {
	s.apply(configMap("site", "default.conf", site("first")))
	pod := nginxPod("web", "preset", "nginks")
	s.apply(&appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: pod.Labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations}, Spec: pod.Spec},
		},
	})
	var list *corev1.PodList
	s.eventually("a pod", func() (string, bool) {
		var err error
		list, err = s.Client.CoreV1().Pods(s.ns).List(s.ctx, metav1.ListOptions{})
		s.must(err)
		return "", len(list.Items) > 0
	})
	if len(list.Items) != 1 || sidecarOf(&list.Items[0]) != nil {
		s.t.Fatalf("pods: %+v; want one without sidecar", list.Items)
	}
	if record := s.record(&list.Items[0]); record.Injected || record.Reason != "InvalidAnnotation" || !strings.Contains(record.Message, "nginks") {
		s.t.Errorf("the record is %s", record)
	}
	if list.Items[0].Labels[annotation.InjectedLabel] != "false" {
		s.t.Errorf("labels %v", list.Items[0].Labels)
	}
	s.awaitPod(list.Items[0].Name, "ready", isReady)
}

func onlyFrozenUsages(s *space) {
	s.apply(configMap("config", "key", "1"))
	pod := podWith("app", container("app", "sleep"), "reload-url", "http://127.0.0.1/")
	pod.Spec.SecurityContext.RunAsNonRoot = new(true)
	for _, use := range []use{subPath(ofConfigMap("config"), "key"), env("KEY", ofConfigMap("config"), "key")} {
		use(&pod.Spec)
	}
	created := s.create(pod)
	if record := s.record(created); sidecarOf(created) != nil || record.Reason != "OnlyFrozenUsages" {
		s.t.Errorf("the record is %s", record)
	}
}

// A Job finishes with a native sidecar, and an ordinary one, which would run for ever, is refused.
func aJob(s *space) {
	s.apply(configMap("config", "key", "1"))
	job := func(name string, keysAndValues ...string) {
		pod := podWith(name, container("app", "cat", "/config/key"), append(keysAndValues, "reload-url", "http://127.0.0.1/")...)
		pod.Spec.SecurityContext.RunAsNonRoot = new(true)
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		volume(ofConfigMap("config"))(&pod.Spec)
		s.apply(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: pod.Annotations}, Spec: pod.Spec},
		}})
	}
	job("native")
	job("classic", "native-sidecar", "false")
	reasons := map[string]string{}
	for _, name := range []string{"native", "classic"} {
		_, err := framework.AwaitObject(s.ctx, s.Client.BatchV1().RESTClient(), "jobs", s.ns, name, func(object runtime.Object) bool {
			done, ok := object.(*batchv1.Job)
			return ok && done.Status.Succeeded == 1
		})
		s.must(err)
		list, err := s.Client.CoreV1().Pods(s.ns).List(s.ctx, metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + name})
		s.must(err)
		reasons[name] = s.record(&list.Items[0]).Reason
		if hasSidecar := sidecarOf(&list.Items[0]) != nil; hasSidecar != (name == "native") {
			s.t.Errorf("job %s: sidecar %v", name, hasSidecar)
		}
	}
	if reasons["classic"] != "WouldBlockCompletion" {
		s.t.Errorf("reasons: %v", reasons)
	}
}

// annotateNamespace gives the namespace annotations: "key", "value", … without the domain.
func (s *space) annotateNamespace(keysAndValues ...string) {
	s.t.Helper()
	annotations := map[string]string{}
	for i := 0; i < len(keysAndValues); i += 2 {
		annotations[annotation.Domain+keysAndValues[i]] = keysAndValues[i+1]
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	s.must(err)
	_, err = s.Client.CoreV1().Namespaces().Patch(s.ctx, s.ns, types.MergePatchType, patch, metav1.PatchOptions{})
	s.must(err)
}

// The label of the namespace asks, and its annotations say how. A pod may still say no. How a pod runs is changed only once the
// namespace says that it may be.
func aNamespaceThatAsks(s *space) {
	s.annotateNamespace("preset", "nginx")
	s.apply(configMap("site", "default.conf", site("first")))
	alone, silent, refuses := nginxPod("alone"), nginxPod("silent"), nginxPod("refuses")
	delete(alone.Annotations, annotation.InjectKey)
	delete(silent.Annotations, annotation.InjectKey)
	if as := s.create(alone); sidecarOf(as) != nil || as.Spec.ShareProcessNamespace != nil {
		s.t.Errorf("a pod that says nothing, in a namespace that says nothing of shared processes: %+v", as.Spec)
	}
	s.annotateNamespace("share-processes", "true")
	// What a replica has read of the namespace holds for a second, and longer where the API server is slow.
	var created *corev1.Pod
	s.eventually("an injector that has read the namespace again", func() (string, bool) {
		if created = s.create(silent); sidecarOf(created) != nil {
			return "", true
		}
		s.must(s.Client.CoreV1().Pods(s.ns).Delete(s.ctx, silent.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
		return fmt.Sprint(created.Annotations), false
	})
	if !slices.Contains(sidecarOf(created).Args, "--preset=nginx") {
		s.t.Errorf("a pod that says nothing: %v", created.Annotations)
	}
	refuses.Annotations[annotation.InjectKey] = "disabled"
	if refused := s.create(refuses); sidecarOf(refused) != nil || refused.Annotations[annotation.InjectionRecord] != "" {
		s.t.Errorf("a pod that says no: %v", refused.Annotations)
	}
	s.awaitPod("silent", "ready", isReady)
	s.apply(configMap("site", "default.conf", site("second")))
	s.nudge("silent", "second")
	s.serves("silent", "second")
}

// The API server gives the token of the pod's service account to every container, and the sidecar has no use for it.
func noTokenForTheSidecar(s *space) {
	s.apply(configMap("site", "default.conf", site("first")))
	created := s.create(nginxPod("web", "preset", "nginx"))
	mounts := map[string]string{}
	for _, c := range slices.Concat(created.Spec.InitContainers, created.Spec.Containers) {
		for _, mount := range c.VolumeMounts {
			if mount.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount" {
				mounts[c.Name], _, _ = strings.Cut(mount.Name, "-api-access-")
			}
		}
	}
	if mounts["web"] != "kube" || mounts["inpod"] == "kube" || mounts["inpod-install"] == "kube" {
		s.t.Errorf("what is mounted at the place of the token: %v", mounts)
	}
}

// Pods in the namespace of the injector, and its own above all, are created whatever becomes of it.
func itsOwnNamespace(s *space) {
	home := *s
	home.ns = s.Namespace
	home.apply(configMap("config", "key", "1"))
	pod := podWith("bystander", container("app", "sleep"), "reload-url", "http://127.0.0.1/")
	pod.Spec.SecurityContext.RunAsNonRoot = new(true)
	volume(ofConfigMap("config"))(&pod.Spec)
	if created := home.create(pod); sidecarOf(created) != nil || created.Annotations[annotation.InjectionRecord] != "" {
		s.t.Errorf("it was touched: %v", created.Annotations)
	}
}
