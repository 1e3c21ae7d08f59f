package observe

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// lastSeen is the last state of each object as the watch delivered it. The store may lag behind the watch, and what a
// write changed is known only from the state right before it.
type lastSeen[T metav1.Object] struct {
	texts *interner // that the objects share

	mu    sync.Mutex
	items map[objectName]T
}

// objectName names an object of a kind.
type objectName struct{ namespace, name string }

func newLastSeen[T metav1.Object]() *lastSeen[T] {
	return &lastSeen[T]{texts: newInterner(), items: map[objectName]T{}}
}

func (h *lastSeen[T]) get(like T) (T, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	item, ok := h.items[nameOf(like)]
	return item, ok
}

func (h *lastSeen[T]) put(item T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.items[nameOf(item)] = item
}

// forget drops an object that is gone, unless another of the same name has come meanwhile.
func (h *lastSeen[T]) forget(item T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if last, ok := h.items[nameOf(item)]; ok && last.GetUID() == item.GetUID() {
		delete(h.items, nameOf(item))
	}
}

func nameOf(object metav1.Object) objectName {
	return objectName{object.GetNamespace(), object.GetName()}
}

// deleted unwraps what a delete handler gets: the object, or a note that it is gone.
func deleted[T any](object any) (item T, ok bool) {
	if tombstone, is := object.(cache.DeletedFinalStateUnknown); is {
		object = tombstone.Obj
	}
	item, ok = object.(T)
	return item, ok
}
