package observe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

// sourceItem is what the store keeps of a ConfigMap or Secret.
type sourceItem struct {
	kept

	kind source.Kind
	// keys are the keys, sorted: a map of them takes five times as much memory.
	keys     []sourceKey
	problems []annotation.Problem
	changed  source.Moment
	// contentAt, ignore, match, immutable and edited are those of a [source.Snapshot].
	contentAt                        int64
	ignore, match, immutable, edited bool
}

// sourceKey is a key of a source with what is remembered of it.
type sourceKey struct {
	name string
	source.Entry
}

// ref names the source.
func (i *sourceItem) ref() source.Ref {
	return source.Ref{Kind: i.kind, Namespace: i.Namespace, Name: i.Name}
}

// snapshot returns the source as decisions need it.
func (i *sourceItem) snapshot() *source.Snapshot {
	s := &source.Snapshot{
		Ref: i.ref(), Keys: make(map[string]source.Entry, len(i.keys)), Ignore: i.ignore, Match: i.match, Immutable: i.immutable,
		Changed: i.changed, ContentAt: i.contentAt, Edited: i.edited,
	}
	for _, key := range i.keys {
		s.Keys[key.name] = key.Entry
	}
	return s
}

// keysOfSource returns the keys of a snapshot, sorted.
func keysOfSource(s source.Snapshot, texts *interner) []sourceKey {
	keys := make([]sourceKey, 0, len(s.Keys))
	for name, entry := range s.Keys {
		keys = append(keys, sourceKey{texts.text(name), entry})
	}
	slices.SortFunc(keys, func(a, b sourceKey) int { return cmp.Compare(a.name, b.name) })
	return keys
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
				o.sourceChanged(item.ref(), "create")
			}
		},
		UpdateFunc: func(before, after any) {
			was, ok1 := before.(*sourceItem)
			is, ok2 := after.(*sourceItem)
			if !ok1 || !ok2 {
				return
			}
			if !was.same(is) {
				o.sourceChanged(is.ref(), "update")
			}
			o.sourceMistaken(is.ref(), was.problems, is.problems)
		},
		DeleteFunc: func(object any) {
			if item, ok := deleted[*sourceItem](object); ok {
				last.forget(item)
				o.sourceChanged(item.ref(), "delete")
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

// same reports whether nothing that a decision depends on differs.
func (i *sourceItem) same(other *sourceItem) bool {
	return i.ignore == other.ignore && i.match == other.match && slices.Equal(i.keys, other.keys)
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
	item := &sourceItem{
		kept: keptOf(meta), kind: snapshot.Ref.Kind, keys: keysOfSource(snapshot, last.texts), immutable: snapshot.Immutable,
		problems: problemsOf(meta, checker, annotation.AtSource),
	}
	item.Namespace = last.texts.text(item.Namespace)
	item.ignore, item.match = checker.Keys().ReadSourceAnnotations(meta.Annotations)
	// The write of the newest field manager came with or after the content, which is the safe side: see Moment.After.
	item.changed, item.contentAt = source.MomentOf(meta), source.ContentAt(meta)
	if before, ok := last.get(item); ok && before.UID == item.UID {
		item.edited = true
		if slices.Equal(before.keys, item.keys) {
			item.changed, item.contentAt, item.edited = before.changed, before.contentAt, before.edited
			item.keys = before.keys // the same content: one copy in memory
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
