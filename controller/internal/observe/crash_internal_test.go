package observe

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/internal/annotation"
)

func TestAnApplicationCrashesThatEndsAgainAndAgain(t *testing.T) {
	t.Parallel()
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	for name, tc := range map[string]struct {
		record annotation.Record
		status corev1.ContainerStatus
		want   Crash
	}{
		"it waits to be started a fourth time": {annotation.Record{Injected: true, Container: "web", SharedProcesses: true}, corev1.ContainerStatus{Name: "web", RestartCount: 3, State: waiting}, Crash{Restarts: 3, Shared: true}},
		"its process namespace is as it was":   {annotation.Record{Injected: true, Container: "web"}, corev1.ContainerStatus{Name: "web", RestartCount: 3, State: waiting}, Crash{Restarts: 3}},
		"it has ended once":                    {annotation.Record{Injected: true, Container: "web", SharedProcesses: true}, corev1.ContainerStatus{Name: "web", RestartCount: 1, State: waiting}, Crash{}},
		"it runs":                              {annotation.Record{Injected: true, Container: "web", SharedProcesses: true}, corev1.ContainerStatus{Name: "web", RestartCount: 3, State: running}, Crash{}},
		"another container crashes":            {annotation.Record{Injected: true, Container: "web", SharedProcesses: true}, corev1.ContainerStatus{Name: "other", RestartCount: 3, State: waiting}, Crash{}},
	} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotation.InjectionRecord: tc.record.String()}},
			Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{tc.status}},
		}
		if diff := cmp.Diff(tc.want, crashOf(pod, tc.record.Container)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
