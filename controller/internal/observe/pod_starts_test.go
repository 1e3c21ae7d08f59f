package observe_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/workload"
)

func TestPodStarts(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	pod := func(name, app string, change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, Labels: map[string]string{"app": app}, CreationTimestamp: metav1.NewTime(created),
		}}
		change(p)
		return p
	}
	running := func(p *corev1.Pod) {
		for i, after := range []time.Duration{2 * time.Minute, time.Minute} {
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: []string{"app", "proxy"}[i], State: corev1.ContainerState{
				Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(created.Add(after))},
			}})
		}
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "init", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{StartedAt: metav1.NewTime(created.Add(time.Second))},
		}}}
	}
	client := fake.NewClientset(
		pod("web-1", "web", running),
		pod("web-2", "web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }),
		pod("web-3", "web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		pod("web-4", "web", func(p *corev1.Pod) { p.DeletionTimestamp, p.Finalizers = &metav1.Time{Time: created}, []string{"x/y"} }),
		pod("other", "other", running),
	)
	lister := &observe.PodLister{Client: client}
	view := workload.View{Key: workload.Key{Kind: "Deployment", Namespace: "shop", Name: "web"}, Selector: "app=web"}
	got, err := lister.Starts(t.Context(), view)
	want := []decide.PodStart{
		{Created: created, Running: created.Add(time.Second), Container: "init"},
		{Created: created, Running: created.Add(2 * time.Minute), Container: "app"},
		{Created: created, Running: created.Add(time.Minute), Container: "proxy"},
		{Created: created},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	view.Selector = ""
	if _, err := lister.Starts(t.Context(), view); err == nil {
		t.Error("without a selector it lists pods of others")
	}
}
