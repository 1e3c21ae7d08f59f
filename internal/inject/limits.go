package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Limits are what a namespace allows its pods.
type Limits struct {
	// Ranges are the limits on containers and pods of its LimitRanges.
	Ranges []Range
	// Quotas are its ResourceQuotas, as far as they count what pods take.
	Quotas []Quota
}

// Range is one limit of a LimitRange.
type Range struct {
	Name string // of the LimitRange
	corev1.LimitRangeItem
}

// Quota is a ResourceQuota.
type Quota struct {
	Name string
	// Hard and Used are those of its status.
	Hard, Used corev1.ResourceList
	// Scopes select the pods that it counts; a pod has to match all of them.
	Scopes []corev1.ScopedResourceSelectorRequirement
}

// counted are the names under which a quota counts what pods take of a resource, as requests or as limits.
func counted(name corev1.ResourceName, isLimit bool) []corev1.ResourceName {
	if isLimit {
		return []corev1.ResourceName{"limits." + name}
	}
	return []corev1.ResourceName{name, "requests." + name}
}

// left returns what is left of a resource, and under which name, where a quota counts it.
func (q Quota) left(name corev1.ResourceName, isLimit bool) (left resource.Quantity, as corev1.ResourceName, counts bool) {
	for _, alias := range counted(name, isLimit) {
		hard, is := q.Hard[alias]
		if !is {
			continue
		}
		room := hard.DeepCopy()
		room.Sub(q.Used[alias])
		if !counts || room.Cmp(left) < 0 {
			left, as, counts = room, alias, true
		}
	}
	return left, as, counts
}

// demands reports whether a quota refuses a container that says nothing of a resource. That is so for processors and memory
// alone (k8s.io/kubernetes/pkg/quota/v1/evaluator/core, validationSet).
func (q Quota) demands(name corev1.ResourceName, isLimit bool) bool {
	if name == corev1.ResourceEphemeralStorage {
		return false
	}
	_, _, counts := q.left(name, isLimit)
	return counts
}

// matches reports whether a quota counts a pod. It is not known where the quota has a scope that is not understood here.
func (q Quota) matches(spec *corev1.PodSpec, isBestEffort bool) (does, known bool) {
	known = true
	for _, scope := range q.Scopes {
		one, understood := inScope(scope, spec, isBestEffort)
		if understood && !one {
			return false, true
		}
		known = known && understood
	}
	return true, known
}

func inScope(scope corev1.ScopedResourceSelectorRequirement, spec *corev1.PodSpec, isBestEffort bool) (is, understood bool) {
	terminates := spec.ActiveDeadlineSeconds != nil
	switch scope.ScopeName {
	case corev1.ResourceQuotaScopeTerminating:
		return terminates, true
	case corev1.ResourceQuotaScopeNotTerminating:
		return !terminates, true
	case corev1.ResourceQuotaScopeBestEffort:
		return isBestEffort, true
	case corev1.ResourceQuotaScopeNotBestEffort:
		return !isBestEffort, true
	case corev1.ResourceQuotaScopePriorityClass:
		class := spec.PriorityClassName
		named := class != "" && slices.Contains(scope.Values, class)
		switch scope.Operator {
		case corev1.ScopeSelectorOpIn:
			return named, true
		case corev1.ScopeSelectorOpNotIn:
			return !named, true
		case corev1.ScopeSelectorOpExists:
			return class != "", true
		case corev1.ScopeSelectorOpDoesNotExist:
			return class == "", true
		}
	case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		return readsNamespaces(spec.Affinity), true
	case corev1.ResourceQuotaScopeVolumeAttributesClass:
		return false, true // of claims, and no pod matches it
	}
	return false, false
}

// readsNamespaces reports whether where a pod is placed depends on pods of other namespaces.
func readsNamespaces(a *corev1.Affinity) bool {
	if a == nil {
		return false
	}
	var terms []corev1.PodAffinityTerm
	weighted := func(all []corev1.WeightedPodAffinityTerm) {
		for i := range all {
			terms = append(terms, all[i].PodAffinityTerm)
		}
	}
	if a.PodAffinity != nil {
		terms = append(terms, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution...)
		weighted(a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if a.PodAntiAffinity != nil {
		terms = append(terms, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution...)
		weighted(a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return slices.ContainsFunc(terms, func(t corev1.PodAffinityTerm) bool { return len(t.Namespaces) > 0 || t.NamespaceSelector != nil })
}

// Cover reports whether all is known that quotas have to say of a pod: a sidecar that was fitted into them is then not why one is
// exceeded. A quota with a scope that is not understood may count the pod or not, so that nothing is fitted into it.
func (l *Limits) Cover(pod *corev1.Pod) bool {
	if l == nil {
		return false
	}
	return !slices.ContainsFunc(l.Quotas, func(q Quota) bool {
		_, known := q.matches(&pod.Spec, false)
		return !known
	})
}

// isBestEffort reports whether no container of a pod requests or limits processors or memory.
func isBestEffort(spec *corev1.PodSpec) bool {
	says := func(list corev1.ResourceList) bool {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if quantity := list[name]; !quantity.IsZero() {
				return true
			}
		}
		return false
	}
	if r := spec.Resources; r != nil && (says(r.Requests) || says(r.Limits)) {
		return false
	}
	for _, containers := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
		for i := range containers {
			if r := containers[i].Resources; says(r.Requests) || says(r.Limits) {
				return false
			}
		}
	}
	return true
}

// total is what a pod takes of a resource, as quotas and LimitRanges count it: what it says itself, or else its containers and
// those init containers that keep running, or more where an ordinary init container needs more before that. The sidecar, if
// there is one, comes last, behind an installer that needs as much.
func total(spec *corev1.PodSpec, name corev1.ResourceName, isLimit bool, sidecar *corev1.ResourceRequirements) resource.Quantity {
	all := sumOf(spec, sidecar, func(r corev1.ResourceRequirements) resource.Quantity {
		if isLimit {
			return r.Limits[name]
		}
		return requested(r, name)
	})
	if own := spec.Resources; own != nil && name != corev1.ResourceEphemeralStorage {
		list := own.Requests
		if isLimit {
			list = own.Limits
		}
		if quantity, says := list[name]; says {
			all = quantity
		}
	}
	if overhead, is := spec.Overhead[name]; is && (!isLimit || !all.IsZero()) {
		all.Add(overhead)
	}
	return all
}

// requested is the request of a container. Where it says none, the API server fills in the limit.
func requested(r corev1.ResourceRequirements, name corev1.ResourceName) resource.Quantity {
	if request, is := r.Requests[name]; is {
		return request
	}
	return r.Limits[name]
}

// sumOf adds up what the containers of a pod take.
func sumOf(spec *corev1.PodSpec, sidecar *corev1.ResourceRequirements, of func(corev1.ResourceRequirements) resource.Quantity) resource.Quantity {
	var sum, running, most resource.Quantity
	for i := range spec.Containers {
		sum.Add(of(spec.Containers[i].Resources))
	}
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		at := running.DeepCopy()
		at.Add(of(c.Resources))
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			running = at.DeepCopy()
			sum.Add(of(c.Resources))
		}
		if at.Cmp(most) > 0 {
			most = at
		}
	}
	if sidecar != nil {
		sum.Add(of(*sidecar)) // which is more than the installer needs before it
	}
	if most.Cmp(sum) > 0 {
		return most
	}
	return sum
}

// room is a bound on what the whole pod may take of a resource.
type room struct {
	name    corev1.ResourceName
	isLimit bool
	most    resource.Quantity
	// reason and whose say who sets the bound, as for "LimitRange team allows a pod".
	reason Reason
	whose  string
}

// rooms are the bounds on the whole pod. One that the pod exceeds without the sidecar is none of the sidecar's.
func (p *plan) rooms(limits *Limits) []room {
	var all []room
	add := func(r room) {
		if alone := total(p.spec, r.name, r.isLimit, nil); alone.Cmp(r.most) <= 0 {
			all = append(all, r)
		}
	}
	for _, item := range limits.Ranges {
		if item.Type != corev1.LimitTypePod {
			continue
		}
		for _, name := range resourceNames() {
			if most, is := item.Max[name]; is {
				whose := allowedByRange(item.Name, most, name)
				add(room{name: name, most: most, reason: LimitRangeForbids, whose: whose})
				add(room{name: name, isLimit: true, most: most, reason: LimitRangeForbids, whose: whose})
			}
		}
	}
	for _, quota := range limits.Quotas {
		if does, known := quota.matches(p.spec, false); !does || !known {
			continue
		}
		for _, name := range resourceNames() {
			for _, isLimit := range []bool{false, true} {
				left, as, counts := quota.left(name, isLimit)
				if !counts {
					continue
				}
				add(room{name: name, isLimit: isLimit, most: left, reason: QuotaExceeded, whose: leftByQuota(quota.Name, left, as)})
			}
		}
	}
	return all
}

// keepsClass reports whether the pod has to stay BestEffort: a quota counts such pods apart, and would ask all containers of
// another one for requests.
func (l *Limits) keepsClass() bool {
	return slices.ContainsFunc(l.Quotas, func(q Quota) bool {
		return slices.ContainsFunc(q.Scopes, func(s corev1.ScopedResourceSelectorRequirement) bool {
			return s.ScopeName == corev1.ResourceQuotaScopeBestEffort || s.ScopeName == corev1.ResourceQuotaScopeNotBestEffort
		})
	})
}

func resourceNames() []corev1.ResourceName {
	return []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}
}

// QuotaOf returns what is needed of a ResourceQuota.
func QuotaOf(q *corev1.ResourceQuota) Quota {
	quota := Quota{Name: q.Name, Hard: q.Status.Hard, Used: q.Status.Used}
	for _, scope := range q.Spec.Scopes {
		quota.Scopes = append(quota.Scopes, corev1.ScopedResourceSelectorRequirement{ScopeName: scope, Operator: corev1.ScopeSelectorOpExists})
	}
	if q.Spec.ScopeSelector != nil {
		quota.Scopes = append(quota.Scopes, q.Spec.ScopeSelector.MatchExpressions...)
	}
	return quota
}
