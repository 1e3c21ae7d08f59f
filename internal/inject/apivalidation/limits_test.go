package apivalidation

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"inpod.dev/inpod/internal/inject"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	quotav1 "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"
	evaluator "k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
	"k8s.io/kubernetes/plugin/pkg/admission/limitranger"
	"k8s.io/utils/clock"
)

// namespace is what limits pods, in the forms of the API server and of the injector.
type namespace struct {
	ranges []corev1.LimitRange
	quotas []corev1.ResourceQuota
}

func (n namespace) limits() *inject.Limits {
	l := &inject.Limits{}
	for _, r := range n.ranges {
		for _, item := range r.Spec.Limits {
			l.Ranges = append(l.Ranges, inject.Range{Name: r.Name, LimitRangeItem: item})
		}
	}
	for _, q := range n.quotas {
		l.Quotas = append(l.Quotas, inject.QuotaOf(&q))
	}
	return l
}

// admit does to a pod what the API server's plugins do after the webhooks, and before them, and says what they have against it.
func (n namespace) admit(pod *corev1.Pod) (*corev1.Pod, error) {
	pod = pod.DeepCopy()
	legacyscheme.Scheme.Default(pod)
	internal := &core.Pod{}
	if err := legacyscheme.Scheme.Convert(pod, internal, nil); err != nil {
		return nil, err
	}
	for i := range n.ranges {
		if err := limitranger.PodMutateLimitFunc(&n.ranges[i], internal); err != nil {
			return nil, err
		}
	}
	for i := range n.ranges {
		if err := limitranger.PodValidateLimitFunc(&n.ranges[i], internal); err != nil {
			return nil, fmt.Errorf("LimitRange: %w", err)
		}
	}
	after := &corev1.Pod{}
	if err := legacyscheme.Scheme.Convert(internal, after, nil); err != nil {
		return nil, err
	}
	pods := evaluator.NewPodEvaluator(nil, clock.RealClock{})
	for i := range n.quotas {
		q := &n.quotas[i]
		if matches, err := pods.Matches(q, after); err != nil || !matches {
			continue
		}
		hard := quotav1.ResourceNames(q.Status.Hard)
		if err := pods.Constraints(pods.MatchingResources(hard), after); err != nil {
			return nil, fmt.Errorf("ResourceQuota: %w", err)
		}
		usage, err := pods.Usage(after)
		if err != nil {
			return nil, err
		}
		if fits, over := quotav1.LessThanOrEqual(quotav1.Mask(quotav1.Add(q.Status.Used, usage), hard), q.Status.Hard); !fits {
			return nil, fmt.Errorf("ResourceQuota: exceeded: %v", over)
		}
	}
	return after, nil
}

func (g generator) list(percent int, amounts map[corev1.ResourceName][]string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		if from := amounts[name]; len(from) > 0 && g.maybe(percent) {
			list[name] = resource.MustParse(pick(g, from...))
		}
	}
	return list
}

func (g generator) namespace() namespace {
	var n namespace
	for i := range g.IntN(3) {
		item := corev1.LimitRangeItem{Type: pick(g, corev1.LimitTypeContainer, corev1.LimitTypeContainer, corev1.LimitTypePod)}
		item.Max = g.list(40, map[corev1.ResourceName][]string{"cpu": {"1", "2", "60m"}, "memory": {"1Gi", "4Gi", "100Mi"}, "ephemeral-storage": {"1Gi"}})
		item.Min = g.list(30, map[corev1.ResourceName][]string{"cpu": {"10m", "1m", "30m"}, "memory": {"4Mi", "16Mi"}})
		item.MaxLimitRequestRatio = g.list(30, map[corev1.ResourceName][]string{"cpu": {"1", "2", "3", "1500m", "10"}, "memory": {"1", "2", "1500m", "3"}})
		if item.Type == corev1.LimitTypeContainer {
			item.Default = g.list(50, map[corev1.ResourceName][]string{"cpu": {"500m", "1"}, "memory": {"128Mi", "1Gi"}})
			item.DefaultRequest = g.list(50, map[corev1.ResourceName][]string{"cpu": {"10m", "250m"}, "memory": {"16Mi", "64Mi"}})
		}
		r := corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("range-", i)}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{item}}}
		legacyscheme.Scheme.Default(&r)
		n.ranges = append(n.ranges, r)
	}
	for i := range g.IntN(3) {
		q := corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("quota-", i)}}
		q.Status.Hard, q.Status.Used = corev1.ResourceList{}, corev1.ResourceList{}
		for name, amounts := range map[corev1.ResourceName][]string{
			"cpu": {"1", "4"}, "requests.cpu": {"1", "1100m"}, "limits.cpu": {"1", "1030m", "4"}, "memory": {"4Gi"}, "requests.memory": {"1Gi", "1040Mi"},
			"limits.memory": {"1Gi", "1056Mi", "8Gi"}, "pods": {"5"}, "limits.ephemeral-storage": {"1Gi"},
		} {
			if g.maybe(25) {
				q.Status.Hard[name], q.Status.Used[name] = resource.MustParse(pick(g, amounts...)), resource.MustParse(pick(g, "0", "5m"))
			}
		}
		if g.maybe(25) {
			q.Spec.Scopes = []corev1.ResourceQuotaScope{pick(g, corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating,
				corev1.ResourceQuotaScopeCrossNamespacePodAffinity, corev1.ResourceQuotaScopeVolumeAttributesClass)}
		}
		if g.maybe(10) {
			q.Spec.ScopeSelector = &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{
				{ScopeName: corev1.ResourceQuotaScopePriorityClass, Operator: pick(g, corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist)},
			}}
		}
		n.quotas = append(n.quotas, q)
	}
	return n
}

// What LimitRanges and quotas admit, they admit with the sidecar, by Kubernetes' own code.
func TestPodsThatLimitRangesAndQuotasAdmitAreAdmittedWithTheSidecar(t *testing.T) {
	t.Parallel()
	count, seed := number(t, "INPOD_RANDOM_PODS", 5_000), number(t, "INPOD_RANDOM_SEED", 1)
	admitted, injected := 0, 0
	reasons := map[inject.Reason]int{}
	for i := 0; i < count && !t.Failed(); i++ {
		g := generator{rand.New(rand.NewPCG(uint64(seed), uint64(i)))}
		pod, o, n := g.pod(), g.options(), g.namespace()
		if faults(pod) != none {
			continue
		}
		before, err := n.admit(pod)
		if err != nil {
			continue // refused without the sidecar
		}
		admitted++
		o.Limits = n.limits()
		change, report := inject.Inject(before, o)
		reasons[report.Reason]++
		if report.Reason != inject.Injected {
			continue
		}
		injected++
		if _, err := n.admit(change.Apply(before)); err != nil {
			t.Errorf("pod %d of seed %d: %v\n%s\n%+v", i, seed, err, text(change.Apply(before)), n)
		}
	}
	t.Logf("%d pods: %d that the namespace admits, %d of them injected; reasons %v", count, admitted, injected, reasons)
	if injected < count/50 {
		t.Errorf("only %d of %d pods were injected, so that little was tried", injected, count)
	}
	for _, reason := range []inject.Reason{inject.QuotaExceeded, inject.LimitRangeForbids} {
		if reasons[reason] == 0 {
			t.Errorf("no pod ended with %s", reason)
		}
	}
}
