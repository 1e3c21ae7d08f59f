package admission

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/inject"
)

const (
	// maxKept is how much is kept of LimitRanges and ResourceQuotas, in bytes of their short form. What is beyond it is not known.
	maxKept = 12 << 20
	// refusedFor is for how long after a list or watch was refused nothing is known: it is tried again every half a minute.
	refusedFor = 90 * time.Second
)

var (
	errLimitsUnknown   = errors.New("they were not read yet, or may not be")
	errNoRoomForLimits = errors.New("there are too many of them in the cluster")
)

// Limits keeps what namespaces allow their pods, so that no review waits for it.
type Limits struct {
	watched []*limitsOf
	log     *slog.Logger
	asked   *slog.Logger // for lines that a review causes

	mu sync.Mutex
	// sizes are those of the short forms that are kept or on their way, and size is their sum.
	sizes map[keptKey]int64
	size  int64
}

// limitsOf are the LimitRanges and ResourceQuotas of one namespace, or of all for "".
type limitsOf struct {
	namespace      string
	ranges, quotas cache.SharedIndexInformer

	mu      sync.Mutex
	refused time.Time // when the API server refused one of them
}

// kept is what is kept of a LimitRange or ResourceQuota.
type kept struct {
	metav1.ObjectMeta

	// short is its short form as JSON, nil where there was no room for it.
	short []byte
	quota bool
}

// keptKey is the identity of a LimitRange or ResourceQuota: one that is recreated has another one, whatever its name.
type keptKey struct {
	quota           bool
	namespace, name string
	uid             types.UID
}

func (k *kept) key() keptKey { return keptKey{k.quota, k.Namespace, k.Name, k.UID} }

// reserve takes room for a short form, in place of what the same object had, and reports whether there is any. It is taken when
// the object arrives: a list is taken in as a whole before anybody hears of one of its objects.
func (l *Limits) reserve(key keptKey, size int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size -= l.sizes[key]
	delete(l.sizes, key)
	if l.size+size > maxKept {
		return false
	}
	l.sizes[key] = size
	l.size += size
	return true
}

// release gives back the room of an object that has gone.
func (l *Limits) release(object any) {
	if gone, is := object.(cache.DeletedFinalStateUnknown); is {
		object = gone.Obj
	}
	if k, is := object.(*kept); is {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.size -= l.sizes[k.key()]
		delete(l.sizes, k.key())
	}
}

// NewLimits prepares to watch in namespaces, in all for none. Nothing is known before [Limits.Run].
func NewLimits(client kubernetes.Interface, namespaces []string, log *slog.Logger) (*Limits, error) {
	l := &Limits{log: log, asked: Limited(log), sizes: map[keptKey]int64{}}
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		of := &limitsOf{namespace: namespace}
		var err error
		if of.ranges, err = l.informer(of, listWatch(client, client.CoreV1().LimitRanges(namespace)), &corev1.LimitRange{}); err != nil {
			return nil, err
		}
		if of.quotas, err = l.informer(of, listWatch(client, client.CoreV1().ResourceQuotas(namespace)), &corev1.ResourceQuota{}); err != nil {
			return nil, err
		}
		l.watched = append(l.watched, of)
	}
	return l, nil
}

// typed is the part of a typed client that an informer needs.
type typed[L runtime.Object] interface {
	List(ctx context.Context, options metav1.ListOptions) (L, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

func listWatch[L runtime.Object](client any, of typed[L]) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return of.List(ctx, options)
		},
		WatchFuncWithContext: of.Watch,
	}, client)
}

func (l *Limits) informer(of *limitsOf, lw cache.ListerWatcher, example runtime.Object) (cache.SharedIndexInformer, error) {
	informer := cache.NewSharedIndexInformerWithOptions(lw, example, cache.SharedIndexInformerOptions{
		Indexers: cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
	})
	if err := informer.SetTransform(l.shorten); err != nil {
		return nil, fmt.Errorf("watching limits: %w", err)
	}
	if err := informer.SetWatchErrorHandlerWithContext(of.failed(l.log)); err != nil {
		return nil, fmt.Errorf("watching limits: %w", err)
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) {
			was, isKept := before.(*kept)
			if is, ok := after.(*kept); isKept && ok && was.key() != is.key() {
				l.release(was)
			}
		},
		DeleteFunc: l.release,
	}); err != nil {
		return nil, fmt.Errorf("watching limits: %w", err)
	}
	return informer, nil
}

// failed notes that a list or watch was refused. Without the right nothing is known, and injection goes on as without limits.
func (of *limitsOf) failed(log *slog.Logger) cache.WatchErrorHandlerWithContext {
	return func(ctx context.Context, _ *cache.Reflector, err error) {
		if !apierrors.IsForbidden(err) {
			log.DebugContext(ctx, "reading LimitRanges and ResourceQuotas failed, will retry", "namespace", of.namespace, "error", err)
			return
		}
		of.mu.Lock()
		first := of.refused.IsZero()
		of.refused = time.Now()
		of.mu.Unlock()
		if first {
			log.WarnContext(ctx, "permissions missing to read LimitRanges and ResourceQuotas, injecting without them",
				"namespace", of.namespace, "risk", "a pod may be refused for its sidecar", "error", err)
		}
	}
}

// Run watches until ctx ends.
func (l *Limits) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, of := range l.watched {
		running.Go(func() { of.ranges.RunWithContext(ctx) })
		running.Go(func() { of.quotas.RunWithContext(ctx) })
	}
	running.Wait()
}

// shorten is the transform.
func (l *Limits) shorten(object any) (any, error) {
	var short any
	switch o := object.(type) {
	case *corev1.LimitRange:
		var items []inject.Range
		for _, item := range o.Spec.Limits {
			if item.Type == corev1.LimitTypeContainer || item.Type == corev1.LimitTypePod {
				items = append(items, inject.Range{Name: o.Name, LimitRangeItem: item})
			}
		}
		short = items
	case *corev1.ResourceQuota:
		quota := inject.QuotaOf(o)
		for _, list := range []corev1.ResourceList{quota.Hard, quota.Used} {
			for name := range list {
				if !ofPods(name) {
					delete(list, name)
				}
			}
		}
		short = quota
	default:
		return object, nil
	}
	meta, is := object.(metav1.Object)
	if !is {
		return object, nil
	}
	_, isQuota := object.(*corev1.ResourceQuota)
	k := &kept{quota: isQuota, ObjectMeta: metav1.ObjectMeta{Namespace: meta.GetNamespace(), Name: meta.GetName(), ResourceVersion: meta.GetResourceVersion(), UID: meta.GetUID()}}
	text, err := json.Marshal(short)
	if err != nil {
		return nil, fmt.Errorf("shorten %T %s/%s: %w", object, meta.GetNamespace(), meta.GetName(), err)
	}
	if l.reserve(k.key(), int64(len(text))) {
		k.short = text
	}
	return k, nil
}

// ofPods reports whether a quota counts by this name what the sidecar takes.
func ofPods(name corev1.ResourceName) bool {
	plain := corev1.ResourceName(strings.TrimPrefix(strings.TrimPrefix(string(name), "requests."), "limits."))
	return plain == corev1.ResourceCPU || plain == corev1.ResourceMemory || plain == corev1.ResourceEphemeralStorage
}

// Of returns what a namespace allows, nil if that is not known.
func (l *Limits) Of(namespace string) *inject.Limits {
	for _, of := range l.watched {
		if of.namespace != metav1.NamespaceAll && of.namespace != namespace {
			continue
		}
		limits, err := of.read(namespace)
		if err != nil {
			l.asked.Debug("limits of the namespace unknown", "namespace", namespace, "error", err)
			return nil
		}
		return limits
	}
	return nil
}

func (of *limitsOf) read(namespace string) (*inject.Limits, error) {
	of.mu.Lock()
	refused := !of.refused.IsZero() && time.Since(of.refused) < refusedFor
	of.mu.Unlock()
	if refused || !of.ranges.HasSynced() || !of.quotas.HasSynced() {
		return nil, errLimitsUnknown
	}
	limits := &inject.Limits{}
	err := each(of.ranges, namespace, func(items []inject.Range) { limits.Ranges = append(limits.Ranges, items...) })
	if err != nil {
		return nil, err
	}
	err = each(of.quotas, namespace, func(quota inject.Quota) { limits.Quotas = append(limits.Quotas, quota) })
	if err != nil {
		return nil, err
	}
	return limits, nil
}

// each decodes what is kept of a namespace, sorted by name.
func each[T any](informer cache.SharedIndexInformer, namespace string, add func(T)) error {
	objects, err := informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return err
	}
	all := make([]*kept, 0, len(objects))
	for _, object := range objects {
		k, is := object.(*kept)
		if !is || k.short == nil {
			return errNoRoomForLimits
		}
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *kept) int { return cmp.Compare(a.Name, b.Name) })
	for _, k := range all {
		var one T
		if err := json.Unmarshal(k.short, &one); err != nil {
			return err
		}
		add(one)
	}
	return nil
}
