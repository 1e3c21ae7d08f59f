package observe

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// api is the part of a typed client that an informer needs.
type api[L runtime.Object] interface {
	List(ctx context.Context, options metav1.ListOptions) (L, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// listWatch lists and watches what the selectors of only leave.
func listWatch[L runtime.Object](client any, of api[L], only metav1.ListOptions) cache.ListerWatcher {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.FieldSelector, options.LabelSelector = only.FieldSelector, only.LabelSelector
			return of.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector, options.LabelSelector = only.FieldSelector, only.LabelSelector
			return of.Watch(ctx, options)
		},
	}
	return cache.ToListWatcherWithWatchListSemantics(lw, client)
}

// fields selects, by fields, what is watched of a namespace, or of all of them: what is left out costs nothing here.
func (o *Observer) fields(namespace string, more ...string) string {
	if namespace == "" {
		for _, ignored := range o.options.IgnoredNamespaces {
			more = append(more, "metadata.namespace!="+ignored)
		}
	}
	return strings.Join(more, ",")
}

func (o *Observer) sourceListWatch(kind source.Kind, namespace string) (cache.ListerWatcher, runtime.Object, metav1.ListOptions) {
	client := o.options.Client
	only := metav1.ListOptions{LabelSelector: o.options.SourceSelector}
	if kind == source.Secret {
		only.FieldSelector = o.fields(namespace, notHelmReleases)
		return listWatch(client, client.CoreV1().Secrets(namespace), only), &corev1.Secret{}, only
	}
	only.FieldSelector = o.fields(namespace)
	return listWatch(client, client.CoreV1().ConfigMaps(namespace), only), &corev1.ConfigMap{}, only
}

func (o *Observer) workloadListWatch(kind workload.Kind, namespace string) cache.ListerWatcher {
	client, only := o.options.Client, metav1.ListOptions{FieldSelector: o.fields(namespace)}
	if kind.Path != nil {
		return listWatch(o.options.Dynamic, api[*unstructured.UnstructuredList](o.options.Dynamic.Resource(kind.Resource).Namespace(namespace)), only)
	}
	switch kind.Resource.Resource {
	case "statefulsets":
		return listWatch(client, client.AppsV1().StatefulSets(namespace), only)
	case "cronjobs":
		return listWatch(client, client.BatchV1().CronJobs(namespace), only)
	case "jobs":
		return listWatch(client, client.BatchV1().Jobs(namespace), only)
	case "daemonsets":
		return listWatch(client, client.AppsV1().DaemonSets(namespace), only)
	default:
		return listWatch(client, client.AppsV1().Deployments(namespace), only)
	}
}

// fromWatchAnnotation is put into the deprecated and otherwise empty field selfLink of an object that a watch delivered as modified:
// its state right before was delivered as well. An object that comes from a list may have missed any number of writes.
const fromWatchAnnotation = "inpod:live"

func isFromWatch(object metav1.Object) bool { return object.GetSelfLink() == fromWatchAnnotation }

// fromWatch wraps what a watch delivers. It embeds the original, so that client-go still finds its optional methods.
type fromWatch struct{ cache.ListerWatcher }

func withOrigin(lw cache.ListerWatcher) cache.ListerWatcher { return fromWatch{lw} }

// ListWithContext implements [cache.ListerWatcherWithContext].
func (m fromWatch) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return cache.ToListerWatcherWithContext(m.ListerWatcher).ListWithContext(ctx, options)
}

// WatchWithContext implements [cache.ListerWatcherWithContext].
func (m fromWatch) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	w, err := cache.ToListerWatcherWithContext(m.ListerWatcher).WatchWithContext(ctx, options)
	if err != nil {
		return nil, err
	}
	return watch.Filter(w, func(event watch.Event) (watch.Event, bool) {
		if object, ok := event.Object.(metav1.Object); ok && event.Type == watch.Modified {
			object.SetSelfLink(fromWatchAnnotation)
		}
		return event, true
	}), nil
}

// IsWatchListSemanticsUnSupported passes on what client-go asks a client for (util/watchlist).
func (m fromWatch) IsWatchListSemanticsUnSupported() bool {
	return noWatchList(m.ListerWatcher)
}
