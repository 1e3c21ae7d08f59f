//go:build e2e

package e2e_test

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
)

// realNode is a node with a kubelet.
func (s *space) realNode() string {
	s.t.Helper()
	nodes, err := s.Client.CoreV1().Nodes().List(s.ctx, metav1.ListOptions{})
	s.must(err)
	for _, node := range nodes.Items {
		if !framework.IsHollow(node) && !node.Spec.Unschedulable && len(node.Spec.Taints) == 0 {
			return node.Name
		}
	}
	s.t.Fatal("no node takes pods")
	return ""
}

// A pod on a node that is not heard of any more is no failure: the others reload, and nothing is rolled.
func TestAPodOnALostNodeHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := installBoth(t)
	hollow, err := s.StartHollowNode(s.ctx, s.ns, framework.HollowOptions{Labels: map[string]string{runLabel: suite.run}})
	s.must(err)
	t.Cleanup(func() {
		ctx, cancel := patience.Context(context.WithoutCancel(s.ctx), cleanLimit)
		defer cancel()
		if err := hollow.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	s.apply(configMap("site", "default.conf", site("first")))
	pod := nginxPod("web", "preset", "nginx")
	hollow.Tolerate(&pod.Spec)
	pod.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
			Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{hollow.Name, s.realNode()},
		}}}},
	}}}
	d := ofPod(pod, 1)
	s.apply(&appsv1.DaemonSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.DaemonSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template}})
	w := framework.DaemonSet(s.ns, "web")
	s.must(s.AwaitRollout(s.ctx, w))
	s.hasBaseline(w)
	pods, err := s.Pods(s.ctx, w)
	s.must(err)
	if len(pods) != 2 {
		t.Fatalf("%d pods, want one on each node", len(pods))
	}
	alive, away := pods[0], pods[1]
	if alive.Spec.NodeName == hollow.Name {
		alive, away = away, alive
	}
	s.serves(alive.Name, "first")

	hollow.Lose()
	_, err = framework.AwaitObject(s.ctx, s.Client.CoreV1().RESTClient(), "pods", s.ns, away.Name, func(object runtime.Object) bool {
		p, ok := object.(*corev1.Pod)
		if !ok {
			return false
		}
		for _, condition := range p.Status.Conditions {
			if condition.Type == corev1.PodReady {
				return condition.Status != corev1.ConditionTrue
			}
		}
		return false
	})
	s.must(err)
	before := s.state(w)
	s.apply(configMap("site", "default.conf", site("second")))
	s.serves(alive.Name, "second")
	_, err = s.AwaitEvent(s.ctx, w, "ReloadedInPlace", "1 pod could not be asked (its node does not report)")
	s.must(err)
	s.awaitRecorded(w, before.Annotations[annotation.Baseline])
	s.undisturbed(&alive)
	s.sameTemplate(before, w)
}

// A pod that cannot reload is evicted as soon as its PodDisruptionBudget allows it, and the others stay as they are.
func TestAPodThatFailsIsEvictedAlone(t *testing.T) {
	t.Parallel()
	s := installBothWith(t, framework.Values{
		"config": framework.Values{"settle": "500ms", "logLevel": "debug", "reloadDeadline": patience.Stretch(20 * time.Second).String()},
	})
	s.apply(configMap("site", "default.conf", site("first")))
	pods := s.start(ofPod(nginxPod("web", "preset", "nginx"), 4))["web"]
	w := framework.Deployment(s.ns, "web")
	before := s.state(w)
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: policyv1.PodDisruptionBudgetSpec{
		MinAvailable: new(intstr.FromInt32(4)), Selector: before.Selector,
	}}
	s.apply(budget)

	bad, good := pods[0], pods[1:]
	script := `for p in /proc/[0-9]*; do case "$(cat $p/comm 2>/dev/null)" in nginx) kill -STOP ${p#/proc/};; esac; done`
	_, err := s.Exec(s.ctx, s.ns, bad.Name, "web", "sh", "-c", script)
	s.must(err)
	s.apply(configMap("site", "default.conf", site("second")))
	s.everyPodServes(good, "second")
	s.awaitEvent("web", "EvictionBlocked", bad.Name)
	s.allUndisturbed(good)
	s.must(s.Delete(s.ctx, s.ns, budget))
	s.awaitEvent("web", "PodEvicted", bad.Name)
	s.awaitRecorded(w, before.Annotations[annotation.Baseline])
	s.must(s.AwaitRollout(s.ctx, w))
	s.allUndisturbed(good)
	s.sameTemplate(before, w)
	now, err := s.Pods(s.ctx, w)
	s.must(err)
	s.everyPodServes(now, "second")
}
