package observe

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/workload"
)

// firstPoll and servedPoll bound the time between two checks whether a kind is served that was not: who installs inpod
// may install the kind at the same time. Each check is one small GET.
const (
	firstPoll  = time.Second
	servedPoll = 20 * time.Second
	// listPatience is how long the others wait for a kind at the start. Its conversion webhook may be down for days.
	listPatience = 15 * time.Second
)

// optionalKind is a kind that the API server may not serve, because nobody has installed it yet. The others do not wait
// for it.
type optionalKind struct {
	kind workload.Kind
	// versions are those of the API in which it may be served, the best first; none for the one of kind. A kind with several
	// is a source of the whole cluster that older servers lack, which is no mistake of anybody.
	versions []string
	// version is the one in which it is served.
	version atomic.Pointer[string]
	// served is closed when it is served, and lacking when it turned out that it is not for now.
	served, lacking chan struct{}
	// late reports whether it came to be served when the cache was taken for complete.
	late atomic.Bool
	// gone reports whether it was said that it is not served any more.
	gone atomic.Bool
	// listed reports whether it could be listed once, and unlisted whether it was said that it cannot be. fault is the last error.
	listed, unlisted atomic.Bool
	fault            atomic.Pointer[error]
}

// resource is the one that is served.
func (k *optionalKind) resource() schema.GroupVersionResource {
	resource := k.kind.Resource
	if version := k.version.Load(); version != nil {
		resource.Version = *version
	}
	return resource
}

// what says what it is a kind of.
func (k *optionalKind) what() string {
	if len(k.versions) > 0 {
		return "source kind"
	}
	return "workload kind"
}

func newOptionalKind(kind workload.Kind) *optionalKind {
	return &optionalKind{kind: kind, served: make(chan struct{}), lacking: make(chan struct{})}
}

// optionalInformer is the informer of a part of the cache for such a kind.
type optionalInformer struct {
	cache.SharedIndexInformer

	of     *optionalKind
	synced cache.DoneChecker
	// settled is closed when its objects are in the cache, or it turned out that there are none for now.
	settled chan struct{}
}

// Name implements [cache.DoneChecker].
func (i *optionalInformer) Name() string { return i.of.kind.Name }

// Done implements [cache.DoneChecker].
func (i *optionalInformer) Done() <-chan struct{} { return i.settled }

// run watches the kind from the moment at which the API server serves it, until ctx ends. What keeps its objects away keeps the
// others waiting for a while only.
func (i *optionalInformer) run(ctx context.Context, log *slog.Logger) {
	settle := sync.OnceFunc(func() { close(i.settled) })
	patience := time.AfterFunc(listPatience, func() {
		i.of.late.Store(true)
		i.of.cannotBeListed(log)
		settle()
	})
	defer patience.Stop()
	select {
	case <-i.of.served:
	case <-i.of.lacking:
		patience.Stop()
		settle()
		select {
		case <-i.of.served:
		case <-ctx.Done():
			return
		}
	case <-ctx.Done():
		return
	}
	var running sync.WaitGroup
	running.Go(func() { i.RunWithContext(ctx) })
	if cache.WaitFor(ctx, "", i.synced) {
		patience.Stop()
		i.of.isListed(log)
		settle()
	}
	running.Wait()
}

// cannotBeListed says once that a kind is served, as far as is known, and cannot be listed.
func (k *optionalKind) cannotBeListed(log *slog.Logger) {
	if k.unlisted.Swap(true) {
		return
	}
	why := "no answer"
	if fault := k.fault.Load(); fault != nil {
		why = (*fault).Error()
	}
	log.Warn("kind is served and cannot be listed, skipping until it can", "kind", k.kind.Name, "resource", resourceText(k.kind), "why", why)
}

func (k *optionalKind) isListed(log *slog.Logger) {
	k.listed.Store(true)
	if k.unlisted.Swap(false) {
		log.Info("kind listed now", "kind", k.kind.Name, "resource", resourceText(k.kind))
	}
}

// isThere notes that there is an object of the kind.
func (k *optionalKind) isThere() {
	if k != nil {
		k.gone.Store(false)
	}
}

func (k *optionalKind) isLate() bool { return k != nil && k.late.Load() }

// awaitServed waits until the kind is served, or ctx ends. What stands in the way is said once.
func (o *Observer) awaitServed(ctx context.Context, k *optionalKind) {
	said := ""
	for delay := firstPoll; ; delay = min(2*delay, servedPoll) {
		fault := o.unserved(ctx, k)
		if fault == "" {
			if said != "" {
				o.options.Log.Info(k.what()+" available", //nolint:sloglint // one of two constants
					"kind", k.kind.Name, "resource", resourceText(k.kind))
			}
			close(k.served)
			return
		}
		if said == "" {
			k.late.Store(true)
			close(k.lacking)
		}
		if fault != said {
			said = fault
			level := slog.LevelWarn
			if len(k.versions) > 0 {
				level = slog.LevelInfo
			}
			//nolint:sloglint // one of two constants
			o.options.Log.Log(ctx, level, k.what()+" not available, skipping",
				"kind", k.kind.Name, "resource", resourceText(k.kind), "reason", fault)
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// unserved says why a kind cannot be watched; "" if it can. Of several versions it notes the one.
func (o *Observer) unserved(ctx context.Context, k *optionalKind) string {
	if len(k.versions) == 0 {
		return o.unservedIn(ctx, k.kind)
	}
	api := discovery.ToServerResourcesInterfaceWithContext(o.options.Client.Discovery())
	for _, version := range k.versions {
		resource := k.kind.Resource
		resource.Version = version
		list, err := api.ServerResourcesForGroupVersionWithContext(ctx, resource.GroupVersion().String())
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return "the API server cannot say whether it serves " + resource.GroupVersion().String() + ": " + err.Error()
		case slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == resource.Resource }):
			k.version.Store(&version)
			return ""
		}
	}
	return fmt.Sprintf("the API server serves no %s in %s", k.kind.Resource.GroupResource(), strings.Join(k.versions, ", "))
}

// unservedIn is the same for one version.
func (o *Observer) unservedIn(ctx context.Context, kind workload.Kind) string {
	api := discovery.ToServerResourcesInterfaceWithContext(o.options.Client.Discovery())
	list, err := api.ServerResourcesForGroupVersionWithContext(ctx, kind.APIVersion())
	switch {
	case apierrors.IsNotFound(err):
		return "the API server does not serve " + kind.APIVersion() + ": install its CustomResourceDefinition"
	case err != nil:
		return "the API server cannot say whether it serves " + kind.APIVersion() + ": " + err.Error()
	}
	i := slices.IndexFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == kind.Resource.Resource })
	if i < 0 {
		return fmt.Sprintf("the API server serves %s and no %s in it: install the CustomResourceDefinition, or correct the plural",
			kind.APIVersion(), kind.Resource.Resource)
	}
	switch found := list.APIResources[i]; {
	case found.Kind != kind.APIKind():
		return fmt.Sprintf("the kind of %s is %s and not %s: correct it", resourceText(kind), found.Kind, kind.APIKind())
	case !found.Namespaced:
		return resourceText(kind) + " are not in namespaces, and ConfigMaps and Secrets are"
	default:
		for _, verb := range []string{"list", "watch", "patch"} {
			if !slices.Contains(found.Verbs, verb) {
				return fmt.Sprintf("the API server does not support %s on %s", verb, resourceText(kind))
			}
		}
	}
	return ""
}

func resourceText(kind workload.Kind) string { return kind.Resource.GroupResource().String() }

// watchFailed says once that a kind is not served any more. The watch goes on trying. That a kind cannot be listed at first is said
// by cannotBeListed.
func (k *optionalKind) watchFailed(log *slog.Logger) cache.WatchErrorHandlerWithContext {
	return func(ctx context.Context, r *cache.Reflector, err error) {
		k.fault.Store(&err)
		if !apierrors.IsNotFound(err) {
			if k.listed.Load() {
				cache.DefaultWatchErrorHandler(ctx, r, err)
			}
			return
		}
		if !k.gone.Swap(true) {
			//nolint:sloglint // one of two constants
			log.Warn(k.what()+" no longer available, skipping",
				"kind", k.kind.Name, "resource", resourceText(k.kind), "error", err)
		}
	}
}
