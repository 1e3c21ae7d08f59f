// Package inplace carries out a reload in the pods: it makes the kubelets bring new content at once, asks the sidecars
// for the result, and aggregates their replies for the decision. It decides nothing itself.
//
//	a source changed ──► NudgeQueue: nudge the pods that mount it, before anything has settled
//	the decision is a reload ──► StartReload(target): a reload task
//	     nudge ─► ask ─► evaluate the reply ─► again, for each pod that has not confirmed
//	     a verdict ──► Enqueue(workload) ──► State(target) in the next decision
//
// A source that is in no namespace may be in the pods of the whole cluster. Nudges for those get half of the pace and
// wait for nothing: a pod that gets no nudge yet is left to its kubelet for now, so that no other edit waits behind
// them.
//
// A nudge is an annotation patched on a pod; the kubelet refreshes the volumes of a changed pod at once (0.7 s against 60
// to 90 s). It is harmless when repeated, and late nudges cost time only: the kubelet brings the content anyway.
package inplace

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// Cache is what is known of the cluster: [observe.Observer].
type Cache interface {
	Workload(key workload.Key) (observe.Workload, bool)
	Pods(key workload.Key) []observe.Pod
}

// Options are what a [Reloader] needs. All fields are required.
type Options struct {
	Cache Cache
	// Ask returns what the sidecar of a pod says: [Client.Status].
	Ask func(ctx context.Context, pod observe.Pod, want Question) (sidecarapi.Response, error)
	// Nudge patches the annotation of a pod: [Nudger.Nudge].
	Nudge func(ctx context.Context, pod observe.Pod, text string) error
	// Nudges are those for sources that have just changed, and NudgeText is the text of one; follows is false if the workload does
	// not follow the source.
	Nudges    *NudgeQueue
	NudgeText func(key workload.Key, ref source.Ref) (text string, follows bool)
	// Enqueue asks for a new decision on a workload whose verdict has changed. It must not block.
	Enqueue func(workload.Key)
	// Deadline is how long a pod may take to confirm.
	Deadline time.Duration
	// NudgeRate is the number of nudges per second, over all workloads.
	NudgeRate float64

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Reloader runs one reload task per workload.
type Reloader struct {
	options Options
	metrics *metrics
	pace    *rate.Limiter
	// shared is the pace for what is in no namespace.
	shared *rate.Limiter

	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // that of the term of leadership, see Lead
	tasks   map[workload.Key]*reloadTask
	running sync.WaitGroup
}

// New returns a reloader that does nothing until [Reloader.Lead].
func New(options Options) *Reloader {
	return &Reloader{
		options: options, metrics: newMetrics(options.Registerer),
		pace:   rate.NewLimiter(rate.Limit(options.NudgeRate), max(1, int(options.NudgeRate))),
		shared: rate.NewLimiter(rate.Limit(options.NudgeRate/2), max(1, int(options.NudgeRate/2))),
	}
}

// Lead lets reload tasks run until ctx ends, and returns when none runs any more. It calls work meanwhile.
func (r *Reloader) Lead(ctx context.Context, work func(context.Context)) {
	r.mu.Lock()
	r.ctx, r.tasks = ctx, map[workload.Key]*reloadTask{}
	r.mu.Unlock()
	nudges := workqueue.NewTyped[changedSource]()
	r.options.Nudges.changes.Start(nudges)
	r.running.Go(func() { r.nudgeEarly(nudges) }) //nolint:contextcheck // hurry has the context of the term
	work(ctx)
	r.options.Nudges.changes.Stop()
	r.mu.Lock()
	for key, c := range r.tasks {
		c.stop()
		delete(r.tasks, key)
	}
	r.ctx = nil
	r.mu.Unlock()
	r.running.Wait()
}

// hurry nudges the pods of a workload that mount a source, without waiting for anything. It reports whether there is something to
// do, and calls done when that is over.
func (r *Reloader) hurry(key workload.Key, ref source.Ref, text string, done func()) bool {
	pods := r.options.Cache.Pods(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil || len(pods) == 0 {
		return false
	}
	ctx := r.ctx
	r.running.Go(func() {
		defer done()
		for _, pod := range pods {
			if pod.Over || !mounts(pod, ref) {
				continue
			}
			if ref.Kind.ClusterScoped() && !r.shared.Allow() {
				r.metrics.left()
				continue // the reload task looks whether it is still needed
			}
			if err := r.nudge(ctx, pod, text); err != nil {
				return // the reload task will nudge again, and report
			}
		}
	})
	return true
}

func mounts(pod observe.Pod, ref source.Ref) bool {
	for _, mount := range pod.Mounts {
		if mount.Ref == ref {
			return true
		}
	}
	return false
}

func (r *Reloader) nudge(ctx context.Context, pod observe.Pod, text string) error {
	if err := r.pace.Wait(ctx); err != nil {
		return err
	}
	err := r.options.Nudge(ctx, pod, text)
	r.metrics.nudged(err == nil)
	return err
}

// StartReload makes the pods of a workload take up the content of what it uses, which the target names; causes have
// changed, and the content is wanted since then (zero if nobody saw it change). It returns at once; a reload task for
// the same target goes on, one for another is given up.
func (r *Reloader) StartReload(key workload.Key, target string, uses []source.SourceState, causes []decide.Cause, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil {
		return
	}
	if running, ok := r.tasks[key]; ok {
		if running.target == target {
			return
		}
		running.stop()
	}
	ctx, stop := context.WithCancel(r.ctx)
	c := &reloadTask{
		reloader: r, key: key, target: target, uses: uses, causes: causes, since: since, stop: stop, started: time.Now(),
		pods: map[string]*podReload{}, current: decide.InPlace{Sidecar: true},
	}
	r.tasks[key] = c
	r.running.Go(func() { c.run(ctx) })
}

// CancelReload ends the reload task of a workload: it is rolled, has confirmed, or is gone.
func (r *Reloader) CancelReload(key workload.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.tasks[key]; ok {
		c.stop()
		delete(r.tasks, key)
	}
}

// State is what is known of a reload of a workload to a target. asked reports that the template asks for the sidecar.
func (r *Reloader) State(view workload.View, asked bool, target string) decide.InPlace {
	r.mu.Lock()
	c, ok := r.tasks[view.Key]
	r.mu.Unlock()
	if !ok || c.target != target {
		// Whether every pod has the sidecar is found out by trying, since caches of different kinds are not in step.
		return decide.InPlace{Sidecar: asked || len(r.options.Cache.Pods(view.Key)) > 0}
	}
	return c.state()
}
