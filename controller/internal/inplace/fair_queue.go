package inplace

import "slices"

// fairQueue has values that are served name after name, level by level: of the first names each is served in turn, below
// each of them the second ones, and so on.
type fairQueue[T any] struct {
	order []string // the names of next, in the order in which they are served
	next  map[string]*fairQueue[T]
	leaf  []T // on the last level, in the order in which they came
}

// push adds a value below names.
func (q *fairQueue[T]) push(names []string, value T) {
	if len(names) == 0 {
		q.leaf = append(q.leaf, value)
		return
	}
	below, ok := q.next[names[0]]
	if !ok {
		if q.next == nil {
			q.next = map[string]*fairQueue[T]{}
		}
		below = &fairQueue[T]{}
		q.next[names[0]] = below
		q.order = append(q.order, names[0])
	}
	below.push(names[1:], value)
}

// any reports whether there is something below a first name that may be served.
func (q *fairQueue[T]) any(may func(name string) bool) bool { return slices.ContainsFunc(q.order, may) }

// pop takes the next value below a first name that may be served. It reports false for none.
func (q *fairQueue[T]) pop(may func(name string) bool) (value T, ok bool) {
	if len(q.leaf) > 0 {
		value, q.leaf[0] = q.leaf[0], value
		q.leaf = q.leaf[1:]
		return value, true
	}
	at := slices.IndexFunc(q.order, may)
	if at < 0 {
		return value, false
	}
	name := q.order[at]
	q.order = slices.Delete(q.order, at, at+1)
	below := q.next[name]
	value, ok = below.pop(everybody)
	if len(below.order) > 0 || len(below.leaf) > 0 {
		q.order = append(q.order, name)
	} else {
		delete(q.next, name)
	}
	return value, ok
}

// everybody may be served.
func everybody(string) bool { return true }
