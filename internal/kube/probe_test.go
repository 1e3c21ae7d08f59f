package kube

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
)

// cluster grants what allow says, to the user.
func cluster(user string, allow func(authorizationv1.ResourceAttributes) (bool, error)) *fake.Clientset {
	client := fake.NewClientset()
	client.PrependReactor("create", "selfsubjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
		allowed, err := allow(*review.Spec.ResourceAttributes)
		if err != nil {
			return true, nil, err
		}
		return true, &authorizationv1.SelfSubjectAccessReview{Status: authorizationv1.SubjectAccessReviewStatus{Allowed: allowed}}, nil
	})
	client.PrependReactor("create", "selfsubjectreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		if user == "" {
			return true, nil, errors.New("not allowed")
		}
		return true, &authenticationv1.SelfSubjectReview{Status: authenticationv1.SelfSubjectReviewStatus{
			UserInfo: authenticationv1.UserInfo{Username: user},
		}}, nil
	})
	return client
}

func requirements() []Requirement {
	return []Requirement{
		{Verb: "list", Resource: "configmaps", Why: "to see them change"},
		{Verb: "watch", Resource: "configmaps", Why: "to see them change"},
		{Verb: "list", Resource: "secrets", Why: "to see them change"},
		{Verb: "watch", Resource: "secrets", Why: "to see them change"},
		{Verb: "patch", Group: "apps", Resource: "deployments", Why: "to roll them"},
		{Verb: "get", Group: "coordination.k8s.io", Resource: "leases", Namespace: "inpod", Name: "inpod-controller", Why: "to elect a leader"},
		{Verb: "patch", Resource: "pods", Subresource: "status", Namespace: "team-a"},
	}
}

func TestMissingNamesWhatIsNotGranted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		allow func(authorizationv1.ResourceAttributes) (bool, error)
		want  []int // of requirements
	}{
		"everything is granted": {allow: func(authorizationv1.ResourceAttributes) (bool, error) { return true, nil }},
		"one verb is missing": {
			allow: func(a authorizationv1.ResourceAttributes) (bool, error) {
				return a.Verb != "patch" || a.Group != "apps", nil
			},
			want: []int{4},
		},
		"the order is kept": {
			allow: func(a authorizationv1.ResourceAttributes) (bool, error) { return a.Resource == "configmaps", nil },
			want:  []int{2, 3, 4, 5, 6},
		},
		"namespace, name and subresource are asked for": {
			allow: func(a authorizationv1.ResourceAttributes) (bool, error) {
				lease := a.Resource == "leases" && a.Namespace == "inpod" && a.Name == "inpod-controller"
				return lease || a.Resource == "pods" && a.Subresource == "status" && a.Namespace == "team-a", nil
			},
			want: []int{0, 1, 2, 3, 4},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []Requirement
			for _, i := range tc.want {
				want = append(want, requirements()[i])
			}
			got, err := Missing(t.Context(), cluster("u", tc.allow), requirements())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProbeDistinguishesDeniedFromUnreachable(t *testing.T) {
	t.Parallel()
	c := connection(false, quiet())
	c.Client = cluster("u", func(authorizationv1.ResourceAttributes) (bool, error) { return false, errors.New("connection refused") })
	err := c.Probe(t.Context(), requirements())
	if _, denied := errors.AsType[*MissingPermissionsError](err); denied || err == nil ||
		!strings.Contains(err.Error(), "https://10.0.0.1") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("unreachable: %v", err)
	}
	c.Client = cluster("u", func(authorizationv1.ResourceAttributes) (bool, error) { return false, nil })
	err = c.Probe(t.Context(), requirements())
	if denied, is := errors.AsType[*MissingPermissionsError](err); !is || len(denied.Missing) != len(requirements()) || denied.User != "u" {
		t.Errorf("denied: %v", err)
	}
	c.Client = cluster("u", func(authorizationv1.ResourceAttributes) (bool, error) { return true, nil })
	if err := c.Probe(t.Context(), requirements()); err != nil {
		t.Errorf("granted: %v", err)
	}
}

func TestProbeWaitsForTheServerInACluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		away.Store(true)
		c := connection(true, quiet())
		c.Client = cluster("u", func(authorizationv1.ResourceAttributes) (bool, error) {
			if away.Load() {
				return false, errors.New("away")
			}
			return true, nil
		})
		time.AfterFunc(time.Minute, func() { away.Store(false) })
		begin := time.Now()
		if err := c.Probe(t.Context(), requirements()); err != nil || time.Since(begin) < time.Minute {
			t.Errorf("Probe = %v after %s", err, time.Since(begin))
		}
	})
}

func TestChecksRunTogetherWithinTheirBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		ask := make([]Requirement, 3*checksAtOnce)
		begin := time.Now()
		missing, err := missingBy(t.Context(), ask, func(context.Context, Requirement) (bool, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(time.Second)
			return true, nil
		})
		if err != nil || len(missing) != 0 || time.Since(begin) != 3*time.Second || most.Load() != checksAtOnce {
			t.Errorf("missing %v, %v after %s with %d at once", missing, err, time.Since(begin), most.Load())
		}
	})
}

func TestMissingPermissionsErrorIsReadyToPaste(t *testing.T) {
	t.Parallel()
	missing := append(requirements(), Requirement{Verb: "create", Group: "coordination.k8s.io", Resource: "leases", Namespace: "inpod"})
	got := (&MissingPermissionsError{Missing: missing, User: "system:serviceaccount:inpod:inpod-controller"}).Error()
	for _, want := range []string{
		"ServiceAccount inpod/inpod-controller may not do everything that inpod needs. Missing:\n",
		"  - list configmaps in all namespaces, to see them change\n",
		"  - patch deployments.apps in all namespaces, to roll them\n",
		"  - get leases.coordination.k8s.io named \"inpod-controller\" in namespace \"inpod\", to elect a leader\n",
		"  - patch pods/status in namespace \"team-a\"\n",
		"    resources: [\"configmaps\", \"secrets\"]\n    verbs: [\"list\", \"watch\"]\n",
		"    resourceNames: [\"inpod-controller\"]\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the error is\n%s\nwant in it\n%s", got, want)
		}
	}

	objects := decode(t, got)
	if len(objects) != 6 {
		t.Fatalf("%d objects, want a role and a binding for all namespaces, inpod and team-a", len(objects))
	}
	subject := rbacv1.Subject{Kind: "ServiceAccount", Name: "inpod-controller", Namespace: "inpod"}
	for i, object := range objects {
		switch o := object.(type) {
		case *rbacv1.ClusterRoleBinding:
			if diff := cmp.Diff([]rbacv1.Subject{subject}, o.Subjects); diff != "" {
				t.Error(diff)
			}
		case *rbacv1.RoleBinding:
			if diff := cmp.Diff([]rbacv1.Subject{subject}, o.Subjects); diff != "" {
				t.Error(diff)
			}
		case *rbacv1.ClusterRole:
			want := []rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"configmaps", "secrets"}, Verbs: []string{"list", "watch"}},
				{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"patch"}},
			}
			if diff := cmp.Diff(want, o.Rules); diff != "" {
				t.Error(diff)
			}
		case *rbacv1.Role:
			if o.Namespace == "" || len(o.Rules) == 0 {
				t.Errorf("role %d is %+v", i, o)
			}
		}
	}
}

func TestMissingPermissionsErrorForOtherUsers(t *testing.T) {
	t.Parallel()
	missing := requirements()[:1]
	for user, want := range map[string]string{
		"jane: doe": `user "jane: doe" may not`,
		"":          "the user of these credentials may not",
	} {
		got := (&MissingPermissionsError{Missing: missing, User: user}).Error()
		if !strings.HasPrefix(got, want) {
			t.Errorf("the error begins with %q, want %q", got[:40], want)
		}
		binding, ok := decode(t, got)[1].(*rbacv1.ClusterRoleBinding)
		if !ok || binding.Subjects[0].Kind != "User" || binding.Subjects[0].Name == "" {
			t.Errorf("for %q the binding is %+v", user, binding)
		}
	}
}

// decode reads the manifest in an error text as kubectl would, refusing unknown fields.
func decode(t *testing.T, text string) []runtime.Object {
	t.Helper()
	_, manifest, ok := strings.Cut(text, "---\n")
	if !ok {
		t.Fatalf("no manifest in\n%s", text)
	}
	var objects []runtime.Object
	decoder := scheme.Codecs.UniversalDeserializer()
	for document := range strings.SplitSeq(manifest, "---\n") {
		object, _, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		objects = append(objects, object)
	}
	return objects
}
