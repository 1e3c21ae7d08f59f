//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/patience"
)

// silent starts a webhook that never answers, in the namespace of the space.
func (s *space) silent() *framework.Silent {
	s.t.Helper()
	silent, err := s.StartSilent(s.ctx, s.ns)
	s.must(err)
	return silent
}

// asked is how many requests have waited for it.
func (s *space) asked(silent *framework.Silent) int {
	s.t.Helper()
	n, err := silent.Asked(s.ctx)
	s.must(err)
	return n
}

// Workloads behind a slow admission webhook keep no other team waiting.
func TestSlowAdmissionDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	s, other := openSpace(t, suite.quick), openSpace(t, suite.quick)
	const size = 100
	s.apply(configMap("config", "key", "1"))
	other.apply(configMap("config", "key", "1"))
	var slow []framework.Workload
	var objects []runtime.Object
	for i := range size {
		a := deployment(fmt.Sprintf("app-%d", i), env("KEY", ofConfigMap("config"), "key")).idle().annotated(s.keys.auto, "true")
		objects, slow = append(objects, a.object()), append(slow, a.in(s.ns))
	}
	s.applyMany(objects)
	a := deployment("victim", env("KEY", ofConfigMap("config"), "key")).idle().annotated(other.keys.auto, "true")
	victim := a.in(other.ns)
	other.apply(a.object())
	s.hasBaseline(slow...)
	other.hasBaseline(victim)

	silent, accounts := s.silent(), "system:serviceaccount:"+s.Namespace+":"
	webhook := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: s.ns, Labels: map[string]string{runLabel: suite.run}},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "slow.e2e.inpod.dev", ClientConfig: admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{
				Namespace: silent.Namespace, Name: silent.Name, Port: &silent.Port,
			}},
			AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: new(int32(10)),
			FailurePolicy: new(admissionregistrationv1.Ignore), SideEffects: new(admissionregistrationv1.SideEffectClassNone),
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.ns}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
			}},
			MatchConditions: []admissionregistrationv1.MatchCondition{{
				Name: "the-controller", Expression: fmt.Sprintf("request.userInfo.username.startsWith(%q)", accounts),
			}},
		}},
	}
	remove := func(ctx context.Context) error { return s.Delete(ctx, s.ns, webhook) }
	s.apply(webhook)
	t.Cleanup(func() {
		ctx, cancel := patience.Context(context.WithoutCancel(s.ctx), cleanLimit)
		defer cancel()
		if err := remove(ctx); err != nil {
			t.Error(err)
		}
	})
	// Nothing announces that the API server has taken the webhook up.
	config := rest.CopyConfig(s.Config)
	config.Impersonate.UserName, config.Impersonate.Groups = accounts+s.Controller().Name, []string{"system:masters"}
	config.Timeout = time.Second
	client, err := kubernetes.NewForConfig(config)
	s.must(err)
	s.eventually("the webhook to be asked", func() (string, bool) {
		_, err := client.AppsV1().Deployments(s.ns).Patch(s.ctx, slow[0].Name, types.MergePatchType, []byte(`{"metadata":{"labels":{"x":"y"}}}`),
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		n := s.asked(silent)
		return fmt.Sprintf("%d times, %v", n, err), n > 0
	})
	before, quiet, first := s.rollouts(), other.rollouts(), s.asked(silent)
	s.apply(configMap("config", "key", "2"))
	s.eventually("the webhook to be asked", func() (string, bool) { n := s.asked(silent); return fmt.Sprint(n, " times"), n > first })
	other.apply(configMap("config", "key", "2"))
	other.rolled(quiet, victim)
	rolled := 0
	for w, n := range s.rollouts() {
		rolled += n - before[w]
	}
	if rolled >= size {
		t.Errorf("the other workload is rolled after all %d that wait", rolled)
	}
	s.must(remove(s.ctx))
	s.onlyRolled(before, slow...)
}

// A kind that is served and cannot be listed, since its conversion webhook is down, keeps no other kind from being followed.
func TestAKindThatCannotBeListedKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	silent := s.silent()
	resource, definition := otherKind("Broken")
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	second := runtime.DeepCopyJSON(versions[0].(map[string]any))
	second["name"], second["storage"] = "v2", false
	s.must(unstructured.SetNestedSlice(definition.Object, append(versions, second), "spec", "versions"))
	s.must(unstructured.SetNestedField(definition.Object, map[string]any{
		"strategy": "Webhook", "webhook": map[string]any{
			"conversionReviewVersions": []any{"v1"}, "clientConfig": map[string]any{"service": map[string]any{
				"namespace": silent.Namespace, "name": silent.Name, "port": int64(silent.Port), "path": "/convert",
			}},
		},
	}, "spec", "conversion"))
	s.define(definition)
	v2 := schema.GroupVersionResource{Group: resource.Group, Version: "v2", Resource: resource.Resource}
	broken := custom{resource, "Broken", deployment("broken", env("KEY", ofConfigMap("config"), "key")).annotated(s.keys.auto, "true"), nil, []string{"spec", "template"}}
	_, err := s.Custom(resource, s.ns).Create(s.ctx, broken.object(t, s.ns), metav1.CreateOptions{FieldManager: framework.FieldManager})
	s.must(err)
	t.Cleanup(func() { // what cannot be converted cannot be cleaned up with its kind
		ctx, cancel := patience.Context(context.WithoutCancel(s.ctx), cleanLimit)
		defer cancel()
		if err := s.Custom(resource, s.ns).Delete(ctx, "broken", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	s.install(nil, framework.Values{"workloadKinds": []any{
		framework.Values{"kind": "Broken", "group": v2.Group, "version": "v2", "resource": v2.Resource},
	}})
	s.awaitLog("kind is served and cannot be listed")
	s.marker()
	if s.asked(silent) == 0 {
		t.Error("the conversion webhook was never asked")
	}
	brief, cancel := patience.Context(s.ctx, 2*time.Second)
	defer cancel()
	if list, err := s.Custom(v2, s.ns).List(brief, metav1.ListOptions{}); err == nil {
		t.Errorf("the kind could be listed all the time: %d objects", len(list.Items))
	}
}
