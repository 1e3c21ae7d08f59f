package observe

import (
	"cmp"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/internal/annotation"
)

func TestAnApplicationCrashesThatEndsAgainAndAgain(t *testing.T) {
	t.Parallel()
	ready := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // its containers could start
	at := func(d time.Duration) metav1.Time { return metav1.NewTime(ready.Add(d)) }
	ended := func(from, to time.Duration) *corev1.ContainerStateTerminated {
		return &corev1.ContainerStateTerminated{StartedAt: at(from), FinishedAt: at(to)}
	}
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(2 * time.Minute)}}
	short := corev1.ContainerState{Terminated: ended(time.Minute, time.Minute+time.Second)}
	const week = 7 * 24 * time.Hour
	for name, tc := range map[string]struct {
		status corev1.ContainerStatus
		alone  bool // its process namespace is as it was
		want   Crash
	}{
		"it waits to be started a fourth time": {status: corev1.ContainerStatus{RestartCount: 2, State: waiting, LastTerminationState: short}, want: Crash{Ends: 3, Shared: true}},
		"it has just ended for the third time": {status: corev1.ContainerStatus{RestartCount: 2, State: short}, want: Crash{Ends: 3, Shared: true}},
		"it runs for the fourth time":          {status: corev1.ContainerStatus{RestartCount: 3, State: running, LastTerminationState: short, Ready: true}, want: Crash{Ends: 3, Shared: true}},
		"it runs for the third time":           {status: corev1.ContainerStatus{RestartCount: 2, State: running, LastTerminationState: short}},
		"it waits to be started a third time":  {status: corev1.ContainerStatus{RestartCount: 1, State: waiting, LastTerminationState: short}},
		"its process namespace is as it was":   {status: corev1.ContainerStatus{RestartCount: 3, State: waiting, LastTerminationState: short}, alone: true, want: Crash{Ends: 4}},
		"another container crashes":            {status: corev1.ContainerStatus{Name: "other", RestartCount: 3, State: waiting, LastTerminationState: short}},
		"nothing is known of how it ended":     {status: corev1.ContainerStatus{RestartCount: 3, State: waiting}},
		"it ran for long before it ended":      {status: corev1.ContainerStatus{RestartCount: 3, State: waiting, LastTerminationState: corev1.ContainerState{Terminated: ended(0, time.Hour)}}},
		"it ran for a week before it crashed":  {status: corev1.ContainerStatus{RestartCount: 2, State: waiting, LastTerminationState: corev1.ContainerState{Terminated: ended(week, week+time.Second)}}},
		"it has crashed for a week, all the time": {
			status: corev1.ContainerStatus{RestartCount: 2000, State: waiting, LastTerminationState: corev1.ContainerState{Terminated: ended(week, week+time.Second)}}, want: Crash{Ends: 2001, Shared: true},
		},
	} {
		tc.status.Name = cmp.Or(tc.status.Name, "web")
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotation.InjectionRecord: annotation.Record{Injected: true, Container: "web", SharedProcesses: !tc.alone}.String()}},
			Status: corev1.PodStatus{
				ContainerStatuses: []corev1.ContainerStatus{tc.status},
				Conditions:        []corev1.PodCondition{{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: at(0)}},
			},
		}
		if diff := gocmp.Diff(tc.want, crashOf(pod, "web")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
