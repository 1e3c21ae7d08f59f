package reconcile

import (
	"errors"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"inpod.dev/inpod/internal/workload"
)

const (
	// maxWrites is how many writes may be under way. A write may take as long as the admission webhooks of others, and
	// costs a goroutine and a stream of a connection.
	maxWrites = 256
	// writeShare is the part of the free slots that one namespace may hold: one in so many, and always one slot. A
	// namespace alone gets 15 of 256; with each further one whose writes are slow the share of all of them shrinks, so
	// that about 240 such namespaces leave a slot for the next one.
	writeShare = 16
)

// errNoWriteSlot says that a workload is woken when it may be written.
var errNoWriteSlot = errors.New("too many writes are under way")

// writeSlots bounds the writes that are under way, and shares them between namespaces. It keeps nothing of those that wait but
// their keys: whoever gets a slot is decided on again, with what is known by then.
type writeSlots struct {
	underWay, waits prometheus.Gauge

	mu      sync.Mutex
	taken   int
	held    map[string]int            // slots by namespace
	granted map[workload.Key]bool     // those with a slot; true once it is in use
	waiting map[string][]workload.Key // by namespace, in the order in which they came
	queued  map[workload.Key]struct{} // those in waiting
	order   []string                  // namespaces in waiting; the one that was served last is the last one
}

func newWriteSlots(registerer prometheus.Registerer) *writeSlots {
	s := &writeSlots{
		underWay: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "inpod_writes_in_progress", Help: "Requests to write to workloads, or to list their pods, that are not answered yet.",
		}),
		waits: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "inpod_writes_waiting", Help: "Workloads that are to be written and wait because too many writes are under way, in all or in their namespace.",
		}),
	}
	registerer.MustRegister(s.underWay, s.waits)
	s.reset()
	return s
}

// reset forgets all slots: nothing is under way when a term begins.
func (s *writeSlots) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken, s.held, s.granted = 0, map[string]int{}, map[workload.Key]bool{}
	s.waiting, s.queued, s.order = map[string][]workload.Key{}, map[workload.Key]struct{}{}, nil
	s.count()
}

// Acquire reports whether a workload may be written now. If not, it is woken when it may.
func (s *writeSlots) Acquire(key workload.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.count()
	if _, ok := s.granted[key]; !ok {
		if len(s.waiting[key.Namespace]) > 0 || !s.free(key.Namespace) {
			s.enqueue(key)
			return false
		}
		s.take(key)
	}
	s.granted[key] = true
	return true
}

// Release gives the slot of a workload back, whose write is done. It returns who may be written now.
func (s *writeSlots) Release(key workload.Key) (wake []workload.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(key)
	return s.grant()
}

// Leave takes a workload out that turned out not to need a slot. It returns who may be written now.
func (s *writeSlots) Leave(key workload.Key) (wake []workload.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(key)
	if _, waits := s.queued[key]; waits {
		delete(s.queued, key)
		s.keep(key.Namespace, slices.DeleteFunc(s.waiting[key.Namespace], func(other workload.Key) bool { return other == key }))
	}
	return s.grant()
}

// standing reports whether a workload waits for a slot, and whether it has one that it does not use.
func (s *writeSlots) standing(key workload.Key) (waits, unused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, waits = s.queued[key]
	inUse, granted := s.granted[key]
	return waits, granted && !inUse
}

// free reports whether a namespace may have one more slot.
func (s *writeSlots) free(namespace string) bool {
	free := maxWrites - s.taken
	return free > 0 && s.held[namespace] < max(1, free/writeShare)
}

func (s *writeSlots) take(key workload.Key) {
	s.taken++
	s.held[key.Namespace]++
	s.granted[key] = false
}

func (s *writeSlots) drop(key workload.Key) {
	if _, ok := s.granted[key]; !ok {
		return
	}
	delete(s.granted, key)
	s.taken--
	if s.held[key.Namespace]--; s.held[key.Namespace] == 0 {
		delete(s.held, key.Namespace)
	}
}

func (s *writeSlots) enqueue(key workload.Key) {
	if _, waits := s.queued[key]; waits {
		return
	}
	if len(s.waiting[key.Namespace]) == 0 {
		s.order = append(s.order, key.Namespace)
	}
	s.waiting[key.Namespace] = append(s.waiting[key.Namespace], key)
	s.queued[key] = struct{}{}
}

// keep replaces those that wait in a namespace.
func (s *writeSlots) keep(namespace string, queue []workload.Key) {
	if len(queue) > 0 {
		s.waiting[namespace] = queue
		return
	}
	delete(s.waiting, namespace)
	s.order = slices.DeleteFunc(s.order, func(other string) bool { return other == namespace })
}

// grant hands out the slots that are free, each to the namespace with the fewest, and returns who got one.
func (s *writeSlots) grant() (served []workload.Key) {
	defer s.count()
	for {
		next := ""
		for _, namespace := range s.order {
			if s.free(namespace) && (next == "" || s.held[namespace] < s.held[next]) {
				next = namespace
			}
		}
		if next == "" {
			return served
		}
		queue := s.waiting[next]
		s.take(queue[0])
		delete(s.queued, queue[0])
		served = append(served, queue[0])
		s.order = append(slices.DeleteFunc(s.order, func(other string) bool { return other == next }), next)
		s.keep(next, queue[1:])
	}
}

func (s *writeSlots) count() {
	s.underWay.Set(float64(s.taken))
	s.waits.Set(float64(len(s.queued)))
}
