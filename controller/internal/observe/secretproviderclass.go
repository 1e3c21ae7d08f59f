package observe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// A SecretProviderClass of the secrets-store CSI driver has no content of its own. What its pods have mounted is in one
// SecretProviderClassPodStatus per pod, with a version for each object; what is in there is opaque and cannot be ordered.
//
//	classes: annotations, labels ─┐
//	pod statuses, by class ───────┴─► the class as a source: the versions that were rotated in last
//
// Which of several statuses is to be believed is decided in [source.OfSecretProviderClass].

// byClass is the index from a class to the statuses of its pods, byPod that from a pod to its own.
const (
	byClass = "class"
	byPod   = "pod"
)

// classes is the cache of the classes in a namespace, or in all of them.
type classes struct {
	objects, statuses *optionalInformer
}

// classItem is what the store keeps of a SecretProviderClass.
type classItem struct {
	metav1.ObjectMeta

	ignore, match bool
	problems      []annotation.Problem
}

// statusItem is what the store keeps of a SecretProviderClassPodStatus.
type statusItem struct {
	metav1.ObjectMeta

	class source.Ref
	pod   string
	// owner and target are the UID of the pod, and where it has the class mounted: both differ for a pod of the same name. first
	// is the generation that the status had when that pod was made.
	owner  types.UID
	target string
	first  int64
	status source.Mounted
}

// classKind is a kind of the driver, in the form in which kinds are waited for that may not be served.
func classKind(name string) workload.Kind {
	return workload.Kind{
		Name:     name,
		Resource: schema.GroupVersionResource{Group: "secrets-store.csi.x-k8s.io", Version: "v1", Resource: strings.ToLower(name) + "es"},
	}
}

// watchClasses prepares the cache of the classes in a namespace, or in all of them for "".
func (o *Observer) watchClasses(p *namespaceCache, namespace string) error {
	last := newLastSeen[*statusItem]()
	objects, err := o.classInformer(p, o.classKinds[0], namespace, o.reduceClass, o.options.SourceSelector, last)
	if err != nil {
		return err
	}
	statuses, err := o.classInformer(p, o.classKinds[1], namespace, func(object any) (any, error) { return reduceStatus(object, last) }, "", last)
	if err != nil {
		return err
	}
	p.classes = &classes{objects: objects, statuses: statuses}
	return nil
}

func (o *Observer) classInformer(p *namespaceCache, optional *optionalKind, namespace string, reduce cache.TransformFunc, labels string, last *lastSeen[*statusItem]) (*optionalInformer, error) {
	lw := listWatch(o.options.Dynamic, api[*unstructured.UnstructuredList](o.options.Dynamic.Resource(optional.kind.Resource).Namespace(namespace)),
		metav1.ListOptions{FieldSelector: o.fields(namespace), LabelSelector: labels})
	informer := cache.NewSharedIndexInformerWithOptions(lw, &unstructured.Unstructured{}, cache.SharedIndexInformerOptions{
		Indexers: cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc, byClass: indexByClass, byPod: indexByPod},
	})
	failed := func(err error) error { return fmt.Errorf("observing %ses: %w", optional.kind.Name, err) }
	if err := informer.SetTransform(reduce); err != nil {
		return nil, failed(err)
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, isInInitialList bool) {
			optional.isThere()
			if !isInInitialList || optional.isLate() {
				o.classChanged(nil, object, "create")
			}
		},
		UpdateFunc: func(before, after any) { o.classChanged(before, after, "update") },
		DeleteFunc: func(object any) {
			if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			if item, ok := object.(*statusItem); ok {
				last.forget(item)
			}
			o.classChanged(object, nil, "delete")
		},
	})
	if err != nil {
		return nil, failed(err)
	}
	if err := informer.SetWatchErrorHandlerWithContext(optional.watchFailed(o.options.Log)); err != nil {
		return nil, failed(err)
	}
	i := &optionalInformer{SharedIndexInformer: informer, of: optional, synced: registration.HasSyncedChecker(), settled: make(chan struct{})}
	p.optional = append(p.optional, i)
	p.synced = append(p.synced, i)
	return i, nil
}

// classChanged reports a class whose annotations, or the versions in one of whose pods, differ; nil stands for what is
// not there.
func (o *Observer) classChanged(before, after any, event string) {
	was, is := said(before), said(after)
	if is.ref.Name != "" {
		o.sourceMistaken(is.ref, was.problems, is.problems)
	} else {
		o.mistaken(was.problems, nil)
	}
	if was.ref == is.ref && was.ignore == is.ignore && was.match == is.match && was.status.Rotated == is.status.Rotated && maps.Equal(was.status.Versions, is.status.Versions) {
		return
	}
	for _, ref := range slices.Compact([]source.Ref{was.ref, is.ref}) {
		if ref.Name != "" {
			o.sourceChanged(ref, event)
		}
	}
}

// classSaying is what a class or a status says.
type classSaying struct {
	ref           source.Ref
	ignore, match bool
	status        source.Mounted
	problems      []annotation.Problem
}

func said(object any) classSaying {
	switch item := object.(type) {
	case *classItem:
		return classSaying{ref: classRef(item.Namespace, item.Name), ignore: item.ignore, match: item.match, problems: item.problems}
	case *statusItem:
		return classSaying{ref: item.class, status: item.status}
	}
	return classSaying{}
}

func classRef(namespace, name string) source.Ref {
	return source.Ref{Kind: source.SecretProviderClass, Namespace: namespace, Name: name}
}

func indexByClass(object any) ([]string, error) {
	if item, ok := object.(*statusItem); ok {
		return []string{indexValue(item.class)}, nil
	}
	return nil, nil
}

func indexByPod(object any) ([]string, error) {
	if item, ok := object.(*statusItem); ok && item.pod != "" {
		return []string{item.Namespace + "/" + item.pod}, nil
	}
	return nil, nil
}

// mounted returns what a pod has mounted of a class, by the driver's own word; nil if it has said nothing.
func (o *Observer) mounted(pod string, class source.Ref) *source.Mounted {
	cached := o.cacheOf(class.Namespace).classes
	if cached == nil {
		return nil
	}
	items, err := cached.statuses.GetIndexer().ByIndex(byPod, class.Namespace+"/"+pod)
	if err != nil {
		return nil // the index is made in classInformer
	}
	for _, object := range items {
		if item, ok := object.(*statusItem); ok && item.class == class {
			return &item.status
		}
	}
	return nil
}

// reduceClass is the transform of classes.
func (o *Observer) reduceClass(object any) (any, error) {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return object, nil
	}
	return classItemOf(u, o.checker), nil
}

func classItemOf(u *unstructured.Unstructured, checker *annotation.Checker) *classItem {
	item := &classItem{ObjectMeta: identity(u), problems: problemsOf(u, checker, annotation.AtSource)}
	item.ignore, item.match = checker.Keys().ReadSourceAnnotations(u.GetAnnotations())
	return item
}

// reduceStatus is the transform of the statuses of pods. What a pod had when it was made is in the state before: a status that is
// seen for the first time counts as one of its first pod.
func reduceStatus(object any, last *lastSeen[*statusItem]) (any, error) {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return object, nil
	}
	name, _, _ := unstructured.NestedString(u.Object, "status", "secretProviderClassName")
	pod, _, _ := unstructured.NestedString(u.Object, "status", "podName")
	item := &statusItem{ObjectMeta: identity(u), class: classRef(u.GetNamespace(), name), pod: pod}
	item.target, _, _ = unstructured.NestedString(u.Object, "status", "targetPath")
	for _, owner := range u.GetOwnerReferences() {
		item.owner = owner.UID
	}
	item.first = 1
	if before, ok := last.get(item); ok && before.UID == item.UID {
		item.first = before.first
		if before.owner != item.owner || before.target != item.target {
			item.first = u.GetGeneration()
		}
	}
	last.put(item)
	item.status = source.Mounted{
		// The kind has no subresource for its status, so that each write of its content counts, and none of its metadata.
		Rotated:  u.GetGeneration() > item.first,
		Written:  contentWritten(u),
		Versions: map[string]string{},
	}
	objects, _, _ := unstructured.NestedSlice(u.Object, "status", "objects")
	for _, entry := range objects {
		fields, _ := entry.(map[string]any)
		id, _ := fields["id"].(string)
		version, _ := fields["version"].(string)
		if id != "" {
			item.status.Versions[id] = version
		}
	}
	return item, nil
}

// contentWritten is when the newest write of a status happened. Writes of its metadata, as the driver makes them when it
// starts, are of another moment.
func contentWritten(u *unstructured.Unstructured) source.Moment {
	moment := source.MomentOf(u)
	newest := metav1.Time{}
	for _, entry := range u.GetManagedFields() {
		if entry.Time != nil && entry.FieldsV1 != nil && strings.Contains(entry.FieldsV1.String(), `"f:objects"`) && newest.Before(entry.Time) {
			newest = *entry.Time
		}
	}
	if !newest.IsZero() {
		moment.Time = newest.Time
	}
	return moment
}

// class returns the snapshot of a class; nil if it does not exist, is not selected, or no pod has mounted it.
func (o *Observer) class(ref source.Ref) *source.Snapshot {
	cached := o.cacheOf(ref.Namespace).classes
	if cached == nil || !cached.statuses.HasSynced() { // of some of its pods nothing is to be concluded
		return nil
	}
	object, ok := storedIn[*classItem](cached.objects, ref.Namespace, ref.Name)
	if !ok {
		return nil
	}
	items, err := cached.statuses.GetIndexer().ByIndex(byClass, indexValue(ref))
	if err != nil {
		return nil // the index is made in classInformer
	}
	var mounted []source.Mounted
	for _, item := range items {
		if status, ok := item.(*statusItem); ok {
			mounted = append(mounted, status.status)
		}
	}
	snapshot := source.OfSecretProviderClass(ref, mounted)
	if snapshot != nil {
		snapshot.Ignore, snapshot.Match = object.ignore, object.match
	}
	return snapshot
}

// classNames returns the classes in a namespace, sorted by name.
func (o *Observer) classNames(namespace string) []source.Ref {
	cached := o.cacheOf(namespace).classes
	if cached == nil {
		return nil
	}
	items, err := cached.objects.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return nil // the index is made in classInformer
	}
	var refs []source.Ref
	for _, object := range items {
		if item, ok := object.(*classItem); ok {
			refs = append(refs, classRef(item.Namespace, item.Name))
		}
	}
	slices.SortFunc(refs, func(a, b source.Ref) int { return cmp.Compare(a.Name, b.Name) })
	return refs
}
