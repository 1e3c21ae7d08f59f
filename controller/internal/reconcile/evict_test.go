package reconcile_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

// onePod is a reload that failed in one pod.
type onePod struct {
	*reloads

	mu   sync.Mutex
	gone bool
}

func (p *onePod) State(workload.View, bool, string) decide.InPlace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true, Evicted: 1}
	}
	return decide.InPlace{
		Sidecar: true, Verdict: decide.Failed, Pod: "web-1", Message: "no answer", Failing: 1, Failed: []decide.FailedPod{{Name: "web-1", UID: "u"}},
	}
}

func (p *onePod) Evicted(workload.Key, types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
}

func TestAPodThatFailedIsEvicted(t *testing.T) {
	t.Parallel()
	const changed = "ConfigMap a changed (k); reload in pod web-1 failed: no answer"
	for name, c := range map[string]struct {
		refuses error
		until   time.Duration // when the budget allows it
		want    []string
		most    int
	}{
		"at once": {nil, 0, []string{
			"Normal PodEvicted Evicted pod web-1, so that a new one has the content: " + changed,
			"Normal ReloadedInPlace Reloaded in place: ConfigMap a changed (k)",
		}, 1},
		"as soon as its budget allows it": {apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0), time.Hour, []string{
			"Warning EvictionBlocked Eviction of pod web-1 refused and will be retried: Cannot evict pod as it would violate the pod's disruption budget. " +
				"Set inpod.dev/on-failure: rollout to start a rollout instead",
			"Normal PodEvicted Evicted pod web-1, so that a new one has the content: " + changed,
			"Normal ReloadedInPlace Reloaded in place: ConfigMap a changed (k)",
		}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pods := &onePod{reloads: &reloads{}}
				w := newFakeCluster(t, func(o *reconcile.Options) { o.InPlace, o.Rules.Evict = pods, true })
				w.apply(objtest.ConfigMap("a", "k", "0"), live(map[string]string{"inpod.dev/on-failure": "evict"}))
				w.lead()
				time.Sleep(time.Minute)
				w.set(func() { w.refuses = c.refuses })
				w.apply(objtest.ConfigMap("a", "k", "1"))
				for range 60 {
					time.Sleep(c.until / 60)
					w.queue.Enqueue(deployment("web"), observe.WorkloadChanged) // whatever else happens to it
				}
				w.set(func() { w.refuses = nil })
				time.Sleep(10 * time.Minute)
				w.queue.Enqueue(deployment("web"), observe.WorkloadChanged)
				time.Sleep(time.Minute)
				if diff := cmp.Diff([]string{"web-1"}, w.evictions); diff != "" {
					t.Errorf("evictions (-want +got):\n%s", diff)
				}
				got := w.reported()
				for i := range got {
					got[i] = strings.ReplaceAll(got[i], " web: ", " ")
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if w.evictionTries > c.most {
					t.Errorf("it was tried %d times", w.evictionTries)
				}
				if rolled := w.rolled("web"); len(rolled) > 0 {
					t.Errorf("rolled at %s", rolled)
				}
			})
		})
	}
}

// An installation may lack the right, or somebody forbids it for this pod.
func TestAWorkloadIsRolledWhosePodsMayNotBeEvicted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pods := &onePod{reloads: &reloads{}}
		w := newFakeCluster(t, func(o *reconcile.Options) { o.InPlace, o.Rules.Evict = pods, true })
		w.apply(objtest.ConfigMap("a", "k", "0"), live(map[string]string{"inpod.dev/on-failure": "evict"}))
		w.lead()
		time.Sleep(time.Minute)
		w.set(func() { w.refuses = apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web-1", nil) })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		if rolled := w.rolled("web"); len(rolled) != 1 {
			t.Errorf("rolled at %s, want once", rolled)
		}
		if w.evictionTries != 1 || !strings.Contains(strings.Join(w.reported(), "\n"), "reload in pod web-1 failed: no answer") {
			t.Errorf("tried %d times, and said %q", w.evictionTries, w.reported())
		}
	})
}
