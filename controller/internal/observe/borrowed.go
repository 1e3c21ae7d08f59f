package observe

import (
	"cmp"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/workload"
)

// A workload may run the pod template of another one, as a Rollout with a workloadRef runs that of a Deployment, which has
// no pods itself. Of such a pair one acts, for both:
//
//	a Rollout that is to be restarted: the Rollout, with what the template of the Deployment uses
//	every other one: the Deployment, as an edit of its template is what makes the Rollout roll
//
// The one that acts does what either asks for. The other one follows nothing, so that a change never rolls twice.

// And the controller of a kind that was added may make Deployments, with a template that it keeps as its own says. Where
// both would act, the one whose template users edit does.

// byMaker is the index from a workload to those that its controller makes.
const byMaker = "maker"

func indexByMaker(object any) ([]string, error) {
	item, ok := object.(*workloadItem)
	if !ok || item.maker == (workload.Key{}) {
		return nil, nil
	}
	return []string{item.maker.String()}, nil
}

// makerOf returns the workload of an added kind that controls an object.
func (o *Observer) makerOf(object any) workload.Key {
	meta, ok := object.(metav1.Object)
	if !ok {
		return workload.Key{}
	}
	owner := metav1.GetControllerOfNoCopy(meta)
	if owner == nil {
		return workload.Key{}
	}
	for _, kind := range o.options.Kinds {
		if kind.Path != nil && kind.Owns(owner) {
			return workload.Key{Kind: kind.Name, Namespace: meta.GetNamespace(), Name: owner.Name}
		}
	}
	return workload.Key{}
}

// isMade tells that the workload which makes this one acts for it: that asks for something, or both are followed without
// asking.
func (o *Observer) isMade(item *workloadItem) bool {
	maker, exists := o.item(item.maker)
	return exists && maker.Fault == "" && (maker.Policy.Asks() || !item.Policy.Asks())
}

// byLender is the index from a workload to those that run its template.
const byLender = "lender"

func indexByLender(object any) ([]string, error) {
	item, ok := object.(*workloadItem)
	if !ok || item.Lender == (workload.Key{}) {
		return nil, nil
	}
	return []string{item.Lender.String()}, nil
}

// borrowers returns the workloads that run the template of another one, sorted by name.
func (o *Observer) borrowers(lender workload.Key) []*workloadItem {
	return o.itemsBy(byLender, lender, func(kind workload.Kind) bool { return kind.Ref != nil })
}

// made returns the workloads that the controller of another one makes, sorted by name.
func (o *Observer) made(maker workload.Key) []*workloadItem {
	if kind, known := o.options.Kinds.Of(maker.Kind); !known || kind.Path == nil {
		return nil
	}
	return o.itemsBy(byMaker, maker, func(workload.Kind) bool { return true })
}

// itemsBy returns what an index has under a workload, of some kinds.
func (o *Observer) itemsBy(index string, key workload.Key, of func(workload.Kind) bool) []*workloadItem {
	var items []*workloadItem
	for _, kind := range o.options.Kinds {
		if !of(kind) {
			continue
		}
		informer := o.part(key.Namespace).workloads[kind.Name]
		if informer == nil {
			continue
		}
		objects, err := informer.GetIndexer().ByIndex(index, key.String())
		if err != nil {
			continue // the indices are made in workloadInformer
		}
		for _, object := range objects {
			if item, ok := object.(*workloadItem); ok {
				items = append(items, item)
			}
		}
	}
	slices.SortFunc(items, func(a, b *workloadItem) int { return a.View.Key.Compare(b.View.Key) })
	return items
}

// item returns what the store has of a workload.
func (o *Observer) item(key workload.Key) (*workloadItem, bool) {
	informer := o.part(key.Namespace).workloads[key.Kind]
	if informer == nil {
		return nil, false
	}
	return lookUp[*workloadItem](informer, key.Namespace, key.Name)
}

// related returns a workload, the one that makes it, those that it makes, and those with which it shares a template.
func (o *Observer) related(key, lender workload.Key) []workload.Key {
	keys := []workload.Key{key}
	if item, ok := o.item(key); ok && item.maker != (workload.Key{}) {
		keys = append(keys, item.maker)
	}
	for _, made := range o.made(key) {
		keys = append(keys, made.View.Key)
	}
	if lender != (workload.Key{}) {
		return append(keys, lender)
	}
	for _, borrower := range o.borrowers(key) {
		keys = append(keys, borrower.View.Key)
	}
	return keys
}

// notify tells of a change of a workload to all whom it concerns.
func (o *Observer) notify(key, lender workload.Key) {
	for _, concerned := range o.related(key, lender) {
		o.options.Notify(concerned, WorkloadChanged)
	}
}

// inert is the policy of a workload for which another one acts.
func inert() annotation.Policy { return annotation.Policy{OptedOut: true} }

// restarts tells whether a borrower is to be restarted. What it says itself goes first.
func restarts(borrower, lender *workloadItem) bool {
	strategy := borrower.Policy.RolloutStrategy
	if lender != nil {
		strategy = cmp.Or(strategy, lender.Policy.RolloutStrategy)
	}
	return strategy == annotation.Restart
}

// asked is what annotations of workloads ask for together; those that come later go first.
func (o *Observer) asked(template map[string]string, on ...map[string]string) annotation.Policy {
	all := map[string]string{}
	for _, annotations := range on {
		maps.Copy(all, annotations)
	}
	policy, _ := annotation.Read(o.options.Keys, all, template) // problems are told of the one that has the annotation
	return policy
}

// borrowing is a workload that runs the template of another one.
func (o *Observer) borrowing(item *workloadItem) Workload {
	w := item.Workload
	lender, exists := o.item(item.Lender)
	if !exists || !restarts(item, lender) {
		w.Policy = inert()
		return w
	}
	w.Usages, w.Frozen, w.Containers, w.Variables = lender.Usages, lender.Frozen, lender.Containers, lender.Variables
	w.TemplateAnnotations, w.Template, w.TemplateChanged, w.Fault = lender.TemplateAnnotations, lender.Template, lender.TemplateChanged, lender.Fault
	w.Policy = o.asked(lender.TemplateAnnotations, lender.View.Annotations, item.View.Annotations)
	w.Restart = true
	return w
}

// lending is a workload whose template others run.
func (o *Observer) lending(item *workloadItem, borrowers []*workloadItem) Workload {
	w := item.Workload
	on := []map[string]string{item.View.Annotations}
	for _, borrower := range borrowers {
		if restarts(borrower, item) {
			w.Policy = inert()
			return w
		}
		w.Pods += borrower.Pods
		on = append(on, borrower.View.Annotations)
	}
	w.Policy = o.asked(item.TemplateAnnotations, on...)
	for _, borrower := range borrowers {
		w.Policy.Injected = w.Policy.Injected || o.carriesSidecar(borrower.View.Key)
	}
	return w
}

// making is a workload whose controller makes others, to which its pods belong.
func (o *Observer) making(w Workload, made []*workloadItem) Workload {
	pods := 0
	for _, one := range made {
		pods += one.Pods
		w.Policy.Injected = w.Policy.Injected || o.carriesSidecar(one.View.Key)
	}
	if w.Pods == workload.UnknownPods {
		w.Pods = pods
	}
	return w
}

// indexersOf are those of the store of a kind.
func indexersOf(kind workload.Kind) cache.Indexers {
	indexers := cache.Indexers{bySource: indexBySource, byMaker: indexByMaker}
	if kind.Ref != nil {
		indexers[byLender] = indexByLender
	}
	return indexers
}

// lenderOf is the workload whose template another one runs; it has no name if that runs its own.
func (o *Observer) lenderOf(key workload.Key) workload.Key {
	if item, ok := o.item(key); ok {
		return item.Lender
	}
	return workload.Key{}
}
