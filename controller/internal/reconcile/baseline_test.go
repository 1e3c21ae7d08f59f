package reconcile_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/objtest"
)

// edited is web with another template.
func edited(version string) metav1.Object {
	return objtest.Deployment("web", objtest.Annotation("reloader.stakater.com/auto", "true"),
		objtest.EnvFrom(objtest.CM("a")), objtest.EnvFrom(objtest.CM("b")), objtest.Var("VERSION", version))
}

// The content is what it was, and the pods, which were made in between, have something else.
func TestWhatPodsTookUpInBetweenIsNotForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(500 * time.Millisecond)
		w.apply(edited("2"))
		time.Sleep(500 * time.Millisecond)
		w.apply(objtest.ConfigMap("a", "k", "0"))
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]string{"recorded web", "rolled web"}, w.done()); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}

// The same while the API server takes no writes.
func TestWhatCouldNotBeWrittenCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() { w.refuse = only("web", apierrors.NewInternalError(errors.New("away"))) })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		w.apply(edited("2"))
		time.Sleep(time.Minute)
		w.apply(objtest.ConfigMap("a", "k", "0"))
		time.Sleep(time.Minute)
		w.set(func() { w.refuse = nil })
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]string{"rolled web"}, w.done()); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
		if n := w.metric("inpod_baselines_pending"); n != 0 {
			t.Errorf("%v baselines are pending", n)
		}
	})
}

// The answer to a rollout was lost, and the watch shows that it has worked: what was pending before is history.
func TestABaselineThatCameMeanwhileGoesBeforeAPendingOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t, func(o *reconcile.Options) { o.BaselineRate = 1e-9 })
		w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"))
		for _, name := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"} {
			w.apply(auto(name, "b")) // they use up what may be written at once
		}
		w.lead()
		time.Sleep(time.Second)
		w.apply(auto("web", "a"))
		time.Sleep(time.Second)
		w.set(func() { w.writes, w.answers = nil, time.Hour })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Hour)
		if diff := cmp.Diff([]string{"rolled web"}, w.done()); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}

// Who replaces a workload from a file removes our annotation. What changed at the same time is not taken for recorded.
func TestABaselineThatSomebodyRemovesIsWrittenAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*fakeCluster)
		want   []string
	}{
		"alone":               {func(*fakeCluster) {}, []string{"recorded web"}},
		"and a source edited": {func(w *fakeCluster) { w.apply(objtest.ConfigMap("a", "k", "1")) }, []string{"rolled web"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := withBaseline(t, "web")
				bare, _ := w.Workload(deployment("web"))
				c.change(w)
				w.set(func() {
					bare.View.Annotations = with(bare.View.Annotations, annotation.Baseline, "")
					w.version++
					bare.View.Version = w.version
					w.workloads[deployment("web")] = bare
				})
				w.wake(deployment("web"), "WorkloadChanged")
				time.Sleep(time.Hour)
				if diff := cmp.Diff(c.want, w.done()); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
			})
		})
	}
}
