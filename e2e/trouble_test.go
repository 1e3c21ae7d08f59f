//go:build e2e

package e2e_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"inpod.dev/inpod/e2e/internal/framework"
)

func TestABadAnnotationWarnsOnItsWorkloadAndConcernsNobodyElse(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	cases := map[string]struct {
		key, value string
		// follows reports whether the rest of the annotation still counts.
		follows bool
	}{
		"regexp":  {s.keys.configmap, "[,config", true},
		"boolean": {s.keys.auto, "maybe", false},
		"typed":   {s.keys.configmapAuto, "yes", false},
		"search":  {s.keys.search, "1", false},
	}
	s.apply(configMap("config", "key", "1"))
	good := deployment("good", volume(ofConfigMap("config"))).idle().annotated(s.keys.auto, "true")
	s.apply(good.object())
	want := []framework.Workload{good.in(s.ns)}
	for name, c := range cases {
		a := deployment(name, volume(ofConfigMap("config"))).idle().annotated(c.key, c.value)
		s.apply(a.object())
		if c.follows {
			want = append(want, a.in(s.ns))
		}
	}
	s.hasBaseline(want...)
	for name, c := range cases {
		item, _, _ := strings.Cut(c.value, ",")
		event, err := s.AwaitEvent(s.ctx, framework.Deployment(s.ns, name), "", c.key, item)
		s.must(err)
		if event.Type != corev1.EventTypeWarning {
			t.Errorf("%s: event %s has type %s, want Warning", name, event.Reason, event.Type)
		}
	}
	if events := s.events(good.in(s.ns), ""); len(events) > 0 {
		t.Errorf("a workload without faults has %d events: %v", len(events), events)
	}
	before := s.rollouts()
	s.apply(configMap("config", "key", "2"))
	s.onlyRolled(before, want...)
}

func TestAMissingSourceKeepsHealthyPodsAndIsReported(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	uses := []use{env("KEY", ofConfigMap("config"), "key"), env("PASSWORD", ofSecret("password"), "value")}
	a := deployment("app", uses...).idle().annotated(s.keys.auto, "true")
	w := a.in(s.ns)
	s.apply(configMap("config", "key", "1"), secret("password", "value", "1"), a.object())
	s.hasBaseline(w)
	before := s.rollouts()

	s.must(s.Delete(s.ctx, s.ns, secret("password")))
	s.apply(configMap("config", "key", "2"))
	event, err := s.AwaitEvent(s.ctx, w, "", "Secret password")
	s.must(err)
	if event.Type != corev1.EventTypeWarning {
		t.Errorf("event %s has type %s, want Warning", event.Reason, event.Type)
	}
	s.onlyRolled(before)
	if reported := s.events(w, event.Reason); len(reported) != 1 {
		t.Errorf("it was reported %d times, want once", len(reported))
	}

	// A key that is missing is no better.
	s.apply(secret("password", "other", "1"))
	_, err = s.AwaitEvent(s.ctx, w, "", "value in Secret password")
	s.must(err)
	s.onlyRolled(before)

	// Once everything is there again, the edit that waited is applied.
	s.apply(secret("password", "value", "1"))
	s.onlyRolled(before, w)
}

func TestAWorkloadWhoseSourceNeverExistedIsReported(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	a := daemonSet("app", envFrom(ofConfigMap("nowhere"))).idle().annotated(s.keys.auto, "true")
	s.apply(a.object())
	_, err := s.AwaitEvent(s.ctx, a.in(s.ns), "", "ConfigMap nowhere", "does not exist")
	s.must(err)
	before := s.rollouts()
	s.onlyRolled(before)
}

// Two writers that fight over a source must not roll a workload for ever.
func TestASourceThatKeepsChangingIsDeferred(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	a := deployment("app", env("KEY", ofConfigMap("config"), "key")).idle().annotated(s.keys.auto, "true")
	w := a.in(s.ns)
	s.apply(configMap("config", "key", "0"), a.object())
	s.hasBaseline(w)
	const free = 10
	for i := range free {
		before := s.rollouts()
		s.apply(configMap("config", "key", strconv.Itoa(i+1)))
		s.rolled(before, w)
	}
	before := s.rollouts()
	s.apply(configMap("config", "key", "one too many"))
	event, err := s.AwaitEvent(s.ctx, w, "", "too many rollouts in a short time", "ConfigMap config changed (key)")
	s.must(err)
	if event.Type != corev1.EventTypeWarning {
		t.Errorf("event %s has type %s, want Warning", event.Reason, event.Type)
	}
	s.onlyRolled(before) // the marker is another workload, and rolls

	// It is late, not lost.
	s.rolled(before, w)
}

func TestAWorkloadThatAdmissionRefusesIsRetriedForItselfAlone(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	var others []framework.Workload
	s.apply(configMap("config", "key", "1"))
	// One before and one after the refused one, whatever the order is by.
	for _, name := range []string{"a-first", "refused", "z-last"} {
		a := deployment(name, env("KEY", ofConfigMap("config"), "key")).idle().annotated(s.keys.auto, "true")
		s.apply(a.object())
		if name != "refused" {
			others = append(others, a.in(s.ns))
		}
	}
	last := daemonSet("other-kind", env("KEY", ofConfigMap("config"), "key")).idle().annotated(s.keys.auto, "true")
	s.apply(last.object())
	others = append(others, last.in(s.ns))
	refused := framework.Deployment(s.ns, "refused")
	s.hasBaseline(append(others, refused)...)
	before := s.rollouts()

	const refusal = "the template of refused is frozen until Monday"
	allow := s.freeze("refused", refusal)
	s.apply(configMap("config", "key", "2"))
	s.rolled(before, others...)
	event, err := s.AwaitEvent(s.ctx, refused, "ReloadFail", refusal)
	s.must(err)
	if event.Type != corev1.EventTypeWarning {
		t.Errorf("event %s has type %s, want Warning", event.Reason, event.Type)
	}
	s.onlyRolled(before, others...)

	allow()
	s.onlyRolled(before, append(others, refused)...)
}

// freeze makes the API server refuse edits of the template of one Deployment, and returns what allows them again. Both
// wait until it is so.
func (s *space) freeze(name, refusal string) (allow func()) {
	s.t.Helper()
	remove := s.deny(refusal, "object.spec.template == oldObject.spec.template", admissionregistrationv1.NamedRuleWithOperations{
		ResourceNames: []string{name},
		RuleWithOperations: admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
		},
	})
	s.awaitFrozen(name, true)
	return func() {
		s.t.Helper()
		remove()
		s.awaitFrozen(name, false)
	}
}

// deny has the API server refuse what does not hold to an expression of CEL, in the namespace of the space, until it is
// removed or the test ends.
func (s *space) deny(refusal, expression string, of admissionregistrationv1.NamedRuleWithOperations) (remove func()) {
	s.t.Helper()
	metadata := metav1.ObjectMeta{Name: s.ns, Labels: map[string]string{runLabel: suite.run}}
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metadata, Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionregistrationv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.ns}},
			ResourceRules:     []admissionregistrationv1.NamedRuleWithOperations{of},
		},
		Validations: []admissionregistrationv1.Validation{{Expression: expression, Message: refusal}},
	}}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metadata, Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: s.ns, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
	}}
	s.apply(policy, binding)
	del := func(ctx context.Context) error { return s.Delete(ctx, s.ns, binding, policy) }
	s.t.Cleanup(func() {
		if err := del(context.WithoutCancel(s.ctx)); err != nil {
			s.t.Error(err)
		}
	})
	return func() {
		s.t.Helper()
		s.must(del(s.ctx))
	}
}

// awaitFrozen asks with a dry run: nothing announces that the API server has taken up a policy.
func (s *space) awaitFrozen(name string, want bool) {
	s.t.Helper()
	edit := []byte(`{"spec":{"template":{"metadata":{"annotations":{"e2e.inpod.dev/probe":"x"}}}}}`)
	options := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: framework.FieldManager}
	err := wait.PollUntilContextCancel(s.ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := s.Client.AppsV1().Deployments(s.ns).Patch(ctx, name, types.MergePatchType, edit, options)
		if err != nil && !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
			return false, err
		}
		return (err != nil) == want, nil
	})
	if err != nil {
		s.t.Fatalf("the admission policy on %s: waited for frozen=%t: %v", name, want, err)
	}
}
