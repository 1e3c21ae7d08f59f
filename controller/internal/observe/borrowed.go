package observe

import (
	"cmp"
	"maps"
	"slices"

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
	var items []*workloadItem
	for _, kind := range o.options.Kinds {
		informer := o.part(lender.Namespace).workloads[kind.Name]
		if kind.Ref == nil || informer == nil {
			continue
		}
		objects, err := informer.GetIndexer().ByIndex(byLender, lender.String())
		if err != nil {
			continue // the index is made in workloadInformer
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

// related returns a workload and those with which it shares a template.
func (o *Observer) related(key, lender workload.Key) []workload.Key {
	keys := []workload.Key{key}
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
	w.Usages, w.Containers, w.Variables = lender.Usages, lender.Containers, lender.Variables
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

// indexersOf are those of the store of a kind.
func indexersOf(kind workload.Kind) cache.Indexers {
	indexers := cache.Indexers{bySource: indexBySource}
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
