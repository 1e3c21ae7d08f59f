package observe

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/annotation"
)

// defaultsItem is what the store keeps of a namespace.
type defaultsItem struct {
	metav1.ObjectMeta

	pacing   annotation.Pacing
	problems []annotation.Problem
	said     map[string]string // the annotations that it was read from
	found    []annotation.Problem
}

// watchDefaults prepares a watch of all namespaces, for what their annotations say on when their workloads may be rolled.
func (o *Observer) watchDefaults() error {
	informer := cache.NewSharedIndexInformer(listWatch(o.options.Client, o.options.Client.CoreV1().Namespaces(), metav1.ListOptions{}), &corev1.Namespace{}, 0, nil)
	err := informer.SetTransform(func(object any) (any, error) {
		namespace, ok := object.(*corev1.Namespace)
		if !ok {
			return object, nil
		}
		item := &defaultsItem{ObjectMeta: identity(namespace), found: problemsOf(namespace, o.checker, annotation.AtNamespace)}
		item.pacing, item.problems = annotation.ReadDefaults(o.options.Keys, namespace.Annotations)
		item.said = o.options.Keys.Defaults(namespace.Annotations)
		return item, nil
	})
	if err != nil {
		return fmt.Errorf("observing namespaces: %w", err)
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, isInInitialList bool) {
			item, ok := object.(*defaultsItem)
			if ok && !isInInitialList && len(item.said) > 0 {
				o.defaultsChanged(item.Name)
			}
			if ok {
				o.mistaken(nil, item.found)
			}
		},
		UpdateFunc: func(before, after any) {
			was, ok1 := before.(*defaultsItem)
			is, ok2 := after.(*defaultsItem)
			if ok1 && ok2 && !maps.Equal(was.said, is.said) {
				o.defaultsChanged(is.Name)
			}
			if ok1 && ok2 {
				o.mistaken(was.found, is.found)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("observing namespaces: %w", err)
	}
	o.defaults = informer
	o.synced = append(o.synced, registration.HasSyncedChecker())
	return nil
}

// defaultsChanged has all workloads of a namespace looked at.
func (o *Observer) defaultsChanged(namespace string) {
	for _, key := range o.cacheOf(namespace).keys() {
		if key.Namespace == namespace {
			o.options.Enqueue(key, WorkloadChanged)
		}
	}
}

// withDefaults fills in what the workload leaves to its namespace.
func (o *Observer) withDefaults(w Workload) Workload {
	if o.defaults == nil {
		return w
	}
	object, exists, err := o.defaults.GetStore().GetByKey(w.View.Key.Namespace)
	item, ok := object.(*defaultsItem)
	if err != nil || !exists || !ok {
		return w
	}
	w.Policy.Pacing = w.Policy.Pacing.Or(item.pacing)
	if len(item.problems) > 0 {
		w.Problems = append(slices.Clip(w.Problems), item.problems...)
	}
	return w
}
