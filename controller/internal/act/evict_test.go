package act_test

import (
	"net/http"
	"testing"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/controller/internal/act"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/workload"
)

func TestEvict(t *testing.T) {
	t.Parallel()
	pods := schema.GroupResource{Resource: "pods"}
	for name, c := range map[string]struct {
		answer error
		wants  func(error) bool
	}{
		"accepted":                     {nil, func(err error) bool { return err == nil }},
		"the pod is gone":              {apierrors.NewNotFound(pods, "web-1"), func(err error) bool { return err == nil }},
		"another one has its name":     {apierrors.NewConflict(pods, "web-1", nil), func(err error) bool { return err == nil }},
		"its budget does not allow it": {apierrors.NewTooManyRequests("no", 0), apierrors.IsTooManyRequests},
		"it may not":                   {apierrors.NewForbidden(pods, "web-1", nil), apierrors.IsForbidden},
		"something else":               {apierrors.NewGenericServerResponse(http.StatusTeapot, "create", pods, "web-1", "", 0, false), func(err error) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := fake.NewClientset()
			var got *policyv1.Eviction
			client.PrependReactor("create", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
				create, ok := action.(clienttesting.CreateAction)
				if !ok || action.GetSubresource() != "eviction" || action.GetNamespace() != "shop" {
					t.Errorf("asked for %v", action)
					return true, nil, nil
				}
				got, _ = create.GetObject().(*policyv1.Eviction)
				return true, nil, c.answer
			})
			writer := &act.Writer{Evictions: client.PolicyV1()}
			view := workload.View{Key: workload.Key{Kind: "Deployment", Namespace: "shop", Name: "web"}}
			if err := writer.Evict(t.Context(), view, decide.FailedPod{Name: "web-1", UID: "uid-1"}); !c.wants(err) {
				t.Errorf("%v", err)
			}
			if got == nil || got.Name != "web-1" || got.DeleteOptions == nil || *got.DeleteOptions.Preconditions.UID != "uid-1" {
				t.Errorf("eviction %v: it has to name the pod and its UID", got)
			}
		})
	}
}
