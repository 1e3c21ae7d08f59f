// Package inplace carries out a reload in the pods: it makes the kubelets bring new content at once, asks the sidecars
// for the result, and aggregates their replies for the decision. It decides nothing itself.
//
//	a source changed ──► NudgeQueue: nudge the pods that mount it, before anything has settled
//	the decision is a reload ──► StartReload(target): a reload task
//	     nudge ─► ask ─► evaluate the reply ─► again, for each pod that has not confirmed
//	     a verdict ──► Enqueue(workload) ──► State(target) in the next decision
//
// Nudges wait in a queue of their own, one for each pod: see [pendingNudges]. A reload task never waits for one, so
// that what it knows is never older than a round of questions.
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
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

const (
	// questionsAtOnce bounds the questions under way, over all workloads and ways. Those of nudges come on top: nudges have a
	// bound of their own, and wait for nobody else's questions.
	questionsAtOnce = 256
	// reloadSlack is how long the proof of a reload may take after its attempt.
	reloadSlack = 100 * time.Millisecond
	// longestInterval is the longest time for which a nudge waits because its pod has just been nudged.
	longestInterval = lastNudge
)

// Cache is what is known of the cluster: [observe.Observer].
type Cache interface {
	Workload(key workload.Key) (observe.Workload, bool)
	Pods(key workload.Key) []observe.Pod
	Source(ref source.Ref) *source.Snapshot
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
	// Settle is the quiet time of workloads that have none of their own: a pod is nudged once in it at most.
	Settle time.Duration
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
	// questions bounds those that are under way, over all workloads.
	questions *places
	// shared is the pace for what is in no namespace.
	shared *rate.Limiter

	// takes is how long applications took lately from new content to the reload, in nanoseconds.
	takes atomic.Int64

	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // that of the term of leadership, see Lead
	tasks   map[workload.Key]*reloadTask
	nudges  *pendingNudges // of the term
	running sync.WaitGroup
}

// New returns a reloader that does nothing until [Reloader.Lead].
func New(options Options) *Reloader {
	r := &Reloader{
		options: options, metrics: newMetrics(options.Registerer),
		questions: newPlaces(questionsAtOnce),
		pace:      rate.NewLimiter(rate.Limit(options.NudgeRate), max(1, int(options.NudgeRate))),
		shared:    rate.NewLimiter(rate.Limit(options.NudgeRate/2), max(1, int(options.NudgeRate/2))),
	}
	r.nudges = newPendingNudges(r.pace, r.metrics, r.options.Log)
	return r
}

// Lead lets reload tasks run until ctx ends, and returns when none runs any more. It calls work meanwhile.
func (r *Reloader) Lead(ctx context.Context, work func(context.Context)) {
	r.mu.Lock()
	r.ctx, r.tasks, r.nudges = ctx, map[workload.Key]*reloadTask{}, newPendingNudges(r.pace, r.metrics, r.options.Log)
	nudges := r.nudges
	r.mu.Unlock()
	changes := workqueue.NewTyped[changedSource]()
	r.options.Nudges.changes.Start(changes)
	r.running.Go(func() { r.nudgeEarly(changes) })
	r.running.Go(func() { nudges.run(ctx, r.nudge) })
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

// hurry has the pods of a workload nudged that mount a source.
func (r *Reloader) hurry(key workload.Key, ref source.Ref, text string) {
	pods := r.options.Cache.Pods(key)
	r.mu.Lock()
	nudges, leads := r.nudges, r.ctx != nil
	r.mu.Unlock()
	if !leads {
		return
	}
	interval, now := r.settle(key), time.Now()
	for _, pod := range pods {
		if pod.Over || pod.Lost || !mounts(pod, ref) {
			continue
		}
		if ref.Kind.ClusterScoped() && !r.shared.Allow() {
			r.metrics.left()
			continue // the reload task looks whether it is still needed
		}
		nudges.add(pendingNudge{
			pod: pod, key: key, ref: ref, text: text, asked: now, needed: func(ctx context.Context, stale bool) bool { return !stale || r.lacks(ctx, pod, ref) },
		}, interval)
	}
}

// lacks asks a pod whether it has the files of a source.
func (r *Reloader) lacks(ctx context.Context, pod observe.Pod, ref source.Ref) bool {
	snapshot := r.options.Cache.Source(ref)
	if snapshot == nil {
		return true
	}
	cause := decide.Cause{Ref: ref, Diff: source.Diff{Created: true, Changes: []source.Change{{}}}}
	want := expected(pod, []source.SourceState{{Usages: source.SourceUsages{Ref: ref}, Snapshot: snapshot}}, []decide.Cause{cause})
	if len(want.files) == 0 || !pod.Running || pod.Address == "" {
		return true
	}
	return r.hasNot(ctx, pod, want, math.MaxInt64)
}

// hasNot asks a pod, for a nudge, whether its kubelet has not brought what is expected, which came to be wanted so long ago. It
// is asked by [nudgesAtOnce] nudges at most, beside all other questions. Where it does not answer it may need the nudge.
func (r *Reloader) hasNot(ctx context.Context, pod observe.Pod, want expectation, age time.Duration) bool {
	reply, err := r.options.Ask(ctx, pod, want.ask())
	if err != nil {
		return true
	}
	_, refreshed := evaluateReply(reply, want, age, pod.Started)
	return !refreshed
}

// ask asks the sidecar of a pod, as soon as there are not too many questions under way. at is when that was.
func (r *Reloader) ask(ctx context.Context, pod observe.Pod, want Question) (reply sidecarapi.Response, at time.Time, err error) {
	leave, err := r.questions.admit(ctx, pod)
	if err != nil {
		return sidecarapi.Response{}, time.Now(), err
	}
	defer leave()
	at = time.Now()
	reply, err = r.options.Ask(ctx, pod, want)
	return reply, at, err
}

// reloadTakes is how long an application probably takes from new content to the reload.
func (r *Reloader) reloadTakes() time.Duration { return time.Duration(r.takes.Load()) }

// expectDone learns from a reply how long applications take, and returns when the one of the reply has probably reloaded; zero
// where it has, or should have. Only the distance of a sidecar's times is used, since its clock is another one.
func (r *Reloader) expectDone(reply sidecarapi.Response, refreshed bool, now time.Time) time.Time {
	const weight = 8 // of what was known, against one more reply
	took := reply.AttemptAt.Sub(reply.Changed)
	switch {
	case reply.Changed.IsZero():
	case reply.Result == sidecarapi.Applied && took > 0 && took < lastPause:
		known := r.takes.Load()
		if known == 0 {
			known = int64(took + reloadSlack)
		}
		r.takes.Store(known + (int64(took+reloadSlack)-known)/weight) // one that is lost makes no difference
	case refreshed && reply.Result == sidecarapi.Pending:
		if left := r.reloadTakes() - max(0, reply.At.Sub(reply.Changed)); left > 0 {
			return now.Add(left)
		}
	}
	return time.Time{}
}

// settle is the quiet time of a workload, within [longestInterval].
func (r *Reloader) settle(key workload.Key) time.Duration {
	settle := r.options.Settle
	if w, ok := r.options.Cache.Workload(key); ok && w.Policy.Pacing.Settle != nil {
		settle = *w.Policy.Pacing.Settle
	}
	return min(settle, longestInterval)
}

func mounts(pod observe.Pod, ref source.Ref) bool {
	for _, mount := range pod.Mounts {
		if mount.Ref == ref {
			return true
		}
	}
	return false
}

func (r *Reloader) nudge(ctx context.Context, n *pendingNudge) error {
	err := r.options.Nudge(ctx, n.pod, n.text)
	if err != nil && ctx.Err() == nil && n.by != nil { // an early one is nudged for again, by a task
		r.options.Log.Warn("nudge failed, waiting for the kubelet", "workload", n.key, "pod", n.pod.Name, "upTo", "90s", "error", err)
	}
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
		reloader: r, key: key, target: target, uses: uses, causes: causes, since: since, ctx: ctx, stop: stop, started: time.Now(),
		wake: make(chan struct{}, 1), pods: map[string]*podReload{}, current: decide.InPlace{Sidecar: true},
	}
	r.tasks[key] = c
	r.running.Go(func() { r.runSafely(ctx, c) })
}

// runSafely runs a reload task. A panic in it ends that task and nothing else: the next decision begins another one.
func (r *Reloader) runSafely(ctx context.Context, c *reloadTask) {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		r.metrics.panics.Inc()
		r.options.Log.Error("recovered from panic, will retry this reload", "workload", c.key, "panic", fault, "stack", string(debug.Stack()))
		c.sleep(ctx, slowPause) // what made it panic may be there again
		r.mu.Lock()
		if r.tasks[c.key] == c {
			delete(r.tasks, c.key)
		}
		r.mu.Unlock()
		if ctx.Err() == nil {
			r.options.Enqueue(c.key)
		}
	}()
	c.run(ctx)
}

// Evicted says that a pod of a workload is evicted: the reload task waits for the one that takes its place.
func (r *Reloader) Evicted(key workload.Key, pod types.UID) {
	r.mu.Lock()
	c, ok := r.tasks[key]
	r.mu.Unlock()
	if ok {
		c.evict(pod)
	}
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
