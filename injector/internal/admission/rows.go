package admission

import (
	"cmp"
	"container/list"
)

// share says whose a row is: a caller's, for pods of a namespace.
type share struct{ caller, namespace string }

// rows remember things up to a size. When there is no room, the caller that has most gives up a row of the namespace
// for which it has most: the one that was used longest ago. So whoever makes things up pushes out its own.
type rows[K comparable, V any] struct {
	limit, size int
	at          map[K]*list.Element
	callers     map[string]*callerRows
}

// callerRows are those of one caller, by namespace; the one that was used last comes first.
type callerRows struct {
	size       int
	namespaces map[string]*namespaceRows
}

type namespaceRows struct {
	size int
	used *list.List
}

type row[K comparable, V any] struct {
	key   K
	value V
	of    share
	size  int
}

func newRows[K comparable, V any](limit int) *rows[K, V] {
	return &rows[K, V]{limit: limit, at: map[K]*list.Element{}, callers: map[string]*callerRows{}}
}

// get returns what is remembered, and notes that it was used.
func (r *rows[K, V]) get(key K) (value V, ok bool) {
	at, ok := r.at[key]
	if !ok {
		return value, false
	}
	found := rowOf[K, V](at)
	r.callers[found.of.caller].namespaces[found.of.namespace].used.MoveToFront(at)
	return found.value, true
}

// put remembers something of a size, in place of what was under its key.
func (r *rows[K, V]) put(of share, key K, value V, size int) {
	r.remove(key)
	if size > r.limit {
		return
	}
	for r.size+size > r.limit {
		r.remove(r.oldest(of))
	}
	caller := r.callers[of.caller]
	if caller == nil {
		caller = &callerRows{namespaces: map[string]*namespaceRows{}}
		r.callers[of.caller] = caller
	}
	namespace := caller.namespaces[of.namespace]
	if namespace == nil {
		namespace = &namespaceRows{used: list.New()}
		caller.namespaces[of.namespace] = namespace
	}
	r.at[key] = namespace.used.PushFront(row[K, V]{key, value, of, size})
	r.grow(of, size)
}

// remove forgets a row, if it is there.
func (r *rows[K, V]) remove(key K) {
	at, ok := r.at[key]
	if !ok {
		return
	}
	gone := rowOf[K, V](at)
	delete(r.at, key)
	r.callers[gone.of.caller].namespaces[gone.of.namespace].used.Remove(at)
	r.grow(gone.of, -gone.size)
}

// grow counts a row that came or went.
func (r *rows[K, V]) grow(of share, by int) {
	caller := r.callers[of.caller]
	namespace := caller.namespaces[of.namespace]
	r.size, caller.size, namespace.size = r.size+by, caller.size+by, namespace.size+by
	if namespace.used.Len() == 0 {
		delete(caller.namespaces, of.namespace)
	}
	if len(caller.namespaces) == 0 {
		delete(r.callers, of.caller)
	}
}

// oldest is the key of the row that makes room for one of a share, which goes first among equals. There is one.
func (r *rows[K, V]) oldest(of share) (key K) {
	caller := fullest(r.callers, of.caller, func(c *callerRows) int { return c.size })
	namespace := fullest(caller.namespaces, of.namespace, func(n *namespaceRows) int { return n.size })
	return rowOf[K, V](namespace.used.Back()).key
}

// fullest is the largest of those that have a name, among equals the one with that name, and then the first by name.
func fullest[T any](all map[string]*T, name string, size func(*T) int) *T {
	var most *T
	var its string
	for other, one := range all {
		if most == nil || cmp.Or(cmp.Compare(size(most), size(one)), cmp.Compare(is(its, name), is(other, name)), cmp.Compare(other, its)) < 0 {
			most, its = one, other
		}
	}
	return most
}

func is(a, b string) int {
	if a == b {
		return 1
	}
	return 0
}

func rowOf[K comparable, V any](at *list.Element) row[K, V] {
	return at.Value.(row[K, V]) //nolint:forcetypeassert // nothing else is put into the lists
}
