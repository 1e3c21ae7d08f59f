package rolling_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"inpod.dev/inpod/e2e/demo/internal/rolling"
)

func pod(name string, ready, terminating bool) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"pod-template-hash": template(name)},
	}}
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	if terminating {
		p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	}
	return p
}

// template tells the pods of the old template, a, b and z, from those of the new one.
func template(name string) string {
	switch name[0] {
	case 'a', 'b', 'z':
		return "old"
	}
	return "new"
}

type event struct {
	kind watch.EventType
	pod  *corev1.Pod
}

// replay feeds events to a history that begins with two ready pods, a and b.
func replay(events ...event) (*rolling.History, []rolling.Step) {
	h := rolling.New([]corev1.Pod{*pod("a", true, false), *pod("b", true, false)})
	var steps []rolling.Step
	for _, e := range events {
		if step, tell := h.Observe(e.kind, e.pod); tell {
			steps = append(steps, step)
		}
	}
	return h, steps
}

func TestRollingUpgradeOfTwoPods(t *testing.T) {
	t.Parallel()
	h, steps := replay(
		event{watch.Added, pod("c", false, false)},
		event{watch.Modified, pod("c", false, false)}, // scheduled: nothing to tell
		event{watch.Modified, pod("c", true, false)},
		event{watch.Modified, pod("a", true, true)},
		event{watch.Modified, pod("a", false, true)}, // it stops while it terminates
		event{watch.Added, pod("d", false, false)},
		event{watch.Modified, pod("d", true, false)},
		event{watch.Modified, pod("b", true, true)},
		event{watch.Deleted, pod("a", false, true)},
	)
	want := []rolling.Step{
		{Pod: "c", What: rolling.Created, New: true, ReadyOld: 2},
		{Pod: "c", What: rolling.Ready, New: true, ReadyOld: 2, ReadyNew: 1},
		{Pod: "a", What: rolling.Terminating, ReadyOld: 1, ReadyNew: 1},
		{Pod: "d", What: rolling.Created, New: true, ReadyOld: 1, ReadyNew: 1},
		{Pod: "d", What: rolling.Ready, New: true, ReadyOld: 1, ReadyNew: 2},
		{Pod: "b", What: rolling.Terminating, ReadyOld: 0, ReadyNew: 2},
		{Pod: "a", What: rolling.Gone, ReadyNew: 2},
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
		events []event
		want   int
	}{
		"nothing happens": {nil, 2},
		"an old pod stops before a new one is ready": {[]event{
			{watch.Modified, pod("a", true, true)},
			{watch.Added, pod("c", true, false)},
		}, 1},
		"a pod fails its readiness probe and recovers": {[]event{
			{watch.Modified, pod("a", false, false)},
			{watch.Modified, pod("a", true, false)},
		}, 1},
		"a pod vanishes without notice": {[]event{
			{watch.Deleted, pod("a", true, false)},
			{watch.Deleted, pod("b", true, false)},
			{watch.Added, pod("c", true, false)},
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
	h := rolling.New([]corev1.Pod{*pod("a", true, false), *pod("z", true, true)})
	if step, tell := h.Observe(watch.Deleted, pod("z", false, true)); tell {
		t.Errorf("told %v, want nothing", step)
	}
	if h.Least() != 1 {
		t.Errorf("one pod served all the time, but Least is %d", h.Least())
	}
}

func TestAPodThatReplacesALostOneIsOldLikeIt(t *testing.T) {
	t.Parallel()
	h, steps := replay(
		event{watch.Modified, pod("a", true, true)},
		event{watch.Added, pod("b again", false, false)},
		event{watch.Modified, pod("b again", true, false)},
	)
	want := []rolling.Step{
		{Pod: "a", What: rolling.Terminating, ReadyOld: 1},
		{Pod: "b again", What: rolling.Created, ReadyOld: 1},
		{Pod: "b again", What: rolling.Ready, ReadyOld: 2},
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if fresh := h.NewPods(); len(fresh) != 0 {
		t.Errorf("no pod has the new template, but NewPods is %v", fresh)
	}
}

func TestWhatIsNotTold(t *testing.T) {
	t.Parallel()
	_, steps := replay(
		event{watch.Modified, pod("a", true, false)},
		event{watch.Deleted, pod("never seen", false, true)},
	)
	if len(steps) != 0 {
		t.Errorf("told %v, want nothing", steps)
	}
}
