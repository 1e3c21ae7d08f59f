package observe

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// workloadItem is what the store keeps of a workload.
type workloadItem struct {
	otherMeta
	Workload

	resourceVersion string
	// controller is the workload of an added kind that controls this one; nil where there is none.
	controller *workload.Key
}

// otherMeta has the methods of a [metav1.Object] that are not those of a [workloadItem], for nothing.
type otherMeta struct{ *metav1.ObjectMeta }

// GetNamespace implements [metav1.Object].
func (i *workloadItem) GetNamespace() string { return i.View.Key.Namespace }

// GetName implements [metav1.Object].
func (i *workloadItem) GetName() string { return i.View.Key.Name }

// GetUID implements [metav1.Object].
func (i *workloadItem) GetUID() types.UID { return i.View.UID }

// GetResourceVersion implements [metav1.Object].
func (i *workloadItem) GetResourceVersion() string { return i.resourceVersion }

// owner is the workload of an added kind that controls this one; it has no name where there is none.
func (i *workloadItem) owner() workload.Key {
	if i.controller == nil {
		return workload.Key{}
	}
	return *i.controller
}

// bySource is the index from a source to the workloads that use or name it.
const bySource = "source"

func indexValue(ref source.Ref) string {
	return string(ref.Kind) + "/" + ref.Namespace + "/" + ref.Name
}

// anyOf is the index value of workloads that name sources by patterns. A * is in no name.
func anyOf(kind source.Kind, namespace string) string {
	return indexValue(kind.Ref(namespace, "*"))
}

// workloadInformer watches a kind in a namespace. optional is nil for a kind that every cluster has.
func (o *Observer) workloadInformer(p *namespaceCache, kind workload.Kind, namespace string, optional *optionalKind, health *watchHealth) (cache.SharedIndexInformer, cache.DoneChecker, error) {
	lw := withOrigin(o.workloadListWatch(kind, namespace))
	if health != nil { // a kind that may not be served is waited for by nobody
		lw = &trackedListWatch{lw, health, kind.Name}
	}
	renew := &renewable{ListerWatcher: lw}
	informer := cache.NewSharedIndexInformerWithOptions(renew, kind.New(), cache.SharedIndexInformerOptions{
		Indexers: indexersOf(kind),
	})
	last := newLastSeen[*workloadItem]()
	if err := informer.SetTransform(func(object any) (any, error) {
		reduced, err := reduceWorkload(object, kind, o.checker, last)
		if item, ok := reduced.(*workloadItem); ok && reduced != object {
			if owner := o.ownerOf(object); owner != (workload.Key{}) {
				item.controller = &owner
			}
		}
		return reduced, err
	}); err != nil {
		return nil, nil, fmt.Errorf("observing %ss: %w", kind.Name, err)
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, isInInitialList bool) {
			optional.isThere()
			// A new leader reconciles every workload at its start.
			if item, ok := object.(*workloadItem); ok && (!isInInitialList || optional.isLate()) {
				o.enqueueRelated(item.View.Key, item.TemplateOwner)
			}
		},
		UpdateFunc: func(before, after any) {
			was, ok1 := before.(*workloadItem)
			is, ok2 := after.(*workloadItem)
			if ok1 && ok2 && (!was.Same(is.View) || was.owner() != is.owner() || !slices.Equal(was.Problems, is.Problems)) {
				o.enqueueRelated(is.View.Key, is.TemplateOwner)
				for former, now := range map[workload.Key]workload.Key{was.TemplateOwner: is.TemplateOwner, was.owner(): is.owner()} {
					if former != now && former != (workload.Key{}) {
						o.options.Enqueue(former, WorkloadChanged)
					}
				}
			}
		},
		DeleteFunc: func(object any) {
			if item, ok := deleted[*workloadItem](object); ok {
				last.forget(item)
				o.enqueueRelated(item.View.Key, item.TemplateOwner)
				if item.owner() != (workload.Key{}) { // the store has forgotten it
					o.options.Enqueue(item.owner(), WorkloadChanged)
				}
			}
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("observing %ss: %w", kind.Name, err)
	}
	if optional != nil {
		if err := informer.SetWatchErrorHandlerWithContext(optional.watchFailed(o.options.Log)); err != nil {
			return nil, nil, fmt.Errorf("observing %ss: %w", kind.Name, err)
		}
	}
	p.listed = append(p.listed, &listed{
		kind: kind.Name, resource: kind.Resource, namespace: namespace, only: metav1.ListOptions{FieldSelector: o.fields(namespace)},
		informer: informer, renew: renew, optional: optional,
	})
	return informer, registration.HasSyncedChecker(), nil
}

// reduceWorkload is the transform. It returns an item as it is, since client-go may transform an object twice.
func reduceWorkload(object any, kind workload.Kind, checker *annotation.Checker, last *lastSeen[*workloadItem]) (any, error) {
	meta, ok := object.(metav1.Object)
	if _, done := object.(*workloadItem); done || !ok {
		return object, nil
	}
	wide, err := kind.View(meta, checker.Concerns)
	if err != nil {
		return nil, err
	}
	keys := checker.Keys()
	view := wide.Narrowed(keys.OnWorkload)
	last.texts.view(&view)
	item := &workloadItem{otherMeta: otherMeta{nothing}, resourceVersion: meta.GetResourceVersion(), Workload: Workload{View: view}}
	item.Policy, item.Problems = annotation.Read(keys, view.Annotations, view.TemplateAnnotations)
	if view.Job == nil || !view.Job.Owned { // what makes a Job has the keys itself
		item.Problems = annotation.Few(append(item.Problems, checker.Check(annotation.Object{
			At: annotation.AtWorkload, Annotations: wide.Annotations, Labels: wide.Labels,
			TemplateAnnotations: wide.TemplateAnnotations, TemplateLabels: wide.TemplateLabels,
			JobTemplateAnnotations: wide.JobTemplateAnnotations, JobTemplateLabels: wide.JobTemplateLabels,
		})...))
	}
	item.ListedAt, item.AskedAt = listedAt(meta, keys, item.Policy), askedAt(meta)
	item.Restart = kind.Restart != nil && item.Policy.RolloutStrategy == annotation.Restart
	if before, ok := last.get(item); ok && before.View.UID == item.View.UID {
		switch {
		case before.Template == view.Template:
			item.TemplateChanged = before.TemplateChanged
		case isFromWatch(meta):
			// The state before this write was seen, and this write changed the template.
			item.TemplateChanged = view.Written
		}
	}
	last.put(item)
	return item, nil
}

// listedAt is when the lists of names, and the key that searches, were written last, as far as the object says; at the latest
// then. It is zero for a workload that has none.
func listedAt(meta metav1.Object, keys annotation.Keys, policy annotation.Policy) time.Time {
	if len(policy.Lists()) == 0 && !slices.ContainsFunc(source.Kinds(), policy.Searches) {
		return time.Time{}
	}
	own := []string{keys.Search}
	for _, key := range keys.Named {
		own = append(own, key)
	}
	newest := meta.GetCreationTimestamp().Time
	for _, entry := range meta.GetManagedFields() {
		if entry.Time == nil || entry.FieldsV1 == nil || !entry.Time.After(newest) {
			continue
		}
		fields := entry.FieldsV1.String()
		if slices.ContainsFunc(own, func(key string) bool { return strings.Contains(fields, `"f:`+key+`"`) }) {
			newest = entry.Time.Time
		}
	}
	return newest
}

// askedAt is when inpod wrote to the spec of a workload, at the latest: its other writes have the same entry.
func askedAt(meta metav1.Object) time.Time {
	var newest time.Time
	for _, entry := range meta.GetManagedFields() {
		if entry.Manager == annotation.FieldManager && entry.Time != nil && entry.FieldsV1 != nil && entry.Time.After(newest) &&
			strings.Contains(entry.FieldsV1.String(), `"f:spec"`) {
			newest = entry.Time.Time
		}
	}
	return newest
}

// indexBySource lists the sources that a workload uses or names.
func indexBySource(object any) ([]string, error) {
	item, ok := object.(*workloadItem)
	if !ok {
		return nil, nil
	}
	var values []string
	for _, ref := range item.Refs() {
		values = append(values, indexValue(ref))
		if s, ok := ref.Selection(); ok {
			values = append(values, ofSigner(s.Signer))
		}
	}
	for _, kind := range source.Kinds() {
		for _, name := range item.Policy.Literals(kind) {
			values = append(values, indexValue(kind.Ref(item.View.Key.Namespace, name)))
		}
		if item.Policy.HasPatterns(kind) {
			values = append(values, anyOf(kind, item.View.Key.Namespace))
		}
	}
	return values, nil
}
