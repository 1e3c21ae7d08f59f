//go:build e2e

package framework

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

func podAt(name string, ready, terminating bool) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"pod-template-hash": templateNamed(name)},
	}}
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	if terminating {
		p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	}
	return p
}

// template distinguishes the pods of the old template, a, b and z, from those of the new one.
func templateNamed(name string) string {
	switch name[0] {
	case 'a', 'b', 'z':
		return "old"
	}
	return "new"
}

type podEvent struct {
	kind watch.EventType
	pod  *corev1.Pod
}

// replay feeds events to a history that begins with two ready pods, a and b.
func replay(events ...podEvent) (*PodHistory, []PodStep) {
	h := NewPodHistory([]corev1.Pod{*podAt("a", true, false), *podAt("b", true, false)})
	var steps []PodStep
	for _, e := range events {
		if step, printed := h.Observe(e.kind, e.pod); printed {
			steps = append(steps, step)
		}
	}
	return h, steps
}

func TestRollingUpgradeOfTwoPods(t *testing.T) {
	t.Parallel()
	h, steps := replay(
		podEvent{watch.Added, podAt("c", false, false)},
		podEvent{watch.Modified, podAt("c", false, false)}, // scheduled: nothing to print
		podEvent{watch.Modified, podAt("c", true, false)},
		podEvent{watch.Modified, podAt("a", true, true)},
		podEvent{watch.Modified, podAt("a", false, true)}, // it stops while it terminates
		podEvent{watch.Added, podAt("d", false, false)},
		podEvent{watch.Modified, podAt("d", true, false)},
		podEvent{watch.Modified, podAt("b", true, true)},
		podEvent{watch.Deleted, podAt("a", false, true)},
	)
	want := []PodStep{
		{Pod: "c", What: PodCreated, New: true, ReadyOld: 2},
		{Pod: "c", What: PodReady, New: true, ReadyOld: 2, ReadyNew: 1},
		{Pod: "a", What: PodTerminating, ReadyOld: 1, ReadyNew: 1},
		{Pod: "d", What: PodCreated, New: true, ReadyOld: 1, ReadyNew: 1},
		{Pod: "d", What: PodReady, New: true, ReadyOld: 1, ReadyNew: 2},
		{Pod: "b", What: PodTerminating, ReadyOld: 0, ReadyNew: 2},
		{Pod: "a", What: PodGone, ReadyNew: 2},
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if h.Least() != 2 {
		t.Errorf("there were always two serving pods, but Least is %d", h.Least())
	}
	if diff := cmp.Diff([]string{"c", "d"}, h.NewPods()); diff != "" {
		t.Errorf("new pods (-want +got):\n%s", diff)
	}
	if old := h.OldPods(); len(old) != 0 {
		t.Errorf("all old pods were asked to stop, but OldPods is %v", old)
	}
}

func TestLeastRemembersTheWorstMoment(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		events []podEvent
		want   int
	}{
		"nothing happens": {nil, 2},
		"an old pod stops before a new one is ready": {[]podEvent{
			{watch.Modified, podAt("a", true, true)},
			{watch.Added, podAt("c", true, false)},
		}, 1},
		"a pod fails its readiness probe and recovers": {[]podEvent{
			{watch.Modified, podAt("a", false, false)},
			{watch.Modified, podAt("a", true, false)},
		}, 1},
		"a pod vanishes without notice": {[]podEvent{
			{watch.Deleted, podAt("a", true, false)},
			{watch.Deleted, podAt("b", true, false)},
			{watch.Added, podAt("c", true, false)},
		}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if h, _ := replay(c.events...); h.Least() != c.want {
				t.Errorf("Least is %d, want %d", h.Least(), c.want)
			}
		})
	}
}

func TestPodsThatWereLeavingAlreadyAreAnOlderStory(t *testing.T) {
	t.Parallel()
	h := NewPodHistory([]corev1.Pod{*podAt("a", true, false), *podAt("z", true, true)})
	if step, printed := h.Observe(watch.Deleted, podAt("z", false, true)); printed {
		t.Errorf("printed %v, want nothing", step)
	}
	if h.Least() != 1 {
		t.Errorf("one pod served all the time, but Least is %d", h.Least())
	}
}

func TestAPodThatReplacesALostOneIsOldLikeIt(t *testing.T) {
	t.Parallel()
	h, steps := replay(
		podEvent{watch.Modified, podAt("a", true, true)},
		podEvent{watch.Added, podAt("b again", false, false)},
		podEvent{watch.Modified, podAt("b again", true, false)},
	)
	want := []PodStep{
		{Pod: "a", What: PodTerminating, ReadyOld: 1},
		{Pod: "b again", What: PodCreated, ReadyOld: 1},
		{Pod: "b again", What: PodReady, ReadyOld: 2},
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if fresh := h.NewPods(); len(fresh) != 0 {
		t.Errorf("no pod has the new template, but NewPods is %v", fresh)
	}
}

func TestWhatIsNotPrinted(t *testing.T) {
	t.Parallel()
	_, steps := replay(
		podEvent{watch.Modified, podAt("a", true, false)},
		podEvent{watch.Deleted, podAt("never seen", false, true)},
	)
	if len(steps) != 0 {
		t.Errorf("printed %v, want nothing", steps)
	}
}
