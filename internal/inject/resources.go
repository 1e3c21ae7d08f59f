package inject

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// What the sidecar may use beyond the defaults of the options.
const (
	// programMemory is for validators of the application, which load its configuration as the application does.
	programMemory = "256Mi"
	// guaranteedCPU is for a pod whose containers are all limited: with less the start alone would take seconds.
	guaranteedCPU = "50m"
	// usualCPU and programCPU are the limits where one is needed and none is configured.
	usualCPU   = "100m"
	programCPU = "200m"
	// usualRatio is how many times its request of processor time the sidecar may use at most, where it has a limit: a
	// maxLimitRequestRatio is seldom smaller.
	usualRatio = 10
	// leastCPU and leastMemory are as little as a limit is lowered to fit into a quota. A program of the application is not
	// run with less memory than usual: a validator that the kernel ends says nothing of what it validates.
	leastCPU    = "20m"
	leastMemory = "32Mi"
	// least is a request where a quota demands one and the settings have none.
	leastCPURequest    = "1m"
	leastMemoryRequest = "8Mi"
)

// amount is what the sidecar asks for of one resource; zero for nothing. What its user asked for is not changed.
type amount struct {
	request, limit       resource.Quantity
	fixRequest, fixLimit bool
	bytes                bool // without fractions
}

// amounts are those of all resources.
type amounts map[corev1.ResourceName]*amount

// pickResources asks for little, because a quota counts it, and for something, because a quota refuses a container that
// asks for nothing. There is a CPU limit only where the application has one or the namespace requires one, to
// avoid throttling.
//
//	pod has its own requests or limits: none, or the containers' sum might exceed them, which the API server rejects
//	pod is BestEffort, and quotas count such pods apart: none
//	pod is Guaranteed:                  requests equal to limits, or it would lose its class and its exclusive processors
//	else:                               requests, and a limit for memory
//
// What is known of LimitRanges and quotas of the namespace then changes values that the user has not set, so that the
// pod is accepted.
func pickResources(p *plan) *skip {
	limits := p.options.Limits
	if limits == nil {
		limits = &Limits{}
	}
	if own := p.spec.Resources; own != nil && len(own.Requests)+len(own.Limits) > 0 {
		return p.noResources(limits, podHasResources)
	}
	if isBestEffort(p.spec) && limits.keepsClass() {
		return p.noResources(limits, bestEffortQuota)
	}
	a := p.usualAmounts(limits)
	guaranteed := p.isGuaranteed()
	if guaranteed {
		a.guarantee()
	}
	for _, item := range limits.Ranges {
		a.conform(item)
	}
	if guaranteed {
		a.level()
	}
	if skip := p.squeeze(a, limits); skip != nil {
		return skip
	}
	p.resources = a.requirements()
	return p.checkRanges(limits)
}

// noResources gives the sidecar what a LimitRange would fill in, and nothing else.
func (p *plan) noResources(limits *Limits, why string) *skip {
	ask := p.ask
	for _, asked := range []*resource.Quantity{ask.CPURequest, ask.CPULimit, ask.MemoryRequest, ask.MemoryLimit, ask.StorageRequest, ask.StorageLimit} {
		if asked != nil {
			p.notes = append(p.notes, withoutResources(why))
			break
		}
	}
	a := amounts{}
	for _, name := range resourceNames() {
		a[name] = &amount{bytes: name != corev1.ResourceCPU}
	}
	for _, item := range limits.Ranges {
		a.conform(item)
	}
	if skip := p.squeeze(a, limits); skip != nil {
		return skip
	}
	p.resources = a.requirements()
	if own := p.spec.Resources; own != nil {
		for _, name := range resourceNames() {
			request := own.Requests[name]
			all := sumOf(p.spec, &p.resources, func(r corev1.ResourceRequirements) resource.Quantity { return requested(r, name) })
			most, limited := own.Limits[name]
			if limit := p.resources.Limits[name]; !request.IsZero() && all.Cmp(request) > 0 || limited && limit.Cmp(most) > 0 {
				return podResourcesExceeded(name)
			}
		}
	}
	return p.checkRanges(limits)
}

// usualAmounts are what was asked for, and else what the settings say, with what quotas demand.
func (p *plan) usualAmounts(limits *Limits) amounts {
	o, ask := p.options, p.ask
	memoryLimit := o.MemoryLimit
	if programs := resource.MustParse(programMemory); p.runsPrograms() && !memoryLimit.IsZero() && memoryLimit.Cmp(programs) < 0 {
		memoryLimit = programs
	}
	a := amounts{
		corev1.ResourceCPU:              newAmount(o.CPURequest, o.CPULimit, ask.CPURequest, ask.CPULimit),
		corev1.ResourceMemory:           newAmount(o.MemoryRequest, memoryLimit, ask.MemoryRequest, ask.MemoryLimit),
		corev1.ResourceEphemeralStorage: newAmount(o.StorageRequest, o.StorageLimit, ask.StorageRequest, ask.StorageLimit),
	}
	cpu, memory := a[corev1.ResourceCPU], a[corev1.ResourceMemory]
	if cpu.limit.IsZero() && p.wantsCPULimit(limits) {
		cpu.limit = p.usualLimit(corev1.ResourceCPU)
		if cpu.request.Cmp(cpu.limit) > 0 {
			cpu.limit = cpu.request
		}
		cpu.keepRatio(*resource.NewQuantity(usualRatio, resource.DecimalSI))
	}
	if memory.limit.IsZero() && p.demanded(limits, corev1.ResourceMemory, true) {
		memory.limit = p.usualLimit(corev1.ResourceMemory)
	}
	if cpu.request.IsZero() && p.demanded(limits, corev1.ResourceCPU, false) {
		cpu.request = resource.MustParse(leastCPURequest)
	}
	if memory.request.IsZero() && p.demanded(limits, corev1.ResourceMemory, false) {
		memory.request = resource.MustParse(leastMemoryRequest)
	}
	for _, name := range resourceNames() {
		a[name].bytes = name != corev1.ResourceCPU
		a[name].settle()
	}
	return a
}

func newAmount(request, limit resource.Quantity, askedRequest, askedLimit *resource.Quantity) *amount {
	a := &amount{request: request.DeepCopy(), limit: limit.DeepCopy()}
	if askedRequest != nil {
		a.request, a.fixRequest = askedRequest.DeepCopy(), true
	}
	if askedLimit != nil {
		a.limit, a.fixLimit = askedLimit.DeepCopy(), true
	}
	return a
}

// settle makes a default give way to what was asked for, where a request would be more than its limit.
func (a *amount) settle() {
	switch {
	case a.limit.IsZero() || a.request.Cmp(a.limit) <= 0:
	case a.fixLimit:
		a.request = a.limit
	default:
		a.limit = a.request
	}
}

// usualLimit is a limit where one is needed.
func (p *plan) usualLimit(name corev1.ResourceName) resource.Quantity {
	programs := p.runsPrograms()
	switch {
	case name == corev1.ResourceCPU && programs:
		return resource.MustParse(programCPU)
	case name == corev1.ResourceCPU:
		return resource.MustParse(usualCPU)
	}
	return resource.MustParse(programMemory)
}

// wantsCPULimit reports whether the sidecar is to have a limit on processors: the application has one, or the namespace has
// something to say of such limits.
func (p *plan) wantsCPULimit(limits *Limits) bool {
	if limit := p.target.Resources.Limits[corev1.ResourceCPU]; !limit.IsZero() || p.demanded(limits, corev1.ResourceCPU, true) {
		return true
	}
	for _, item := range limits.Ranges {
		for _, list := range []corev1.ResourceList{item.Max, item.Default, item.MaxLimitRequestRatio} {
			if quantity := list[corev1.ResourceCPU]; item.Type == corev1.LimitTypeContainer && !quantity.IsZero() {
				return true
			}
		}
	}
	return false
}

// demanded reports whether a quota refuses the pod if the sidecar says nothing of a resource.
func (p *plan) demanded(limits *Limits, name corev1.ResourceName, isLimit bool) bool {
	for _, quota := range limits.Quotas {
		if does, _ := quota.matches(p.spec, false); does && quota.demands(name, isLimit) {
			return true
		}
	}
	return false
}

// guarantee gives the sidecar the limits that a Guaranteed pod needs, and requests that equal them.
func (a amounts) guarantee() {
	cpu, memory := a[corev1.ResourceCPU], a[corev1.ResourceMemory]
	least := resource.MustParse(guaranteedCPU)
	switch {
	case cpu.fixLimit:
	case cpu.fixRequest:
		cpu.limit = cpu.request
	default:
		cpu.limit = cpu.request
		if cpu.limit.Cmp(least) < 0 {
			cpu.limit = least
		}
	}
	if memory.limit.IsZero() {
		memory.limit = resource.MustParse(programMemory)
	}
	a.level()
}

// level makes the requests of processors and memory equal to the limits.
func (a amounts) level() {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		a[name].request = a[name].limit
	}
}

// conform changes values that the user has not set so that a LimitRange accepts it. A pod's ratio holds where each of
// its containers keeps it.
func (a amounts) conform(item Range) {
	for _, name := range resourceNames() {
		one := a[name]
		if item.Type == corev1.LimitTypeContainer {
			one.fill(item.Default[name], item.DefaultRequest[name], item.Min[name], item.Max[name])
			one.between(item.Min[name], item.Max[name])
		}
		if item.Type == corev1.LimitTypeContainer || item.Type == corev1.LimitTypePod {
			if ratio := item.MaxLimitRequestRatio[name]; !ratio.IsZero() {
				one.keepRatio(ratio)
			}
		}
	}
}

// fill adds what the API server would fill in, and a limit where one is wanted.
func (a *amount) fill(limit, request, least, most resource.Quantity) {
	for _, from := range []resource.Quantity{limit, most} {
		if a.limit.IsZero() {
			a.limit = from.DeepCopy()
		}
	}
	for _, from := range []resource.Quantity{request, least} {
		if a.request.IsZero() {
			a.request = from.DeepCopy()
		}
	}
	a.settle()
}

// between raises what is below the least and lowers what is above the most; zero for no bound.
func (a *amount) between(least, most resource.Quantity) {
	if !least.IsZero() && !a.fixRequest && a.request.Cmp(least) < 0 {
		a.request = least.DeepCopy()
	}
	if !a.limit.IsZero() && !a.fixLimit {
		if a.limit.Cmp(least) < 0 {
			a.limit = least.DeepCopy()
		}
		if !most.IsZero() && a.limit.Cmp(most) > 0 {
			a.limit = most.DeepCopy()
		}
	}
	if !a.limit.IsZero() && !a.fixRequest && a.request.Cmp(a.limit) > 0 {
		a.request = a.limit
	}
	a.settle()
}

// keepRatio raises the request, or else lowers the limit, until the limit is at most so many times the request.
func (a *amount) keepRatio(ratio resource.Quantity) {
	if a.limit.IsZero() {
		if a.request.IsZero() {
			return
		}
		a.limit = a.request
	}
	const milli = 1000
	times := ratio.MilliValue()
	if times < milli {
		return // nothing can keep it
	}
	value, quantity := (*resource.Quantity).MilliValue, resource.NewMilliQuantity
	if a.bytes {
		value, quantity = (*resource.Quantity).Value, resource.NewQuantity
	}
	switch {
	case !a.fixRequest:
		if least := quantity(ceilDiv(value(&a.limit)*milli, times), a.limit.Format); a.request.Cmp(*least) < 0 {
			a.request = *least
		}
	case !a.fixLimit:
		if most := quantity(value(&a.request)*times/milli, a.request.Format); a.limit.Cmp(*most) > 0 {
			a.limit = *most
		}
	}
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

// squeeze lowers values that the user has not set until the pod fits into what its quotas have left, or says why it
// cannot.
func (p *plan) squeeze(a amounts, limits *Limits) *skip {
	for _, r := range p.rooms(limits) {
		sidecar := a.requirements()
		over := total(p.spec, r.name, r.isLimit, &sidecar)
		over.Sub(r.most)
		if over.Sign() <= 0 {
			continue
		}
		one, wanted := a[r.name], total(p.spec, r.name, r.isLimit, &sidecar)
		least := p.least(r.name, r.isLimit, one)
		if !one.lower(r.isLimit, over, least) {
			return r.exceeded(wanted)
		}
		p.notes = append(p.notes, r.squeezed())
	}
	return nil
}

func suffix(isLimit bool) string {
	if isLimit {
		return "-limit"
	}
	return "-request"
}

// least is as little as an amount may be lowered to.
func (p *plan) least(name corev1.ResourceName, isLimit bool, a *amount) resource.Quantity {
	asked := a.request
	if isLimit {
		asked = a.limit
	}
	isLimit = isLimit || a.request.Cmp(a.limit) == 0 // the one goes with the other
	text := ""
	switch {
	case name == corev1.ResourceCPU && isLimit:
		text = leastCPU
	case name == corev1.ResourceCPU:
		text = leastCPURequest
	case name == corev1.ResourceMemory && isLimit && !p.runsPrograms():
		text = leastMemory
	case name == corev1.ResourceMemory && !isLimit:
		text = leastMemoryRequest
	}
	if text == "" {
		return asked
	}
	return resource.MustParse(text)
}

// lower takes so much away from a limit or request, and reports whether at least the least is left. A limit takes the request
// with it, and a request of a container without limits stands for both.
func (a *amount) lower(isLimit bool, by, least resource.Quantity) bool {
	of, fixed := &a.request, a.fixRequest
	if isLimit {
		of, fixed = &a.limit, a.fixLimit
	}
	rest := of.DeepCopy()
	rest.Sub(by)
	if fixed || rest.Cmp(least) < 0 {
		return false
	}
	equal := a.request.Cmp(a.limit) == 0
	*of = rest
	if isLimit && a.request.Cmp(rest) > 0 {
		if a.fixRequest {
			return false
		}
		a.request = rest
	}
	if !isLimit && equal && !a.fixLimit {
		a.limit = rest
	}
	return true
}

// requirements are the amounts in the form of Kubernetes.
func (a amounts) requirements() corev1.ResourceRequirements {
	r := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for _, name := range resourceNames() {
		set(r.Requests, name, a[name].request)
		set(r.Limits, name, a[name].limit)
	}
	return r
}

func set(list corev1.ResourceList, name corev1.ResourceName, quantity resource.Quantity) {
	if !quantity.IsZero() {
		list[name] = quantity
	}
}

// checkRanges reports what a LimitRange would refuse in the sidecar, and refuses nothing in the pod's own containers.
func (p *plan) checkRanges(limits *Limits) *skip {
	for _, item := range limits.Ranges {
		for _, name := range resourceNames() {
			fault := ""
			switch item.Type {
			case corev1.LimitTypeContainer:
				fault = refusal(item, name, p.resources.Requests[name], p.resources.Limits[name])
			case corev1.LimitTypePod:
				of := func(isLimit bool, sidecar *corev1.ResourceRequirements) resource.Quantity {
					return total(p.spec, name, isLimit, sidecar)
				}
				if refusal(item, name, of(false, nil), of(true, nil)) == "" {
					fault = refusal(item, name, of(false, &p.resources), of(true, &p.resources))
				}
			case corev1.LimitTypePersistentVolumeClaim:
			}
			if fault != "" {
				return limitRangeForbids(item.Name, name, fault)
			}
		}
	}
	return nil
}

// refusal is what a LimitRange has against a request and a limit, "" for nothing.
func refusal(item Range, name corev1.ResourceName, request, limit resource.Quantity) string {
	if request.IsZero() {
		request = limit // the API server fills it in
	}
	if least, is := item.Min[name]; is && (request.Cmp(least) < 0 || !limit.IsZero() && limit.Cmp(least) < 0) {
		return "at least " + least.String()
	}
	if most, is := item.Max[name]; is && (limit.IsZero() || limit.Cmp(most) > 0 || request.Cmp(most) > 0) {
		return "at most " + most.String()
	}
	if ratio, is := item.MaxLimitRequestRatio[name]; is {
		if request.IsZero() || limit.IsZero() || limit.AsApproximateFloat64() > request.AsApproximateFloat64()*ratio.AsApproximateFloat64() {
			return "a limit of at most " + ratio.String() + " times the request"
		}
	}
	return ""
}

// isGuaranteed reports whether every container has its requests equal to its limits, as the kubelet sees it.
func (p *plan) isGuaranteed() bool {
	for _, containers := range [][]corev1.Container{p.spec.Containers, p.spec.InitContainers} {
		for i := range containers {
			if !isLimited(containers[i].Resources) {
				return false
			}
		}
	}
	return true
}

func isLimited(r corev1.ResourceRequirements) bool {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		limit, limited := r.Limits[name]
		request, requested := r.Requests[name]
		// A request that is not said is the limit.
		if !limited || limit.IsZero() || requested && request.Cmp(limit) != 0 {
			return false
		}
	}
	return true
}
