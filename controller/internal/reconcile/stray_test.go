package reconcile_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// stray puts pods whose workload is not known into the cluster, and returns their key.
func (w *fakeCluster) stray() workload.Key {
	key := workload.Key{Kind: "ReplicaSet.apps", Namespace: objtest.Namespace, Name: "web"}
	policy, _ := annotation.Read(annotation.DefaultKeys(), nil, nil)
	policy.Injected = true
	spec := objtest.Spec(objtest.Mount(objtest.CM("a")))
	w.set(func() {
		w.workloads[key] = observe.Workload{
			View: workload.View{Key: key, UID: "u", Pods: 1, Stray: true, Usages: source.Usages(objtest.Namespace, spec)}, Policy: policy,
			About: &corev1.ObjectReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: objtest.Namespace, Name: "the-owner"},
		}
	})
	w.wake(key, observe.WorkloadChanged)
	return key
}

func TestPodsOfAnUnknownWorkloadAreReloadedAndReported(t *testing.T) {
	t.Parallel()
	rejected := "Warning ReloadRejected the-owner: Reload rejected, no rollout started: the application in pod web-1 keeps the old content: because (ConfigMap a changed (k))"
	for name, tc := range map[string]struct {
		first, then decide.Verdict
		want        []string
	}{
		"what they take up": {decide.Confirmed, decide.Confirmed, []string{"Normal ReloadedInPlace the-owner: Reloaded in place: ConfigMap a changed (k); not proven"}},
		"what they reject":  {decide.Confirmed, decide.Rejected, []string{rejected}},
		"what they reject after a start at which nothing was known": {decide.Unreachable, decide.Rejected, []string{rejected}},
		"what they have rejected before this start": {
			decide.Rejected, decide.Confirmed,
			[]string{
				"Warning ReloadRejected the-owner: Reload rejected, no rollout started: the application in pod web-1 keeps the old content: because (ConfigMap a changed (k))",
				"Normal ReloadedInPlace the-owner: Reloaded in place: ConfigMap a changed (k); not proven",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pods := &sidecars{verdict: tc.first}
				w := newFakeCluster(t, func(o *reconcile.Options) { o.InPlace = pods })
				w.apply(objtest.ConfigMap("a", "k", "0"))
				time.Sleep(time.Hour)
				key := w.stray()
				w.lead()
				time.Sleep(2 * settle)
				w.wake(key, observe.WorkloadChanged) // as the reload task does when there is a verdict
				time.Sleep(time.Minute)
				if n := len(w.reported()); n > 0 && tc.first != decide.Rejected {
					t.Errorf("reported what is as it was: %q", w.reported())
				}
				pods.say(tc.then)
				w.apply(objtest.ConfigMap("a", "k", "1"))
				w.wake(key, observe.SourceChanged)
				time.Sleep(time.Minute)
				w.wake(key, observe.WorkloadChanged)
				time.Sleep(time.Minute)
				if diff := cmp.Diff(tc.want, w.reported()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if got := w.done(); len(got) > 0 {
					t.Errorf("writes: %q", got)
				}
				if n := w.metric("inpod_baselines_pending"); n != 0 {
					t.Errorf("%v are said to wait for their baseline", n)
				}
			})
		})
	}
}

// Nothing is written of pods that inpod could not roll, whatever the settings are.
func TestNothingIsWrittenOfPodsOfAnUnknownWorkload(t *testing.T) {
	t.Parallel()
	for name, notifyOnly := range map[string]bool{"where changes are rolled": false, "where they are only reported": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pods := &sidecars{verdict: decide.Failed}
				w := newFakeCluster(t, func(o *reconcile.Options) { o.InPlace, o.Rules.NotifyOnly = pods, notifyOnly })
				w.apply(objtest.ConfigMap("a", "k", "0"))
				key := w.stray()
				w.lead()
				for i := range 3 {
					w.apply(objtest.ConfigMap("a", "k", string(rune('1'+i))))
					w.wake(key, observe.SourceChanged)
					time.Sleep(time.Minute)
					w.wake(key, observe.WorkloadChanged) // as the reload task does when there is a verdict
					time.Sleep(time.Minute)
				}
				if got := w.done(); len(got) > 0 {
					t.Errorf("writes: %q", got)
				}
			})
		})
	}
}
