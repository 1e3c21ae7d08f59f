package observe

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/internal/annotation"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// controlled is a pod with the sidecar, which watches a ConfigMap, and with what controls it.
func controlled(name, version, kind, owner string, nsCaches ...obj.Part) *corev1.Pod {
	pod := obj.Pod(name, append([]obj.Part{
		obj.Label(annotation.InjectedLabel, "true"), obj.Container("app"), obj.Mount(obj.CM("conf")), obj.EnvFrom(obj.CM("vars")),
		obj.Sidecar(SidecarName), obj.Mount(obj.CM("conf")),
	}, nsCaches...)...)
	if kind != "" {
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: version, Kind: kind, Name: owner, UID: "uid-of-owner", Controller: new(true)}}
	}
	return pod
}

func TestPodsOfAnUnknownWorkloadAreFollowed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pods      []*corev1.Pod
		wantKey   workload.Key
		wantAbout corev1.ObjectReference
		wantPods  int
	}{
		"a bare pod": {
			pods:      []*corev1.Pod{controlled("alone", "", "", "")},
			wantKey:   workload.Key{Kind: "Pod", Namespace: obj.Namespace, Name: "alone"},
			wantAbout: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: obj.Namespace, Name: "alone", UID: "uid-of-alone"},
			wantPods:  1,
		},
		"pods of a ReplicaSet of its own": {
			pods:      []*corev1.Pod{controlled("web-1", "apps/v1", "ReplicaSet", "web"), controlled("web-2", "apps/v1", "ReplicaSet", "web")},
			wantKey:   workload.Key{Kind: "ReplicaSet.apps", Namespace: obj.Namespace, Name: "web"},
			wantAbout: corev1.ObjectReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: obj.Namespace, Name: "web", UID: "uid-of-owner"},
			wantPods:  2,
		},
		"pods of an operator": {
			pods:      []*corev1.Pod{controlled("kafka-0", "core.strimzi.io/v1beta2", "StrimziPodSet", "kafka")},
			wantKey:   workload.Key{Kind: "StrimziPodSet.core.strimzi.io", Namespace: obj.Namespace, Name: "kafka"},
			wantAbout: corev1.ObjectReference{APIVersion: "core.strimzi.io/v1beta2", Kind: "StrimziPodSet", Namespace: obj.Namespace, Name: "kafka", UID: "uid-of-owner"},
			wantPods:  1,
		},
		"Jobs that inpod ignores by its settings": {pods: []*corev1.Pod{controlled("job-x", "batch/v1", "Job", "job")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := open(t, objects(obj.ConfigMap("conf", "k", "0"), obj.ConfigMap("vars", "k", "0")))
				for _, pod := range tc.pods {
					l.create(pod)
				}
				notes := l.heard()
				if tc.wantKey.Name == "" {
					if keys := l.Workloads(); len(keys)+len(notes) > 0 {
						t.Errorf("workloads %v, notified %v", keys, notes)
					}
					return
				}
				if diff := cmp.Diff([]workload.Key{tc.wantKey}, l.Workloads()); diff != "" {
					t.Fatalf("workloads (-want +got):\n%s", diff)
				}
				if len(notes) == 0 {
					t.Error("not notified of new pods")
				}
				w, ok := l.Workload(tc.wantKey)
				if !ok || !w.View.Stray || w.View.Pods != tc.wantPods || !w.Policy.Injected {
					t.Fatalf("%v %+v", ok, w)
				}
				if diff := cmp.Diff(&tc.wantAbout, w.About); diff != "" {
					t.Errorf("events are about (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]source.Ref{configMap("conf")}, w.View.Refs()); diff != "" {
					t.Errorf("it uses (-want +got):\n%s", diff)
				}
				if got := len(l.Pods(tc.wantKey)); got != tc.wantPods {
					t.Errorf("%d pods", got)
				}

				l.update(obj.ConfigMap("vars", "k", "1"))
				if notes := l.heard(); len(notes) > 0 {
					t.Errorf("notified of what a reload does not bring: %v", notes)
				}
				l.update(obj.ConfigMap("conf", "k", "1"))
				if diff := cmp.Diff([]string{"SourceChanged " + tc.wantKey.Kind + "/" + tc.wantKey.Name}, l.heard()); diff != "" {
					t.Errorf("notified (-want +got):\n%s", diff)
				}
				for _, pod := range tc.pods {
					l.remove(pod)
				}
				if notes := l.heard(); !slices.Contains(notes, "WorkloadChanged "+tc.wantKey.Kind+"/"+tc.wantKey.Name) {
					t.Errorf("notified of their end: %v", notes)
				}
				if _, ok := l.Workload(tc.wantKey); ok {
					t.Error("it is there without pods")
				}
			})
		})
	}
}

func TestAPodOfAnUnknownWorkloadMayOptOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(obj.ConfigMap("conf", "k", "0")))
		l.create(controlled("alone", "", "", "", obj.TemplateAnnotation("reloader.stakater.com/ignore", "true")))
		l.heard()
		w, ok := l.Workload(workload.Key{Kind: "Pod", Namespace: obj.Namespace, Name: "alone"})
		if !ok || w.Policy.Select(configMap("conf"), false, false, true, false).Follows() {
			t.Errorf("%v %v", ok, w.Policy)
		}
	})
}

// What is said of pods does not depend on the order in which they came.
func TestPodsOfAnUnknownWorkloadAreSeenInOneOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var pods []*corev1.Pod
		for i, name := range []string{"web-a", "web-b", "web-c", "web-d"} {
			pod := controlled(name, "apps/v1", "ReplicaSet", "web", obj.Mount(obj.CM("of-"+name)))
			pod.OwnerReferences[0].UID = types.UID("uid-of-" + name)
			pod.CreationTimestamp = metav1.NewTime(time.Unix(int64(i), 0))
			pods = append(pods, pod)
		}
		pods[3].Status.Phase = corev1.PodFailed // of an owner that is gone
		l := open(t, nil)
		key := workload.Key{Kind: "ReplicaSet.apps", Namespace: obj.Namespace, Name: "web"}
		var first Workload
		for i := range 20 {
			for at := range pods {
				l.create(pods[(at+i)%len(pods)])
			}
			synctest.Wait()
			w, ok := l.Workload(key)
			if !ok || w.View.UID != "uid-of-web-c" || w.About.UID != w.View.UID {
				t.Fatalf("%v: it is about %s", ok, w.View.UID)
			}
			if i == 0 {
				first = w
			}
			if diff := cmp.Diff(first.Usages, w.Usages); diff != "" {
				t.Fatalf("it uses (-first +now):\n%s", diff)
			}
			for _, pod := range pods {
				l.remove(pod)
			}
			synctest.Wait()
		}
	})
}

// A namespace that begins to match is reconciled as a whole, and one that ceases to is forgotten.
func TestPodsOfAnUnknownWorkloadInASelectedNamespace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(controlled("alone", "", "", "")), chosen)
		namespace := namespaceOf(obj.Namespace, map[string]string{"follow": "yes"})
		for _, change := range []struct {
			what string
			do   func(runtime.Object)
		}{{"begins to match", l.create}, {"ceases to match", l.remove}} {
			change.do(namespace)
			if diff := cmp.Diff([]string{"WorkloadChanged Pod/alone"}, l.heard()); diff != "" {
				t.Errorf("when it %s (-want +got):\n%s", change.what, diff)
			}
		}
	})
}
