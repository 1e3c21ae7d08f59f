package reconcile_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

// object is an object of a kind that follows the ConfigMap "a".
func object(tb testing.TB, kind workload.Kind) metav1.Object {
	tb.Helper()
	parts := []objtest.Part{objtest.Annotation("reloader.stakater.com/auto", "true"), objtest.EnvFrom(objtest.CM("a"))}
	if kind.Path != nil {
		return objtest.JSON(kind.APIVersion(), kind.APIKind(), "web", kind.Path, parts...)
	}
	switch kind.Name {
	case "Deployment":
		return objtest.Deployment("web", parts...)
	case "StatefulSet":
		return objtest.StatefulSet("web", parts...)
	case "DaemonSet":
		return objtest.DaemonSet("web", parts...)
	}
	tb.Skipf("%s is handled in another way", kind.Name)
	return nil
}

// What holds for every kind of workload.
func TestEachKindIsRolledOncePerChange(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var about []corev1.ObjectReference
				w := newFakeCluster(t, func(o *reconcile.Options) {
					o.Emit = func(reference *corev1.ObjectReference, _, _, _ string) { about = append(about, *reference) }
				})
				w.apply(objtest.ConfigMap("a", "k", "0"), object(t, kind))
				w.lead()
				time.Sleep(time.Minute)
				w.apply(objtest.ConfigMap("a", "k", "1"))
				time.Sleep(time.Minute)
				if diff := cmp.Diff([]string{"recorded web", "rolled web"}, w.done()); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
				want := []corev1.ObjectReference{{
					APIVersion: kind.APIVersion(), Kind: kind.APIKind(), Namespace: objtest.Namespace, Name: "web", UID: "uid-of-web",
				}}
				if diff := cmp.Diff(want, about); diff != "" {
					t.Errorf("events are about (-want +got):\n%s", diff)
				}
			})
		})
	}
}
