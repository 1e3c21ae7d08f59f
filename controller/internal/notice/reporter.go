package notice

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/workload"
)

// What one namespace may have written: so many notices at once, and one more after each time. What is held back is written later, if it
// is still true.
const (
	burst = 20
	every = 10 * time.Second
	// sweepAt is the number of namespaces at which the shares that are whole again are forgotten.
	sweepAt = 1000
)

// Cluster is what is known: [observe.Observer].
type Cluster interface {
	Workload(key workload.Key) (observe.Workload, bool)
	Pods(key workload.Key) []observe.Pod
	SkippedPods(subject observe.Subject) []observe.Skipped
	SkippedSubjects() []observe.Subject
}

// Options are what a [Reporter] needs. All fields are required.
type Options struct {
	Cluster Cluster
	Queue   *Queue
	Kinds   workload.Table
	// Event has an event written that says how things are: [events.Writer.State]. It must not block.
	Event func(about *corev1.ObjectReference, kind, reason, matter, message string)
	Log   *slog.Logger
}

// Reporter writes notices while this replica leads.
type Reporter struct {
	options Options

	// The rest belongs to the one worker.
	said   map[observe.Subject]said
	shares map[string]*rate.Limiter // by namespace
}

// said is what was written about a subject and is still true.
type said struct {
	uid     types.UID
	matters map[string]bool
}

// New returns a reporter that does nothing until [Reporter.Run].
func New(options Options) *Reporter { return &Reporter{options: options} }

// Run reports until ctx ends. It may be called again.
func (r *Reporter) Run(ctx context.Context) {
	queue := workqueue.NewTypedDelayingQueue[observe.Subject]()
	r.options.Queue.Start(queue)
	r.said, r.shares = map[observe.Subject]said{}, map[string]*rate.Limiter{}
	for _, subject := range r.options.Cluster.SkippedSubjects() {
		queue.Add(subject)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for r.next(ctx, queue) {
		}
	})
	<-ctx.Done()
	r.options.Queue.Stop()
	running.Wait()
}

// next reports on one subject; false means that the queue is shut down.
func (r *Reporter) next(ctx context.Context, queue workqueue.TypedDelayingInterface[observe.Subject]) bool {
	subject, shutdown := queue.Get()
	if shutdown {
		return false
	}
	defer queue.Done(subject)
	if ctx.Err() != nil {
		return true
	}
	if !r.report(ctx, subject) {
		queue.AddAfter(subject, every)
	}
	return true
}

// report writes what is new about a subject, and reports whether nothing of it is held back.
func (r *Reporter) report(ctx context.Context, subject observe.Subject) (complete bool) {
	about, facts := r.gather(subject)
	if about == nil {
		delete(r.said, subject)
		return true
	}
	uid := cmp.Or(subject.Owner, about.UID) // one pod of an owner speaks for all
	before := r.said[subject]
	if before.uid != uid {
		before = said{}
	}
	now := said{uid: uid, matters: map[string]bool{}}
	complete = true
	for _, notice := range About(facts) {
		if notice.Early && !before.matters[notice.Matter] {
			complete = false
			continue
		}
		if !before.matters[notice.Matter] {
			if !r.share(subject.Workload.Namespace).Allow() {
				complete = false
				continue
			}
			r.write(ctx, about, notice)
		}
		now.matters[notice.Matter] = true
	}
	if r.said[subject] = now; len(now.matters) == 0 {
		delete(r.said, subject)
	}
	return complete
}

// gather returns what is known of a subject, and what to write events about; nil for nothing.
func (r *Reporter) gather(subject observe.Subject) (*corev1.ObjectReference, Facts) {
	facts := Facts{Skipped: r.options.Cluster.SkippedPods(subject)}
	if subject.Workload.Name != "" {
		w, exists := r.options.Cluster.Workload(subject.Workload)
		if !exists {
			return nil, Facts{}
		}
		facts.Workload, facts.Pods, facts.Now = &w, r.options.Cluster.Pods(subject.Workload), time.Now()
		return r.options.Kinds.Reference(w.View), facts
	}
	if len(facts.Skipped) == 0 {
		return nil, Facts{}
	}
	pod := facts.Skipped[0]
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}, facts
}

func (r *Reporter) write(ctx context.Context, about *corev1.ObjectReference, notice Notice) {
	kind, level := corev1.EventTypeNormal, slog.LevelInfo
	if notice.Warning {
		kind, level = corev1.EventTypeWarning, slog.LevelWarn
	}
	r.options.Log.Log(ctx, level, "notice reported", "about", about.Kind+" "+about.Namespace+"/"+about.Name,
		"reason", notice.Reason, "message", notice.Message)
	r.options.Event(about, kind, notice.Reason, notice.Matter, notice.Message)
}

// share is what a namespace may have written.
func (r *Reporter) share(namespace string) *rate.Limiter {
	if share, ok := r.shares[namespace]; ok {
		return share
	}
	if len(r.shares) >= sweepAt {
		for other, share := range r.shares {
			if share.Tokens() >= burst {
				delete(r.shares, other)
			}
		}
	}
	share := rate.NewLimiter(rate.Every(every), burst)
	r.shares[namespace] = share
	return share
}
