package observe

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/anchors"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// ClusterTrustBundles are in no namespace, so that the cache has them once, whatever namespaces are watched. Their API
// is stable since Kubernetes 1.37; older servers have an earlier version of it, or none.
//
//	bundles, by signer ─┬─► a bundle as a source, if the setting selects it by its labels
//	                    └─► those of a signer that a selector matches, together: a selection as a source
//
// The kubelet writes all bundles of a selection. So all are kept, and the setting hides a selection only where it hides each of them.

// bySigner is the index from a signer to its bundles.
const bySigner = "signer"

// bundleItem is what the store keeps of a ClusterTrustBundle.
type bundleItem struct {
	metav1.ObjectMeta // with its labels

	signer        string
	selected      bool // by the setting that selects sources by their labels
	anchors       anchors.Set
	ignore, match bool
	changed       source.Moment
	edited        bool
}

func (b *bundleItem) ref() source.Ref { return source.ClusterTrustBundle.Ref("", b.Name) }

// selectedBy reports whether a bundle is in a selection; nil is in none.
func (b *bundleItem) selectedBy(s source.BundleSelection) bool {
	return b != nil && b.signer == s.Signer && s.Labels.Matches(labels.Set(b.Labels))
}

// watchBundles prepares the cache of the bundles.
func (o *Observer) watchBundles() error {
	k := newOptionalKind(workload.Kind{
		Name: string(source.ClusterTrustBundle), Resource: schema.GroupVersionResource{Group: "certificates.k8s.io", Version: "v1", Resource: "clustertrustbundles"},
	})
	k.versions = []string{"v1", "v1beta1", "v1alpha1"}
	failed := func(err error) error { return fmt.Errorf("observing %ss: %w", k.kind.Name, err) }
	followed, err := labels.Parse(o.options.SourceSelector)
	if err != nil {
		return failed(err)
	}
	lw := listWatch(o.options.Dynamic, api[*unstructured.UnstructuredList](bundleAPI{o, k}), metav1.ListOptions{})
	informer := cache.NewSharedIndexInformerWithOptions(lw, &unstructured.Unstructured{}, cache.SharedIndexInformerOptions{
		Indexers: cache.Indexers{bySigner: func(object any) ([]string, error) {
			if item, ok := object.(*bundleItem); ok && item.signer != "" {
				return []string{item.signer}, nil
			}
			return nil, nil
		}},
	})
	last := newLastSeen[*bundleItem]()
	if err := informer.SetTransform(func(object any) (any, error) { return reduceBundle(object, o.options.Keys, followed, last), nil }); err != nil {
		return failed(err)
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, isInInitialList bool) {
			k.isThere()
			if item, ok := object.(*bundleItem); ok && (!isInInitialList || k.isLate()) {
				o.bundleChanged(nil, item, "create")
			}
		},
		UpdateFunc: func(before, after any) {
			was, ok1 := before.(*bundleItem)
			is, ok2 := after.(*bundleItem)
			if ok1 && ok2 {
				o.bundleChanged(was, is, "update")
			}
		},
		DeleteFunc: func(object any) {
			if item, ok := deleted[*bundleItem](object); ok {
				last.forget(item)
				o.bundleChanged(item, nil, "delete")
			}
		},
	})
	if err != nil {
		return failed(err)
	}
	if err := informer.SetWatchErrorHandlerWithContext(k.watchFailed(o.options.Log)); err != nil {
		return failed(err)
	}
	o.bundles = &optionalInformer{SharedIndexInformer: informer, of: k, synced: registration.HasSyncedChecker(), settled: make(chan struct{})}
	o.synced = append(o.synced, o.bundles)
	return nil
}

// bundleAPI lists and watches in the version that the API server serves now: it may be upgraded meanwhile.
type bundleAPI struct {
	o *Observer
	k *optionalKind
}

// List implements api.
func (b bundleAPI) List(ctx context.Context, options metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	list, err := b.o.options.Dynamic.Resource(b.k.resource()).List(ctx, options)
	if apierrors.IsNotFound(err) && b.o.unserved(ctx, b.k) == "" {
		return b.o.options.Dynamic.Resource(b.k.resource()).List(ctx, options)
	}
	return list, err
}

// Watch implements api.
func (b bundleAPI) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	w, err := b.o.options.Dynamic.Resource(b.k.resource()).Watch(ctx, options)
	if apierrors.IsNotFound(err) && b.o.unserved(ctx, b.k) == "" {
		return b.o.options.Dynamic.Resource(b.k.resource()).Watch(ctx, options)
	}
	return w, err
}

// reduceBundle is the transform. It returns an item as it is, since client-go may transform an object twice.
func reduceBundle(object any, keys annotation.Keys, followed labels.Selector, last *lastSeen[*bundleItem]) any {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return object
	}
	item := &bundleItem{ObjectMeta: identity(u), changed: source.MomentOf(u)}
	item.Labels = u.GetLabels()
	item.selected = followed.Matches(labels.Set(item.Labels))
	item.ignore, item.match = keys.ReadSourceAnnotations(u.GetAnnotations())
	item.signer, _, _ = unstructured.NestedString(u.Object, "spec", "signerName")
	text, _, _ := unstructured.NestedString(u.Object, "spec", "trustBundle")
	item.anchors = anchors.Of([]byte(text))
	if before, ok := last.get(item); ok && before.UID == item.UID {
		item.edited = true
		if slices.Equal(before.anchors, item.anchors) {
			item.changed, item.edited, item.anchors = before.changed, before.edited, before.anchors
		}
	}
	last.put(item)
	return item
}

// bundleChanged reports a bundle whose anchors or annotations differ, and the selections that it is in, came into or
// left; nil stands for what is not there.
func (o *Observer) bundleChanged(was, is *bundleItem, event string) {
	if was != nil && is != nil && was.signer == is.signer && was.ignore == is.ignore && was.match == is.match &&
		slices.Equal(was.anchors, is.anchors) && labels.Equals(was.Labels, is.Labels) {
		return
	}
	var refs []source.Ref
	for _, item := range []*bundleItem{was, is} {
		if item != nil && item.selected {
			refs = append(refs, item.ref())
		}
	}
	for _, item := range []*bundleItem{was, is} {
		if item == nil || item.signer == "" {
			continue
		}
		for _, ref := range o.selectionsOf(item.signer) {
			if s, ok := ref.Selection(); ok && (was.selectedBy(s) || is.selectedBy(s)) {
				refs = append(refs, ref)
			}
		}
	}
	if len(refs) > 0 && o.options.Seen != nil {
		o.options.Seen(source.ClusterTrustBundle, event)
	}
	slices.SortFunc(refs, source.Ref.Compare)
	for _, ref := range slices.Compact(refs) {
		o.awaken(ref)
	}
}

// selectionsOf returns the selections of a signer's bundles that workloads use, in no particular order.
func (o *Observer) selectionsOf(signer string) []source.Ref {
	var refs []source.Ref
	add := func(ref source.Ref) {
		if s, ok := ref.Selection(); ok && s.Signer == signer {
			refs = append(refs, ref)
		}
	}
	for _, nsCache := range o.watched() {
		for _, informer := range nsCache.workloads {
			for _, item := range indexed(informer, ofSigner(signer)) {
				for _, ref := range item.Refs() {
					add(ref)
				}
			}
		}
		for _, pod := range nsCache.podsUnder(bySource, ofSigner(signer)) {
			for _, usage := range pod.stray.usages {
				add(usage.Ref)
			}
		}
	}
	return refs
}

// ofSigner is the index value of workloads that select bundles of a signer. A ] is in no name of one.
func ofSigner(signer string) string { return indexValue(source.ClusterTrustBundle.Ref("", signer+"]")) }

// bundle returns the snapshot of a bundle, or of a selection; nil if there is none.
func (o *Observer) bundle(ref source.Ref) *source.Snapshot {
	if o.bundles == nil {
		return nil
	}
	if s, ok := ref.Selection(); ok {
		return o.selection(ref, s)
	}
	object, exists, err := o.bundles.GetStore().GetByKey(ref.Name)
	item, ok := object.(*bundleItem)
	if err != nil || !exists || !ok || !item.selected {
		return nil
	}
	snapshot := source.OfTrustBundles(ref, item.anchors)
	snapshot.Ignore, snapshot.Match, snapshot.Changed, snapshot.Edited = item.ignore, item.match, item.changed, item.edited
	return &snapshot
}

// selection is ignored where all of its bundles are. When it changed last is not known: one may have left it.
func (o *Observer) selection(ref source.Ref, s source.BundleSelection) *source.Snapshot {
	objects, err := o.bundles.GetIndexer().ByIndex(bySigner, s.Signer)
	if err != nil {
		return nil // the index is made in watchBundles
	}
	var sets []anchors.Set
	ignored, match, followed := 0, false, false
	for _, object := range objects {
		item, ok := object.(*bundleItem)
		if !ok || !item.selectedBy(s) {
			continue
		}
		sets = append(sets, item.anchors)
		match, followed = match || item.match, followed || item.selected
		if item.ignore {
			ignored++
		}
	}
	if !followed {
		return nil
	}
	snapshot := source.OfTrustBundles(ref, sets...)
	snapshot.Ignore, snapshot.Match = ignored == len(sets), match
	return &snapshot
}

// bundleNames returns the bundles that may be named, sorted by name.
func (o *Observer) bundleNames() []source.Ref {
	if o.bundles == nil {
		return nil
	}
	var refs []source.Ref
	for _, object := range o.bundles.GetStore().List() {
		if item, ok := object.(*bundleItem); ok && item.selected {
			refs = append(refs, item.ref())
		}
	}
	slices.SortFunc(refs, source.Ref.Compare)
	return refs
}

// Unseen reports whether sources of a kind may be there without being seen: nobody has listed them yet, or the API server
// does not serve them in any version that is known.
func (o *Observer) Unseen(kind source.Kind) bool {
	return kind == source.ClusterTrustBundle && (o.bundles == nil || !o.bundles.HasSynced())
}
