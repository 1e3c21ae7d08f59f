package observe

import (
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

// sourceItem is what the store keeps of a ConfigMap or Secret.
type sourceItem struct {
	metav1.ObjectMeta
	source.Snapshot

	problems []annotation.Problem
}

// notHelmReleases leaves out the Secrets in which Helm keeps its releases: large, many, and mounted by nobody.
const notHelmReleases = "type!=helm.sh/release.v1"

func (o *Observer) sourceInformer(p *namespaceCache, kind source.Kind, namespace string) (cache.SharedIndexInformer, cache.DoneChecker, error) {
	lw, example, only := o.sourceListWatch(kind, namespace)
	renew := &renewable{ListerWatcher: &trackedListWatch{lw, p.health, string(kind)}}
	informer := cache.NewSharedIndexInformerWithOptions(renew, example, cache.SharedIndexInformerOptions{
		Indexers: cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
	})
	last := newLastSeen[*sourceItem]()
	if err := informer.SetTransform(func(object any) (any, error) { return reduceSource(object, o.checker, last) }); err != nil {
		return nil, nil, fmt.Errorf("observing %ss: %w", kind, err)
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, isInInitialList bool) {
			item, ok := object.(*sourceItem)
			if ok {
				o.mistaken(nil, item.problems)
			}
			// A new leader reconciles every workload at its start.
			if ok && !isInInitialList {
				o.sourceChanged(item.Ref, "create")
			}
		},
		UpdateFunc: func(before, after any) {
			was, ok1 := before.(*sourceItem)
			is, ok2 := after.(*sourceItem)
			if !ok1 || !ok2 {
				return
			}
			if !sameSource(was.Snapshot, is.Snapshot) {
				o.sourceChanged(is.Ref, "update")
			}
			o.sourceMistaken(is.Ref, was.problems, is.problems)
		},
		DeleteFunc: func(object any) {
			if item, ok := deleted[*sourceItem](object); ok {
				last.forget(item)
				o.sourceChanged(item.Ref, "delete")
				o.mistaken(item.problems, nil)
			}
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("observing %ss: %w", kind, err)
	}
	p.listed = append(p.listed, &listed{
		kind: string(kind), resource: corev1.SchemeGroupVersion.WithResource(strings.ToLower(string(kind)) + "s"), namespace: namespace,
		only: only, informer: informer, renew: renew,
	})
	return informer, registration.HasSyncedChecker(), nil
}

func (o *Observer) sourceChanged(ref source.Ref, event string) {
	if o.options.Seen != nil {
		o.options.Seen(ref.Kind, event)
	}
	o.awaken(ref)
}

// awaken has all workloads looked at that use or name a source.
func (o *Observer) awaken(ref source.Ref) {
	for _, key := range o.workloadsUsing(ref) {
		if o.options.Pods {
			o.options.NudgeNow(key, ref)
		}
		o.options.Enqueue(key, SourceChanged)
	}
}

// sameSource reports whether nothing that a decision depends on differs.
func sameSource(a, b source.Snapshot) bool {
	return a.Ignore == b.Ignore && a.Match == b.Match && maps.Equal(a.Keys, b.Keys)
}

// reduceSource is the transform. It returns an item as it is, since client-go may transform an object twice.
func reduceSource(object any, checker *annotation.Checker, last *lastSeen[*sourceItem]) (any, error) {
	var (
		meta     *metav1.ObjectMeta
		snapshot source.Snapshot
	)
	switch typed := object.(type) {
	case *corev1.ConfigMap:
		meta, snapshot = &typed.ObjectMeta, source.OfConfigMap(typed)
	case *corev1.Secret:
		meta, snapshot = &typed.ObjectMeta, source.OfSecret(typed)
	default:
		return object, nil
	}
	snapshot.Ignore, snapshot.Match = checker.Keys().ReadSourceAnnotations(meta.Annotations)
	// The write of the newest field manager came with or after the content, which is the safe side: see Moment.After.
	snapshot.Changed, snapshot.ContentAt = source.MomentOf(meta), source.ContentAt(meta)
	item := &sourceItem{ObjectMeta: identity(meta), Snapshot: snapshot, problems: problemsOf(meta, checker, annotation.AtSource)}
	if before, ok := last.get(item); ok && before.UID == item.UID {
		item.Edited = true
		if maps.Equal(before.Keys, item.Keys) {
			item.Changed, item.ContentAt, item.Edited = before.Changed, before.ContentAt, before.Edited
			item.Keys = before.Keys // the same content: one copy in memory
		}
	}
	last.put(item)
	return item, nil
}

// identity is what the store needs of an object's metadata.
func identity(meta metav1.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: meta.GetNamespace(), Name: meta.GetName(), UID: meta.GetUID(), ResourceVersion: meta.GetResourceVersion(),
	}
}
