package observe

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/internal/annotation"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// asked describes what was listed and watched: "list secrets shop type!=…".
func (l *lab) asked() []string {
	var asked []string
	for _, action := range l.api.Actions() {
		var options metav1.ListOptions
		switch typed := action.(type) {
		case clienttesting.ListActionImpl:
			options = typed.ListOptions
		case clienttesting.WatchActionImpl:
			options = typed.ListOptions
		}
		words := []string{
			action.GetVerb(), action.GetResource().Resource, action.GetNamespace(), options.FieldSelector, options.LabelSelector,
		}
		words = slices.DeleteFunc(words, func(word string) bool { return word == "" })
		asked = append(asked, strings.Join(words, " "))
	}
	slices.Sort(asked)
	return asked
}

func TestWhatIsAskedOfTheAPIServer(t *testing.T) {
	t.Parallel()
	const pods = " inpod.dev/injected"
	const helm = " type!=helm.sh/release.v1"
	for name, c := range map[string]struct {
		change func(*Options)
		want   []string
	}{
		"the whole cluster": {func(*Options) {}, []string{
			"list configmaps", "list daemonsets", "list deployments", "list pods" + pods, "list secrets" + helm, "list statefulsets",
			"watch configmaps", "watch daemonsets", "watch deployments", "watch pods" + pods, "watch secrets" + helm, "watch statefulsets",
		}},
		"one namespace, without pods": {func(o *Options) { o.Namespaces, o.Pods = []string{"shop"}, false }, []string{
			"list configmaps shop", "list daemonsets shop", "list deployments shop", "list secrets shop" + helm, "list statefulsets shop",
			"watch configmaps shop", "watch daemonsets shop", "watch deployments shop", "watch secrets shop" + helm, "watch statefulsets shop",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := open(t, nil, c.change)
				if diff := cmp.Diff(c.want, l.asked()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestTheCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		other := obj.ConfigMap("b", "k", "0")
		other.Namespace = "other"
		l := open(t, objects(
			obj.ConfigMap("b", "k", "0"), obj.Annotated(obj.ConfigMap("a", "k", "0"), ignore, "true"), other, obj.Secret("c", "k", "0"),
			obj.Deployment("web", obj.Annotation("reloader.stakater.com/auto", "maybe"), obj.EnvFrom(obj.CM("a"))), obj.DaemonSet("agent"),
		))
		if diff := cmp.Diff([]source.Ref{configMap("a"), configMap("b")}, l.Sources(source.ConfigMap, obj.Namespace)); diff != "" {
			t.Errorf("ConfigMaps (-want +got):\n%s", diff)
		}
		if got := l.Sources(source.SecretProviderClass, obj.Namespace); len(got) > 0 {
			t.Errorf("sources of a kind that is not watched: %v", got)
		}
		if s := l.Source(configMap("a")); s == nil || !s.Ignore || s.Match || s.Keys["k"].Digest != source.DigestOf([]byte("0")) {
			t.Errorf("snapshot %+v", s)
		}
		if l.Source(configMap("none")) != nil || l.Source(secret("a")) != nil || l.Source(source.Ref{Kind: "Pod", Name: "a"}) != nil {
			t.Error("a snapshot of a source that does not exist")
		}
		keys := l.Workloads()
		slices.SortFunc(keys, workload.Key.Compare)
		want := []workload.Key{{Kind: "DaemonSet", Namespace: obj.Namespace, Name: "agent"}, deployment("web")}
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Errorf("workloads (-want +got):\n%s", diff)
		}
		w, ok := l.Workload(deployment("web"))
		if !ok || len(w.Problems) != 1 || w.Problems[0].Value != "maybe" || len(w.Usages) != 1 {
			t.Errorf("%t, %+v", ok, w)
		}
		for _, key := range []workload.Key{deployment("none"), {Kind: "CronJob", Namespace: obj.Namespace, Name: "web"}} {
			if _, ok := l.Workload(key); ok {
				t.Errorf("%s exists", key)
			}
		}
	})
}

func TestOtherNamespacesAreNotThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		other := obj.ConfigMap("b", "k", "0")
		other.Namespace = "other"
		l := open(t, objects(other, obj.ConfigMap("a", "k", "0"), obj.Deployment("web", obj.EnvFrom(obj.CM("a")))),
			func(o *Options) { o.Namespaces = []string{"shop", "more"} })
		if l.Source(source.Ref{Kind: source.ConfigMap, Namespace: "other", Name: "b"}) != nil {
			t.Error("a source of a namespace that is not watched")
		}
		if got := l.Sources(source.ConfigMap, "other"); got != nil {
			t.Errorf("sources %v", got)
		}
		if _, ok := l.Workload(workload.Key{Kind: "Deployment", Namespace: "other", Name: "web"}); ok {
			t.Error("a workload of a namespace that is not watched")
		}
		if len(l.Pods(workload.Key{Kind: "Deployment", Namespace: "other", Name: "web"})) > 0 {
			t.Error("pods of a namespace that is not watched")
		}
		if len(l.Workloads()) != 1 {
			t.Errorf("workloads %v", l.Workloads())
		}
		l.update(obj.ConfigMap("a", "k", "1"))
		if diff := cmp.Diff([]string{"SourceChanged Deployment/web"}, l.heard()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
	})
}

// apiVersions of owners.
var apiVersions = map[string]string{
	"ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1", "ReplicationController": "v1",
	"Rollout": "argoproj.io/v1alpha1", "CloneSet": "apps.kruise.io/v1alpha1",
}

// owned is a pod of a workload, with the sidecar.
func owned(name, kind, owner string, nsCaches ...obj.Part) *corev1.Pod {
	pod := obj.Pod(name, append([]obj.Part{obj.Label(annotation.InjectedLabel, "true")}, nsCaches...)...)
	pod.OwnerReferences = []metav1.OwnerReference{
		{Kind: "Thing", Name: "not-the-controller"},
		{APIVersion: apiVersions[kind], Kind: kind, Name: owner, Controller: new(true)},
	}
	if kind == "ReplicaSet" {
		pod.Labels["pod-template-hash"] = "6d4cf56db6"
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.7"}
	return pod
}

func TestPodsBelongToTheirWorkload(t *testing.T) {
	t.Parallel()
	orphan := obj.Pod("orphan", obj.Label(annotation.InjectedLabel, "true"))
	strange := owned("strange", "ReplicaSet", "made-by-hand")
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(
			owned("web-2", "ReplicaSet", "web-6d4cf56db6"), owned("web-1", "ReplicaSet", "web-6d4cf56db6"),
			owned("db-0", "StatefulSet", "db"), owned("agent-x", "DaemonSet", "agent"), owned("job-x", "Job", "job"), orphan, strange,
		))
		for key, want := range map[workload.Key][]string{
			deployment("web"): {"web-1", "web-2"},
			{Kind: "StatefulSet", Namespace: obj.Namespace, Name: "db"}:  {"db-0"},
			{Kind: "DaemonSet", Namespace: obj.Namespace, Name: "agent"}: {"agent-x"},
			{Kind: "Job", Namespace: obj.Namespace, Name: "job"}:         nil,
			deployment("made-by-hand"):                                   nil,
			deployment(""):                                               nil,
		} {
			var got []string
			for _, pod := range l.Pods(key) {
				got = append(got, pod.Name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("pods of %s (-want +got):\n%s", key, diff)
			}
		}
	})
}

func TestWhatIsKeptOfAPod(t *testing.T) {
	t.Parallel()
	items := []corev1.KeyToPath{{Key: "tls.crt", Path: "cert/tls.crt"}}
	build := func() *corev1.Pod {
		return owned("web-1", "ReplicaSet", "web-6d4cf56db6",
			obj.Container("app"), obj.Mount(obj.CM("not-watched")), obj.Projected(obj.CM("conf")), obj.SubPath(obj.CM("not-live"), "k"),
			obj.Sidecar("proxy"), obj.Mount(obj.CM("also-not-watched")), obj.Init("setup"), obj.Mount(obj.CM("over")),
			obj.Sidecar(SidecarName), obj.Mount(obj.CM("conf")), obj.SubPath(obj.CM("frozen"), "k"),
			obj.Projected(obj.Sec("tls").Items("tls.crt:cert/tls.crt"), obj.CM("more")), obj.Mount(obj.Sec("db")))
	}
	want := Pod{
		Namespace: obj.Namespace, Name: "web-1", UID: "uid-of-web-1", Workload: deployment("web"),
		Address: "10.0.0.7", Port: sidecarapi.DefaultPort, Running: true,
		Mounts: []Mount{
			{Ref: configMap("conf"), Path: "/mnt/0"},
			{Ref: secret("tls"), Path: "/mnt/2", Items: items},
			{Ref: configMap("more"), Path: "/mnt/2"},
			{Ref: secret("db"), Path: "/mnt/3"},
		},
		Beyond: []source.Ref{configMap("also-not-watched"), configMap("not-watched")},
	}
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   func(*Pod)
	}{
		"a running pod": {func(*corev1.Pod) {}, func(*Pod) {}},
		"a port of its own": {
			func(p *corev1.Pod) { p.Spec.InitContainers[2].Ports = []corev1.ContainerPort{{ContainerPort: 1234}} },
			func(p *Pod) { p.Port = 1234 },
		},
		"a port of an older version": {
			func(p *corev1.Pod) {
				p.Spec.InitContainers[2].Ports = []corev1.ContainerPort{{Name: SidecarName, ContainerPort: 9797}}
			},
			func(p *Pod) { p.Port = 9797 },
		},
		"a port beside those that others added": {
			func(p *corev1.Pod) {
				p.Spec.InitContainers[2].Ports = []corev1.ContainerPort{{Name: "debug", ContainerPort: 1}, {Name: SidecarName, ContainerPort: 1234}}
			},
			func(p *Pod) { p.Port = 1234 },
		},
		"a port that is declared by no more than an argument": {
			func(p *corev1.Pod) {
				p.Spec.InitContainers[2].Args = []string{"--watch=/mnt/0", "--listen-address=127.0.0.1:1234"}
			},
			func(p *Pod) { p.Port = 1234 },
		},
		"a sidecar that listens nowhere": {
			func(p *corev1.Pod) { p.Spec.InitContainers[2].Args = []string{"--listen-address=off"} },
			func(*Pod) {},
		},
		"a pod that waits": {
			func(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodPending} },
			func(p *Pod) { p.Running, p.Address = false, "" },
		},
		"a pod that is being deleted": {
			func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) },
			func(p *Pod) { p.Over = true },
		},
		"a pod that has ended": {
			func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed },
			func(p *Pod) { p.Running, p.Over = false, true },
		},
		"without the sidecar": {
			func(p *corev1.Pod) { p.Spec.InitContainers = nil },
			func(p *Pod) { p.Mounts, p.Beyond = nil, []source.Ref{configMap("conf"), configMap("not-watched")} },
		},
		"the token, which every other container has": {
			func(p *corev1.Pod) { p.Spec.InitContainers[0].VolumeMounts[0].MountPath = accountPath },
			func(p *Pod) { p.Beyond = []source.Ref{configMap("not-watched")} },
		},
		"a path from the root, without saying so": {
			func(p *corev1.Pod) { p.Spec.InitContainers[2].VolumeMounts[0].MountPath = "etc/conf/" },
			func(p *Pod) { p.Mounts[0].Path = "/etc/conf" },
		},
		"files of no source in a volume of the sidecar, and of another container": {
			func(p *corev1.Pod) {
				token := corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}
				for i := range p.Spec.Volumes {
					if v := p.Spec.Volumes[i].Projected; v != nil {
						v.Sources = append([]corev1.VolumeProjection{token}, v.Sources...)
					}
				}
				p.Spec.InitContainers[2].Args = []string{"--watch=/mnt/2", "--ignore=/mnt/2/token", "--ignore=/mnt/2/$$(x)"}
			},
			func(p *Pod) {
				p.Mounts = slices.Insert(p.Mounts, 1, Mount{Path: "/mnt/2", Items: []corev1.KeyToPath{{Path: "token"}}})
				p.Ignored = []string{"/mnt/2/token", "/mnt/2/$(x)"}
			},
		},
		"a volume of the secrets-store driver, and the sidecar watches one of them": {
			func(p *corev1.Pod) {
				class := func(name string) corev1.VolumeSource {
					return corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "secrets-store.csi.k8s.io", VolumeAttributes: map[string]string{"secretProviderClass": name}}}
				}
				p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "vault", VolumeSource: class("vault")}, corev1.Volume{Name: "own", VolumeSource: class("own")},
					corev1.Volume{Name: "spiffe", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "csi.spiffe.io"}}})
				p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts,
					corev1.VolumeMount{Name: "vault", MountPath: "/secrets"}, corev1.VolumeMount{Name: "own", MountPath: "/own"})
				p.Spec.InitContainers[2].VolumeMounts = append(p.Spec.InitContainers[2].VolumeMounts,
					corev1.VolumeMount{Name: "vault", MountPath: "/secrets"}, corev1.VolumeMount{Name: "spiffe", MountPath: "/spiffe"})
			},
			func(p *Pod) {
				p.Mounts = append(p.Mounts, Mount{Ref: classRef(obj.Namespace, "vault"), Path: "/secrets"})
				p.Beyond = append(p.Beyond, classRef(obj.Namespace, "own"))
			},
		},
		"when the application started": {
			func(p *corev1.Pod) {
				p.Annotations = map[string]string{annotation.InjectionRecord: annotation.Record{Injected: true, Container: "app"}.String()}
				p.Status.ContainerStatuses = []corev1.ContainerStatus{
					{Name: "other", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Unix(2, 0)}}},
					{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Unix(1, 0)}}},
				}
			},
			func(p *Pod) { p.Container, p.Started = "app", time.Unix(1, 0) },
		},
		"its application has not been ready since it started": {
			func(p *corev1.Pod) { startedAt(p, 5, corev1.ConditionFalse, 4) },
			func(p *Pod) { p.Container, p.Started, p.Starting = "app", time.Unix(5, 0), true },
		},
		"its application was ready, and is not any more": {
			func(p *corev1.Pod) { startedAt(p, 5, corev1.ConditionFalse, 9) },
			func(p *Pod) { p.Container, p.Started = "app", time.Unix(5, 0) },
		},
		"its application is ready": {
			func(p *corev1.Pod) { startedAt(p, 5, corev1.ConditionTrue, 6) },
			func(p *Pod) { p.Container, p.Started = "app", time.Unix(5, 0) },
		},
		"its sidecar runs": {
			func(p *corev1.Pod) {
				p.Status.InitContainerStatuses = []corev1.ContainerStatus{
					{Name: SidecarName, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
				}
			},
			func(*Pod) {},
		},
		"its sidecar has crashed": {
			func(p *corev1.Pod) {
				p.Status.InitContainerStatuses = []corev1.ContainerStatus{
					{Name: SidecarName, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}},
				}
			},
			func(p *Pod) { p.SidecarDown = true },
		},
		"the node controller says that it is not ready, and its kubelet said that it is": {
			func(p *corev1.Pod) { p.Status.Conditions = ready(corev1.ConditionFalse, corev1.ConditionTrue) },
			func(p *Pod) { p.Lost = true },
		},
		"its kubelet says that it is not ready": {
			func(p *corev1.Pod) { p.Status.Conditions = ready(corev1.ConditionFalse, corev1.ConditionFalse) },
			func(*Pod) {},
		},
		"a gate of somebody else says that it is not ready": {
			func(p *corev1.Pod) {
				p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/open"}}
				p.Status.Conditions = ready(corev1.ConditionFalse, corev1.ConditionTrue)
			},
			func(*Pod) {},
		},
		"the gates are open, and the node controller says that it is not ready": {
			func(p *corev1.Pod) {
				p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/open"}}
				p.Status.Conditions = append(ready(corev1.ConditionFalse, corev1.ConditionTrue),
					corev1.PodCondition{Type: "example.com/open", Status: corev1.ConditionTrue})
			},
			func(p *Pod) { p.Lost = true },
		},
		"nobody knows whether it is ready": {
			func(p *corev1.Pod) { p.Status.Conditions = ready(corev1.ConditionUnknown, corev1.ConditionUnknown) },
			func(p *Pod) { p.Lost = true },
		},
		"it was not ready, and the reason names the node": {
			func(p *corev1.Pod) {
				p.Status.Conditions = ready(corev1.ConditionFalse, corev1.ConditionFalse)
				p.Status.Conditions[1].Reason = "NodeNotReady"
			},
			func(p *Pod) { p.Lost = true },
		},
		"it is deleted, and nobody ends it": {
			func(p *corev1.Pod) {
				p.DeletionTimestamp, p.Status.Reason = new(metav1.Unix(1000, 0)), "NodeLost"
				p.Status.Conditions = ready(corev1.ConditionFalse, corev1.ConditionFalse)
			},
			func(p *Pod) { p.Lost, p.Over = true, true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, want := build(), want
			want.Mounts = slices.Clone(want.Mounts)
			c.change(pod)
			c.want(&want)
			o := &Observer{options: Options{Kinds: workload.Kinds()}}
			reduced, err := o.reducePod(pod)
			item, ok := reduced.(*podItem)
			if err != nil || !ok {
				t.Fatalf("%T, %v", reduced, err)
			}
			if diff := cmp.Diff(want, item.Pod); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if again, err := o.reducePod(item); again != any(item) || err != nil {
				t.Error("what is reduced already is reduced again")
			}
		})
	}
}

func ready(pod, containers corev1.ConditionStatus) []corev1.PodCondition {
	return []corev1.PodCondition{{Type: corev1.ContainersReady, Status: containers}, {Type: corev1.PodReady, Status: pod}}
}

// The label of a namespace asks for the sidecar as well, and the workload says nothing of it.
func TestAPodWithTheSidecarCountsItsWorkloadAsInjected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(obj.Deployment("web")))
		if w, ok := l.Workload(deployment("web")); !ok || w.Policy.Injected {
			t.Fatalf("%v, injected %t", ok, w.Policy.Injected)
		}
		l.create(owned("web-1", "ReplicaSet", "web-6d4cf56db6"))
		synctest.Wait()
		if diff := cmp.Diff([]string{"WorkloadChanged Deployment/web"}, l.heard()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
		if w, _ := l.Workload(deployment("web")); !w.Policy.Injected {
			t.Error("it does not count as injected")
		}
	})
}

// startedAt has the application start at a time, and the containers of the pod be ready or not since another one.
func startedAt(p *corev1.Pod, started int64, ready corev1.ConditionStatus, since int64) {
	p.Annotations = map[string]string{annotation.InjectionRecord: annotation.Record{Injected: true, Container: "app"}.String()}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{
		{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Unix(started, 0)}}},
	}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: ready, LastTransitionTime: metav1.Unix(since, 0)}}
}
