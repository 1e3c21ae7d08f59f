// Package events reports what was done to users, as Events of the Kubernetes API.
//
//	Emit ──► waiting, bounded; equal ones merge ──► senders ──► POST, or PATCH of the count of one that is there
//
// It never blocks its caller, loses nothing in a burst, and writes what is left when the program stops. It takes the
// place of client-go's recorder, which sends from one goroutine, drops what exceeds a thousand events, waits for
// minutes on one that fails, and cannot be asked to finish.
package events

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/lru"
)

const (
	// maxWaiting is how many events may wait, each about 500 bytes. A rollout of everything in a large cluster fits.
	maxWaiting = 10_000
	// maxWritten is how many written events are remembered, to count them up when they happen again.
	maxWritten = 2048
	// senders is how many events are written at the same time. Rollouts come first, so that it is few.
	senders = 3
	// attemptTimeout bounds one request, firstRetry and lastRetry the time until the next.
	attemptTimeout = 10 * time.Second
	firstRetry     = 250 * time.Millisecond
	lastRetry      = 30 * time.Second
	// tooOld is the age at which an event that cannot be written is given up.
	tooOld = 15 * time.Minute
	// flushTime is what is left for writing when the program stops. Kubernetes gives a pod 30 s to stop.
	flushTime = 5 * time.Second
)

// Options are what a [Writer] needs. All fields are required.
type Options struct {
	Client typedcorev1.EventsGetter
	// Component is the name under which the events appear.
	Component  string
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Writer writes events.
type Writer struct {
	options Options
	metrics *metrics
	queue   workqueue.TypedRateLimitingInterface[event]
	// complain bounds what is logged about events that cannot be written: they may be many.
	complain rate.Sometimes

	mu      sync.Mutex
	waiting map[event]occurrences
	lastID  int64
	written *lru.Cache // event → series; an event is handled by one sender at a time
}

// event is what makes two events equal.
type event struct {
	about                 corev1.ObjectReference
	kind, reason, message string
	// matter is what makes two Events one in the cluster that say how things are, see [Writer.State]; "" for what has happened.
	matter string
}

// occurrences are those of an event that wait to be written.
type occurrences struct {
	count       int32
	first, last time.Time
	// id makes the name of the Event, the same one at each attempt, so that an attempt that worked without our knowing
	// is not repeated.
	id int64
}

// New returns a writer. It accepts events from now on, and writes them while [Writer.Run] runs.
func New(options Options) *Writer {
	return &Writer{
		options: options,
		metrics: newMetrics(options.Registerer),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[event](firstRetry, lastRetry)),
		complain: rate.Sometimes{Interval: time.Minute},
		waiting:  map[event]occurrences{},
		written:  lru.New(maxWritten),
	}
}

// Emit has an event written about an object. The kind is Normal or Warning. It does not block.
func (w *Writer) Emit(about *corev1.ObjectReference, kind, reason, message string) {
	w.emit(event{about: *about, kind: kind, reason: reason, message: message})
}

// State has an event written that says how things are, rather than what has happened: where the API server has it already, such
// as from before a restart of this program, nothing is written. It has it where object, reason and matter are the same, in whatever
// words: they may name one pod of many, or a number that grows. It does not block.
func (w *Writer) State(about *corev1.ObjectReference, kind, reason, matter, message string) {
	w.emit(event{about: *about, kind: kind, reason: reason, message: message, matter: matter})
}

func (w *Writer) emit(e event) {
	now := time.Now()
	w.mu.Lock()
	o, merged := w.waiting[e]
	full := !merged && len(w.waiting) >= maxWaiting
	if !full {
		if !merged {
			w.lastID = max(w.lastID+1, now.UnixNano())
			o = occurrences{first: now, id: w.lastID}
		}
		o.count++
		o.last = now
		w.waiting[e] = o
	}
	w.mu.Unlock()
	switch {
	case full:
		w.lost(e, "too many events wait to be written")
	case !merged:
		w.queue.Add(e)
	}
}

// Run writes events until ctx ends, and then for a short time what is left.
func (w *Writer) Run(ctx context.Context) {
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var running sync.WaitGroup
	for range senders {
		running.Go(func() {
			for w.next(sending) {
			}
		})
	}
	<-ctx.Done()
	timer := time.AfterFunc(flushTime, cut)
	defer timer.Stop()
	w.queue.ShutDown() // what is in it is still handed out
	running.Wait()
	w.flush(sending)
}

// flush makes a last attempt at what has failed before.
func (w *Writer) flush(ctx context.Context) {
	w.mu.Lock()
	var left []event
	for e := range w.waiting {
		left = append(left, e)
	}
	w.mu.Unlock()
	for _, e := range left {
		if ctx.Err() != nil {
			break
		}
		_ = w.send(ctx, e) // counted below
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) > 0 {
		w.metrics.add(resultLost, len(w.waiting))
		w.options.Log.Warn("events lost at shutdown", "events", len(w.waiting))
	}
}

// next writes one event; false means that the queue is shut down and empty.
func (w *Writer) next(ctx context.Context) bool {
	e, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(e)
	if err := w.send(ctx, e); err != nil {
		w.complain.Do(func() { w.options.Log.Warn("writing event failed, will retry", "error", err) })
		w.queue.AddRateLimited(e)
		return true
	}
	w.queue.Forget(e)
	return true
}

// lost counts an event that is given up.
func (w *Writer) lost(e event, why string) {
	w.metrics.add(resultLost, 1)
	w.complain.Do(func() {
		w.options.Log.Warn("event lost", "cause", why,
			"about", e.about.Kind+" "+e.about.Namespace+"/"+e.about.Name, "reason", e.reason)
	})
}
