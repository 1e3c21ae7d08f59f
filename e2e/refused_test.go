//go:build e2e

package e2e_test

import (
	"context"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
)

// forbidCapabilities has a policy refuse pods of the namespace that add capabilities, and waits until it does.
func (s *space) forbidCapabilities() (allow func()) {
	s.t.Helper()
	name := "inpod-e2e-" + s.ns
	policies, bindings := s.Client.AdmissionregistrationV1().ValidatingAdmissionPolicies(), s.Client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	allow = func() {
		ctx, cancel := patience.Context(context.WithoutCancel(s.ctx), cleanLimit)
		defer cancel()
		_ = bindings.Delete(ctx, name, metav1.DeleteOptions{})
		_ = policies.Delete(ctx, name, metav1.DeleteOptions{})
	}
	s.t.Cleanup(allow)
	_, err := policies.Create(s.ctx, &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionregistrationv1.Fail),
			MatchConstraints: &admissionregistrationv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.ns}},
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
				}}},
			},
			Validations: []admissionregistrationv1.Validation{{
				Expression: "!has(object.spec.initContainers) || object.spec.initContainers.all(c, !has(c.securityContext) || !has(c.securityContext.capabilities) || " +
					"!has(c.securityContext.capabilities.add) || c.securityContext.capabilities.add.size() == 0)",
				Message: "containers may not add capabilities",
			}},
		},
	}, metav1.CreateOptions{})
	s.must(err)
	_, err = bindings.Create(s.ctx, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}, metav1.CreateOptions{})
	s.must(err)
	s.eventually("the policy to be in force", func() (string, bool) { return s.tryOut(nginxPod("probe", "preset", "nginx")) })
	return allow
}

// tryOut has the API server say what it would make of a pod, and reports whether it refuses it.
func (s *space) tryOut(pod *corev1.Pod) (answer string, refused bool) {
	_, err := s.Client.CoreV1().Pods(s.ns).Create(s.ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err.Error(), strings.Contains(err.Error(), "denied request") || strings.Contains(err.Error(), "exceeded quota")
	}
	return "it is admitted", false
}

// replicaSet makes one pod.
func replicaSet(pod *corev1.Pod) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: pod.Labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations}, Spec: pod.Spec},
		},
	}
}

// onlyPod waits for the one pod of a workload, ready.
func (s *space) onlyPod(name string) *corev1.Pod {
	s.t.Helper()
	var found *corev1.Pod
	s.eventually("a pod of "+name, func() (string, bool) {
		list, err := s.Client.CoreV1().Pods(s.ns).List(s.ctx, metav1.ListOptions{LabelSelector: "app=" + name})
		s.must(err)
		if len(list.Items) != 1 {
			return "there are none, or several", false
		}
		found = &list.Items[0]
		return "", true
	})
	return s.awaitPod(found.Name, "ready", isReady)
}

// A policy refuses what the sidecar needs: the workload runs without it, and says why.
func aPolicyAgainstCapabilities(s *space) {
	s.apply(configMap("site", "default.conf", site("first")))
	allow := s.forbidCapabilities()
	set := nginxPod("set", "preset", "nginx")
	set.Spec.RestartPolicy = corev1.RestartPolicyAlways
	s.apply(replicaSet(nginxPod("web", "preset", "nginx")), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "set"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: set.Labels}, ServiceName: "set",
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: set.Labels, Annotations: set.Annotations}, Spec: set.Spec},
		},
	}, replicaSet(nginxPod("bare", "preset", "nginx", "sidecar-capabilities", "none")))
	for _, name := range []string{"web", "set"} {
		pod := s.onlyPod(name)
		if record := s.record(pod); sidecarOf(pod) != nil || record.Reason != "RefusedBefore" || !strings.Contains(record.Message, "may not add capabilities") {
			s.t.Errorf("%s: the record is %s", name, record)
		}
		if pod.Labels[annotation.InjectedLabel] != "false" {
			s.t.Errorf("%s: labels %v", name, pod.Labels)
		}
	}
	bare := s.onlyPod("bare")
	if sidecarOf(bare) == nil {
		s.t.Fatalf("without capabilities: the record is %s", s.record(bare))
	}
	s.apply(configMap("site", "default.conf", site("second")))
	s.nudge(bare.Name, "second")
	s.serves(bare.Name, "second")
	s.reported(bare.Name, "applied")

	// Nothing is remembered of a policy that is gone.
	allow()
	s.eventually("the policy to be gone", func() (string, bool) {
		answer, refused := s.tryOut(nginxPod("probe", "preset", "nginx"))
		return answer, !refused
	})
	s.apply(replicaSet(nginxPod("after", "preset", "nginx")))
	if after := s.onlyPod("after"); sidecarOf(after) == nil {
		s.t.Errorf("without the policy: the record is %s", s.record(after))
	}
}

// A quota counts limits of processors. The sidecar fits into what is left, or stays away.
func aQuotaOnLimits(s *space) {
	s.apply(configMap("site", "default.conf", site("first")), quotaOf("limits.cpu", "720m"))
	s.eventually("the quota to be in force", func() (string, bool) {
		quota, err := s.Client.CoreV1().ResourceQuotas(s.ns).Get(s.ctx, "team", metav1.GetOptions{})
		s.must(err)
		return "", len(quota.Status.Hard) > 0
	})
	limited := func(name string) *corev1.Pod {
		pod := nginxPod(name, "preset", "nginx")
		pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("300m")}
		return pod
	}
	s.apply(replicaSet(limited("first")))
	first := s.onlyPod("first")
	if sidecar := sidecarOf(first); sidecar == nil || sidecar.Resources.Limits.Cpu().IsZero() {
		s.t.Fatalf("the record is %s", s.record(first))
	}
	// With it, less than the second pod is left.
	s.must(s.Client.CoreV1().Pods(s.ns).Delete(s.ctx, first.Name, metav1.DeleteOptions{}))
	s.apply(quotaOf("limits.cpu", "310m"))
	s.eventually("a pod without the sidecar", func() (string, bool) {
		list, err := s.Client.CoreV1().Pods(s.ns).List(s.ctx, metav1.ListOptions{LabelSelector: "app=first"})
		s.must(err)
		for i := range list.Items {
			if pod := &list.Items[i]; pod.DeletionTimestamp == nil && sidecarOf(pod) == nil {
				reason := s.record(pod).Reason
				return reason, reason == "QuotaExceeded"
			} else if pod.DeletionTimestamp == nil {
				s.must(s.Client.CoreV1().Pods(s.ns).Delete(s.ctx, pod.Name, metav1.DeleteOptions{}))
			}
		}
		return "there is none", false
	})
}

func quotaOf(name corev1.ResourceName, hard string) runtime.Object {
	return &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "team"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{name: resource.MustParse(hard)}},
	}
}
