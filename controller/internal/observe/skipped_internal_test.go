package observe

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/injection"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

// without is a pod of a workload, without the sidecar for a reason.
func without(name, kind, owner string, reason injection.Reason, nsCaches ...obj.Part) *corev1.Pod {
	pod := owned(name, kind, owner, nsCaches...)
	pod.Labels[annotation.InjectedLabel] = "false"
	pod.Annotations = map[string]string{annotation.InjectionRecord: annotation.Record{Reason: string(reason), Message: "free text"}.String()}
	pod.OwnerReferences[1].UID = types.UID("uid-of-" + owner)
	return pod
}

// subjects opens an observer that notes the subjects that it reports.
func subjects(t *testing.T, pods ...*corev1.Pod) (l *lab, heard func() []Subject) {
	t.Helper()
	return subjectsWith(t, func(*Options) {}, pods...)
}

func subjectsWith(t *testing.T, change func(*Options), pods ...*corev1.Pod) (l *lab, heard func() []Subject) {
	t.Helper()
	var (
		mu    sync.Mutex
		noted []Subject
	)
	all := objects(obj.Deployment("web"))
	for _, pod := range pods {
		all = append(all, pod)
	}
	l = open(t, all, func(o *Options) {
		o.Skipped = func(s Subject) {
			mu.Lock()
			defer mu.Unlock()
			noted = append(noted, s)
		}
	}, change)
	return l, func() []Subject {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		was := noted
		noted = nil
		return was
	}
}

// A pod without sidecar is seen, and its workload is none that reloads in place.
func TestPodsWithoutSidecarAreKeptApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		alone := obj.Pod("alone", obj.Label(annotation.InjectedLabel, "false"),
			obj.Annotation(annotation.InjectionRecord, annotation.Record{Reason: "NoTrigger"}.String()))
		l, heard := subjects(t, without("web-1", "ReplicaSet", "web-6d4cf56db6", injection.NoTrigger), alone,
			without("by-hand", "ReplicaSet", "made-by-hand", injection.NoTrigger), without("db-0", "StatefulSet", "db", injection.NoTrigger))
		if w, _ := l.Workload(deployment("web")); w.Policy.Injected || len(l.Pods(deployment("web"))) > 0 || l.Kept()["Pod"] != 0 {
			t.Errorf("injected %t, pods %v, kept %v", w.Policy.Injected, l.Pods(deployment("web")), l.Kept())
		}
		if got := heard(); len(got) > 0 {
			t.Errorf("noted at the start: %v", got)
		}
		want := map[Subject]string{
			{Workload: deployment("web")}: "web-1 of uid-of-web-6d4cf56db6",
			{Workload: workload.Key{Kind: "StatefulSet", Namespace: obj.Namespace, Name: "db"}}:  "db-0 of uid-of-db, directly",
			{Workload: workload.Key{Namespace: obj.Namespace}, Owner: "uid-of-made-by-hand"}:     "by-hand of uid-of-made-by-hand",
			{Workload: workload.Key{Namespace: obj.Namespace}, Owner: types.UID("uid-of-alone")}: "alone of ",
		}
		got := map[Subject]string{}
		for _, subject := range l.SkippedSubjects() {
			for _, pod := range l.SkippedPods(subject) {
				got[subject] = pod.Name + " of " + string(pod.Owner)
				if pod.IsDirect {
					got[subject] += ", directly"
				}
				if pod.Skip != (injection.Skip{Reason: injection.NoTrigger}) {
					t.Errorf("%s: %v", pod.Name, pod.Skip)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestWhichChangesOfAPodWithoutSidecarAreNoted(t *testing.T) {
	t.Parallel()
	web := Subject{Workload: deployment("web")}
	build := func(changes ...func(*corev1.Pod)) *corev1.Pod {
		pod := without("web-1", "ReplicaSet", "web-6d4cf56db6", injection.NoTrigger)
		for _, change := range changes {
			change(pod)
		}
		return pod
	}
	says := func(text string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations[annotation.InjectionRecord] = text }
	}
	other := annotation.Record{Reason: "PortTaken"}.String()
	for name, tc := range map[string]struct {
		change func(l *lab)
		want   []Subject
	}{
		"its status is not":            {func(l *lab) { l.update(build(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })) }, nil},
		"another text is not":          {func(l *lab) { l.update(build(says(annotation.Record{Reason: "NoTrigger", Message: "new"}.String()))) }, nil},
		"another reason":               {func(l *lab) { l.update(build(says(other))) }, []Subject{web}},
		"nonsense":                     {func(l *lab) { l.update(build(says("hunter2"))) }, []Subject{web}},
		"it goes":                      {func(l *lab) { l.update(build(func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) })) }, []Subject{web}},
		"it is gone":                   {func(l *lab) { l.remove(build()) }, []Subject{web}},
		"another one comes":            {func(l *lab) { l.create(without("web-2", "ReplicaSet", "web-6d4cf56db6", injection.NoTrigger)) }, []Subject{web}},
		"one that says nothing is not": {func(l *lab) { l.create(without("web-2", "ReplicaSet", "web-6d4cf56db6", "Free text")) }, nil},
		"it gets the sidecar": {func(l *lab) {
			l.update(build(func(p *corev1.Pod) { p.Labels[annotation.InjectedLabel] = "true" }))
		}, []Subject{web}},
		"one with the sidecar that is said to have none, and says nothing": {func(l *lab) {
			record := annotation.Record{Injected: true, Container: "app"}.String()
			l.update(build(says(record), func(p *corev1.Pod) { p.Labels[annotation.InjectedLabel] = "true" }))
			l.update(build(says(record)))
		}, []Subject{web}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, heard := subjects(t, build())
				tc.change(l)
				time.Sleep(time.Second)
				if diff := cmp.Diff(tc.want, slices.Compact(heard())); diff != "" {
					t.Errorf("noted (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What is in a namespace that begins to match is not new to the API server, and new to whoever reports.
func TestPodsWithoutSidecarInANamespaceThatBeginsToMatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, heard := subjectsWith(t, chosen, without("web-1", "ReplicaSet", "web-6d4cf56db6", injection.NoTrigger))
		l.create(namespaceOf(obj.Namespace, map[string]string{"follow": "yes"}))
		if diff := cmp.Diff([]Subject{{Workload: deployment("web")}}, heard()); diff != "" {
			t.Errorf("noted (-want +got):\n%s", diff)
		}
	})
}

// A workload without pods has nothing but its own status to say that they are refused.
func TestAWorkloadWhosePodsAreRefusedIsNoted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		since := metav1.NewTime(time.Now().Truncate(time.Second))
		l := open(t, objects(obj.Deployment("web"), obj.Deployment("other")))
		refused := obj.Deployment("web")
		refused.Status.Conditions = []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", LastTransitionTime: since},
		}
		for _, step := range []struct {
			name       string
			deployment *appsv1.Deployment
			want       time.Time
			subjects   []Subject // with which a new leader begins
		}{
			{"pods are refused", refused, since.Time, []Subject{{Workload: deployment("web")}}},
			{"pods are made", obj.Deployment("web"), time.Time{}, nil},
		} {
			l.update(step.deployment)
			if diff := cmp.Diff([]string{"WorkloadChanged Deployment/web"}, l.heard()); diff != "" {
				t.Errorf("%s: notified (-want +got):\n%s", step.name, diff)
			}
			if w, _ := l.Workload(deployment("web")); !w.View.Refused.Equal(step.want) {
				t.Errorf("%s: since %v, want %v", step.name, w.View.Refused, step.want)
			}
			if diff := cmp.Diff(step.subjects, l.SkippedSubjects()); diff != "" {
				t.Errorf("%s: subjects (-want +got):\n%s", step.name, diff)
			}
		}
	})
}

// A pod with the sidecar whose application begins to crash is noted, and a new leader begins with it.
func TestAPodThatCrashesIsNoted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		web := []Subject{{Workload: deployment("web")}}
		build := func(ends int32) *corev1.Pod {
			pod := owned("web-1", "ReplicaSet", "web-6d4cf56db6")
			pod.Annotations = map[string]string{annotation.InjectionRecord: annotation.Record{Injected: true, Container: "app", SharedProcesses: true}.String()}
			status := corev1.ContainerStatus{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
			if ends > 0 {
				status.RestartCount = ends - 1
				status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
			}
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{status}
			return pod
		}
		l, heard := subjects(t, build(0))
		for _, step := range []struct {
			name     string
			ends     int32
			noted    []Subject
			subjects []Subject // with which a new leader begins
		}{
			{"it has ended once", 1, nil, nil},
			{"it has ended for the third time", 3, web, web},
			{"it has ended for the third time, and nothing else", 3, nil, web},
			{"it has ended for the fourth time", 4, web, web},
			{"it runs", 0, web, nil},
		} {
			l.update(build(step.ends))
			if diff := cmp.Diff(step.noted, heard()); diff != "" {
				t.Errorf("%s: noted (-want +got):\n%s", step.name, diff)
			}
			if diff := cmp.Diff(step.subjects, l.SkippedSubjects()); diff != "" {
				t.Errorf("%s: subjects (-want +got):\n%s", step.name, diff)
			}
		}
	})
}
