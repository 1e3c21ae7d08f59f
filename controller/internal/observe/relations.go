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

// Some workloads share a pod template or pods. One of them acts for all, and the others follow nothing, so that a change never
// rolls twice:
//
//	relation                                         | who acts                        | with the template of | for the pods of
//	Rollout with workloadRef, strategy "rollout"     | the Deployment                  | the Deployment       | both
//	Rollout with workloadRef, strategy "restart"     | the Rollout                     | the Deployment       | the Rollout
//	workload that one of an added kind controls      | the owner, if that one asks for | the owner            | both
//	                                                 | something, or neither does;     |                      |
//	                                                 | else the owned workload         | the owned workload   | the owned workload
//
// Where a Rollout and a Deployment share a template, the one that acts does what either asks for.

// acting returns a workload with what it does for itself and for those that it acts for, whose pods are its pods too. A workload
// that another one acts for follows nothing.
func (o *Observer) acting(item *workloadItem) (w Workload, actsFor []workload.Key) {
	w = item.Workload
	switch users := o.templateUsers(item.View.Key); {
	case item.TemplateOwner != (workload.Key{}):
		w = o.usingTemplate(item)
	case len(users) > 0:
		w = o.owningTemplate(item, users)
		actsFor = append(actsFor, keysOf(users)...)
	}
	owned := o.owned(item.View.Key)
	if w.Pods == workload.UnknownPods && len(owned) > 0 {
		w.Pods = 0
		for _, one := range owned {
			w.Pods += one.Pods
		}
	}
	actsFor = append(actsFor, keysOf(owned)...)
	if item.TemplateOwner != (workload.Key{}) {
		actsFor = nil // its pods alone run the template that it restarts
	}
	if len(actsFor) > 0 { // its own status does not speak of their pods
		w.Progress, w.OnDelete, w.ScaledToZero = workload.ProgressUnknown, false, false
	}
	if o.hasActingOwner(item) || slices.ContainsFunc(owned, item.leavesItTo) {
		w.Policy = noPolicy()
	}
	for _, key := range append([]workload.Key{item.View.Key}, actsFor...) {
		w.Policy.Injected = w.Policy.Injected || o.carriesSidecar(key)
	}
	return w, actsFor
}

// noPolicy is the policy of a workload that another one acts for.
func noPolicy() annotation.Policy { return annotation.Policy{OptedOut: true} }

// usingTemplate is a workload that runs the template of another one.
func (o *Observer) usingTemplate(item *workloadItem) Workload {
	w := item.Workload
	owner, exists := o.item(item.TemplateOwner)
	if !exists || !restarts(item, owner) {
		w.Policy = noPolicy()
		return w
	}
	w.Usages, w.Frozen, w.Containers, w.Variables = owner.Usages, owner.Frozen, owner.Containers, owner.Variables
	w.TemplateAnnotations, w.Template, w.TemplateChanged, w.Fault = owner.TemplateAnnotations, owner.Template, owner.TemplateChanged, owner.Fault
	w.OwnTemplate = owner.OwnTemplate
	w.Policy = o.policyOf(owner.TemplateAnnotations, owner.View.Annotations, item.View.Annotations)
	w.Restart = true
	return w
}

// owningTemplate is a workload whose template others run.
func (o *Observer) owningTemplate(item *workloadItem, users []*workloadItem) Workload {
	w := item.Workload
	on := []map[string]string{item.View.Annotations}
	for _, user := range users {
		if restarts(user, item) {
			w.Policy = noPolicy()
			return w
		}
		w.Pods += user.Pods
		on = append(on, user.View.Annotations)
	}
	w.Policy = o.policyOf(item.TemplateAnnotations, on...)
	return w
}

// restarts reports whether a workload that runs the template of another one is restarted. Its own word has precedence.
func restarts(user, owner *workloadItem) bool {
	strategy := user.Policy.RolloutStrategy
	if owner != nil {
		strategy = cmp.Or(strategy, owner.Policy.RolloutStrategy)
	}
	return strategy == annotation.Restart
}

// policyOf is what annotations of several workloads ask for together; later ones have precedence.
func (o *Observer) policyOf(template map[string]string, on ...map[string]string) annotation.Policy {
	all := map[string]string{}
	for _, annotations := range on {
		maps.Copy(all, annotations)
	}
	policy, _ := annotation.Read(o.options.Keys, all, template) // problems are reported on the one that has the annotation
	return policy
}

// hasActingOwner reports whether the owner of a workload acts for it.
func (o *Observer) hasActingOwner(item *workloadItem) bool {
	owner, exists := o.item(item.owner())
	return exists && owner.Fault == "" && (owner.Policy.Asks() || !item.Policy.Asks())
}

// leavesItTo reports whether a workload that it owns acts, since that one alone asks for something.
func (i *workloadItem) leavesItTo(owned *workloadItem) bool {
	return owned.Policy.Asks() && !i.Policy.Asks()
}

// The indices from a workload to those that run its template, and to those that it owns.
const (
	byTemplateOwner = "templateOwner"
	byOwner         = "owner"
)

// indexersOf are those of the store of a kind.
func indexersOf(kind workload.Kind) cache.Indexers {
	indexers := cache.Indexers{
		bySource: indexBySource,
		byOwner:  indexByKey(func(item *workloadItem) workload.Key { return item.owner() }),
	}
	if kind.Ref != nil {
		indexers[byTemplateOwner] = indexByKey(func(item *workloadItem) workload.Key { return item.TemplateOwner })
	}
	return indexers
}

// indexByKey indexes workloads by a related one.
func indexByKey(related func(*workloadItem) workload.Key) cache.IndexFunc {
	return func(object any) ([]string, error) {
		item, ok := object.(*workloadItem)
		if !ok || related(item) == (workload.Key{}) {
			return nil, nil
		}
		return []string{related(item).String()}, nil
	}
}

// templateUsers returns the workloads that run the template of another one, sorted by name.
func (o *Observer) templateUsers(owner workload.Key) []*workloadItem {
	return o.itemsBy(byTemplateOwner, owner, func(kind workload.Kind) bool { return kind.Ref != nil })
}

// owned returns the workloads that one of an added kind controls, sorted by name.
func (o *Observer) owned(owner workload.Key) []*workloadItem {
	if kind, known := o.options.Kinds.Of(owner.Kind); !known || kind.Path == nil {
		return nil
	}
	return o.itemsBy(byOwner, owner, func(workload.Kind) bool { return true })
}

// ownerOf returns the workload of an added kind that controls an object; it has no name where there is none.
func (o *Observer) ownerOf(object any) workload.Key {
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

// itemsBy returns what an index has under a workload, of some kinds.
func (o *Observer) itemsBy(index string, key workload.Key, of func(workload.Kind) bool) []*workloadItem {
	var items []*workloadItem
	for _, kind := range o.options.Kinds {
		if !of(kind) {
			continue
		}
		informer := o.cacheOf(key.Namespace).workloads[kind.Name]
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

func keysOf(items []*workloadItem) []workload.Key {
	keys := make([]workload.Key, 0, len(items))
	for _, item := range items {
		keys = append(keys, item.View.Key)
	}
	return keys
}

// item returns what the store has of a workload.
func (o *Observer) item(key workload.Key) (*workloadItem, bool) {
	informer := o.cacheOf(key.Namespace).workloads[key.Kind]
	if informer == nil {
		return nil, false
	}
	return storedIn[*workloadItem](informer, key.Namespace, key.Name)
}

// related returns a workload, its owner, those that it owns, and those with which it shares a template.
func (o *Observer) related(key, templateOwner workload.Key) []workload.Key {
	keys := []workload.Key{key}
	if item, ok := o.item(key); ok && item.owner() != (workload.Key{}) {
		keys = append(keys, item.owner())
	}
	keys = append(keys, keysOf(o.owned(key))...)
	if templateOwner != (workload.Key{}) {
		return append(keys, templateOwner)
	}
	return append(keys, keysOf(o.templateUsers(key))...)
}

// enqueueRelated has a workload that changed, and all related ones, decided on again.
func (o *Observer) enqueueRelated(key, templateOwner workload.Key) {
	for _, concerned := range o.related(key, templateOwner) {
		o.options.Enqueue(concerned, WorkloadChanged)
	}
}

// templateOwnerOf is the workload whose template another one runs; it has no name if that one runs its own.
func (o *Observer) templateOwnerOf(key workload.Key) workload.Key {
	if item, ok := o.item(key); ok {
		return item.TemplateOwner
	}
	return workload.Key{}
}
