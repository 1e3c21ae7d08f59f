// Package reconcile is the loop of the controller: for one workload after
// another it gathers what is known, has it decided, acts and reports.
//
//	Queue (settle; equal keys merge) ──► GATHER ──► decide ──► ACT ──► REPORT
//	  ▲                                                            │
//	  └──────────────── later: back-off, baseline ─────────────────┘
//
// While a workload is written the next one is decided on: a write takes as long as
// the admission webhooks of others do. The writes under way are bounded, and no
// namespace can have all of them.
//
// No decision comes from an event: a key in the queue only asks for a reconciliation. A sweep
// compares every workload with the cache, in case that nobody has asked.
// An error concerns one workload and is retried for that workload alone.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reloader"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// baselineBurst is how many baselines may be written at once before the baseline rate holds.
const baselineBurst = 10

// maxWait is the longest time until a workload that waits for a moment is decided on again. The clock may be set, or the machine
// have been suspended: a timer does not notice.
const maxWait = 5 * time.Minute

// Cache is what is known of the cluster: [observe.Observer].
type Cache interface {
	Workload(key workload.Key) (observe.Workload, bool)
	Workloads() []workload.Key
	Snapshots
	// StaleFor is how long to wait before anything is concluded about a workload, because what it depends on is not current.
	StaleFor(w observe.Workload) time.Duration
}

// Snapshots is what is known of the content of sources.
type Snapshots interface {
	Source(ref source.Ref) *source.Snapshot
	Sources(kind source.Kind, namespace string) []source.Ref
	// Unseen reports whether sources of a kind may be there without being seen.
	Unseen(kind source.Kind) bool
}

// Sources is what is known of objects that are no workloads: [observe.Observer].
type Sources interface {
	// Mistakes are the objects with keys that have no effect.
	Mistakes() []observe.Mistake
	// WorkloadsUsing are the workloads that use or name a source.
	WorkloadsUsing(ref source.Ref) []workload.Key
	// Carries reports whether something in a namespace has a key where it counts.
	Carries(namespace, key string) bool
}

// Writer changes the cluster: [act.Writer]. Most methods return the resource version that they made, 0 if unknown.
type Writer interface {
	Rollout(ctx context.Context, view workload.View, decision decide.Decision, now time.Time) (uint64, error)
	Recorder
	Evictor
	Resume(ctx context.Context, view workload.View) (uint64, error)
	// Recreate carries on with a Job that is recreated, and reports whether nothing is left to do.
	Recreate(ctx context.Context, view workload.View, decision decide.Decision) (done bool, err error)
}

// Recorder writes what is known of a workload.
type Recorder interface {
	Record(ctx context.Context, view workload.View, baseline source.Baseline) (uint64, error)
	RecordNotified(ctx context.Context, view workload.View, key, content string) (uint64, error)
}

// Evictor has pods evicted.
type Evictor interface {
	Evict(ctx context.Context, view workload.View, pod decide.FailedPod) error
}

// InPlace carries out reloads in the pods: [inplace.Reloader].
type InPlace interface {
	State(view workload.View, asked bool, target string) decide.InPlace
	StartReload(key workload.Key, target string, uses []source.SourceState, causes []decide.Cause, since time.Time)
	CancelReload(key workload.Key)
	// Evicted says that a pod is evicted, whose place another one takes.
	Evicted(key workload.Key, pod types.UID)
}

// Options are what a [Loop] needs. All fields are required but InPlace, Pods, Alert and Rested.
type Options struct {
	Cache   Cache
	Sources Sources
	Writer  Writer
	// Kinds are the kinds of workloads that there may be in the cluster.
	Kinds workload.Table
	// InPlace is nil where reloads in the pods are switched off.
	InPlace InPlace
	Decide  func(decide.Input) decide.Decision // decide.Decide
	// Pods lists when the pods of a workload were started: [observe.Pods.Starts]; nil where they cannot be listed.
	Pods     func(context.Context, workload.View) ([]decide.PodStart, error)
	Digester source.Digester
	// Rules also say whether the writer calls a webhook instead of rolling.
	Rules decide.Options

	// Queue holds the workloads to reconcile.
	Queue *Queue
	// Workers is the number of workloads that are decided on at the same time. Those that are written do not count.
	Workers int
	// BaselineRate is the number of baselines per second that are written for workloads without one.
	BaselineRate float64
	// Limits are those on rollouts.
	Limits Limits
	// Grace is what a PATCH that is under way gets when this replica has to stop leading. The next leader may act after it.
	Grace time.Duration

	// Emit has an event written: [events.Writer.Emit]. It must not block.
	Emit func(about *corev1.ObjectReference, kind, reason, message string)
	// State has an event written that says how things are: [events.Writer.State]. It must not block.
	State func(about *corev1.ObjectReference, kind, reason, matter, message string)
	// Keys are those of the annotations, for messages.
	Keys annotation.Keys
	// Alert has an alert sent: [alert.Alerter.Send]; nil for none. It must not block.
	Alert func(alert.Message)
	// Rested is called when few workloads wait for anything after many did, as after a start; nil for nothing.
	Rested     func()
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Compat are Reloader's metrics.
	Compat *reloader.Metrics
}

// Loop reconciles workloads while this replica leads.
type Loop struct {
	options      Options
	metrics      *metrics
	queue        *Queue
	baselineRate *rate.Limiter // of this term: what a former one has reserved is nobody's
	limiter      *rolloutLimiter
	writes       *writeSlots
	deciding     chan struct{} // one for each worker that decides, or reports, and does not write

	mu     sync.Mutex
	states map[workload.Key]*state
}

// New returns a loop that does nothing until [Loop.Run].
func New(options Options) *Loop {
	return &Loop{
		options:  options,
		metrics:  newMetrics(options.Registerer),
		queue:    options.Queue,
		limiter:  newRolloutLimiter(options.Limits, options.Registerer),
		writes:   newWriteSlots(options.Registerer),
		deciding: make(chan struct{}, options.Workers),
	}
}

// SetDigester has the next [Loop.Run] make digests with another key. It must not be called during one.
func (l *Loop) SetDigester(digester source.Digester) { l.options.Digester = digester }

// Run reconciles every workload once, and then those that changes concern, until ctx ends. When it returns no write is
// under way. It may be called again.
func (l *Loop) Run(ctx context.Context) {
	queue := l.queue.start()
	l.mu.Lock()
	l.states = map[workload.Key]*state{}
	l.baselineRate = rate.NewLimiter(rate.Limit(l.options.BaselineRate), baselineBurst)
	l.mu.Unlock()
	l.metrics.pending.Set(0)

	keys := l.options.Cache.Workloads()
	l.limiter.reset(l.rolling(keys, time.Now()))
	l.writes.reset()
	l.options.Log.Info("reconciling all workloads", "workloads", len(keys))
	for _, key := range keys {
		l.restoreSettle(key, time.Now())
		l.queue.Enqueue(key, observe.WorkloadChanged)
	}
	var workers sync.WaitGroup
	workers.Go(func() {
		for {
			key, shutdown := queue.Get()
			if shutdown {
				return
			}
			l.deciding <- struct{}{}
			workers.Go(func() {
				defer func() { <-l.deciding }()
				l.process(ctx, queue, key)
				if l.options.Rested != nil && l.queue.rested() {
					l.options.Rested()
				}
			})
		}
	})
	workers.Go(func() { l.mistakes(ctx) })
	workers.Go(func() { l.sweep(ctx) })
	<-ctx.Done()
	l.queue.stop()
	workers.Wait()
	l.mu.Lock()
	l.states = nil
	l.mu.Unlock()
	l.limiter.reset(nil)
	l.metrics.pending.Set(0)
}

// process handles one workload that was taken from the queue.
func (l *Loop) process(ctx context.Context, queue workqueue.TypedRateLimitingInterface[workload.Key], key workload.Key) {
	defer queue.Done(key)
	if ctx.Err() != nil {
		return // the rest is for the next leader
	}
	defer l.exclusive(key)()
	l.queue.taken(key)
	after, err := l.reconcileSafely(ctx, key)
	if errors.Is(err, errNoWriteSlot) {
		return // it is woken when there is one
	}
	l.queue.addAll(l.writes.Leave(key))
	switch {
	case err != nil:
		l.queue.addAll(l.limiter.Release(key)) // the others need not wait for it
		l.queue.retry(key)
	case after > 0:
		l.queue.again(key, min(after, maxWait)) // what has failed before has not worked yet: its back-off goes on
	default:
		queue.Forget(key)
	}
}

// reconcileSafely handles one workload, and makes an error of a fault in the handling, so that it concerns this workload only.
func (l *Loop) reconcileSafely(ctx context.Context, key workload.Key) (after time.Duration, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%s: panic: %v", key, fault)
			l.metrics.panics.Inc()
			l.options.Log.Error("recovered from panic, will retry this workload",
				"workload", key, "panic", fault, "stack", string(debug.Stack()))
		}
	}()
	return l.reconcile(ctx, key)
}

// reconcile handles one workload. It returns when to reconcile again, 0 for not before something changes.
func (l *Loop) reconcile(ctx context.Context, key workload.Key) (time.Duration, error) {
	edited := l.queue.wasEdited(key)
	w, exists := l.options.Cache.Workload(key)
	if !exists {
		l.drop(key)
		l.forget(key)
		l.queue.addAll(l.limiter.Forget(key))
		return 0, nil
	}
	s := l.begin(key, w)
	s.inputs = 0 // a timer brings it back where it is not decided now
	settling := l.queue.settleRemaining(w)
	if settling > 0 && !edited {
		return settling, nil // what a source is between two writes of one change is not concluded from
	}
	unsettled := max(settling, l.options.Cache.StaleFor(w))
	if s.stale(w, time.Now()) {
		return soonest(unsettled, staleWait), nil // our own last write is not cached yet
	}
	left, next := l.limiter.seen(key, w.View.Rolling || s.evicting, time.Now())
	l.queue.addAll(next)
	after, err := l.decide(ctx, w, s, unsettled)
	return soonest(after, left), err
}

// decide decides on one workload, acts and reports. It returns when to reconcile again.
func (l *Loop) decide(ctx context.Context, w observe.Workload, s *state, unsettled time.Duration) (after time.Duration, err error) {
	key := w.View.Key
	in, persisted := l.gather(w, s)
	s.inputs, s.outcome = inputsOf(w.View, in.Uses), outcome{}
	l.replaced(w, s, in)
	if unsettled > 0 {
		after, err := l.recordBeforeSettled(ctx, w, s, in, persisted, unsettled)
		return soonest(after, unsettled), err
	}
	decision, err := l.decideWithPods(ctx, w, s, &in)
	if err != nil {
		return 0, err
	}
	s.outcome = outcomeOf(decision)
	l.metrics.decided(decision)
	began := time.Now()
	defer func() {
		if !errors.Is(err, errNoWriteSlot) {
			l.options.Compat.Reconciled(decision, err, time.Since(began))
		}
	}()
	patience := l.missingGrace(w, s, decision)
	early := patience > 0
	idle, until := l.idle(w, s, in, decision)
	patience = soonest(patience, until)
	l.report(w, s, decision, remarks{early: early, shared: s.overwritten(w, persisted), idle: idle})
	l.refusalIsMoot(w, s, decision)
	s.evictionIsMoot(decision)
	patience = soonest(patience, l.reportBlocked(w, s, decision))
	if decision.Action != decide.Rollout && decision.Action != decide.Replace {
		l.queue.addAll(l.limiter.Release(key))
	}
	switch decision.Action {
	case decide.Rollout:
		return l.rollout(ctx, w, s, decision)
	case decide.Replace:
		after, err := l.replace(ctx, w, s, decision)
		return soonest(after, decision.After), err
	case decide.Recreate:
		return l.recreate(ctx, w, s, decision)
	case decide.Resume:
		return patience, l.resume(ctx, w, s, decision)
	case decide.Reload:
		l.pursue(w, in, decision)
	case decide.None:
		if !underWay(decision.Reason) && !failedInPlace(in, decision) {
			l.drop(key)
		}
	}
	if w.View.Stray {
		l.remember(w, s, in, decision)
		return soonest(decision.After, patience), nil
	}
	if decision.Waiting().Reason == decide.NotifyOnly {
		if err := l.notify(ctx, w, s, in, decision); err != nil {
			return 0, err
		}
	}
	after, err = l.record(ctx, w, s, decision, persisted)
	return soonest(after, decision.After, patience), err
}

// recordBeforeSettled handles a workload whose sources have not settled. Nothing is rolled yet. But what its pods take
// up by an edit of the template is noted at once: before the sources have settled they may have other content again,
// and nobody would know any more what the pods have. What has to be reported with it waits.
func (l *Loop) recordBeforeSettled(ctx context.Context, w observe.Workload, s *state, in decide.Input, persisted bool, unsettled time.Duration) (time.Duration, error) {
	if settled := in.Now.Add(unsettled); in.NotBefore.Before(settled) {
		in.NotBefore = settled
	}
	in.Unsettled = true
	decision := l.options.Decide(in)
	said := decision.Reason == decide.RolloutUndone || decision.ContentUnknown != ""
	if decision.Action != decide.None || !decision.Record || said || w.View.Stray {
		return 0, nil
	}
	return l.record(ctx, w, s, decision, persisted)
}

// soonest returns the shortest of those that are not 0.
func soonest(waits ...time.Duration) time.Duration {
	var least time.Duration
	for _, wait := range waits {
		if wait > 0 && (least == 0 || wait < least) {
			least = wait
		}
	}
	return least
}

// gather collects what a decision depends on. persisted reports that the workload carries a baseline.
func (l *Loop) gather(w observe.Workload, s *state) (in decide.Input, persisted bool) {
	now := time.Now()
	in = decide.Input{
		Workload: w.View, Policy: w.Policy, Digester: l.options.Digester, Options: l.options.Rules,
		Now: now, NotBefore: s.notBefore(now),
	}
	in.Options.Evict = in.Options.Evict && !s.evictForbidden
	if w.Policy.Pacing.NoBackOff {
		in.NotBefore = time.Time{}
	}
	settle, longest := l.queue.settle(w)
	in.Settle = settle
	if since := l.queue.changedAt(w.View.Key); now.Sub(since) <= longest+settle { // what is older has not settled with the last edit
		in.EditedSince = since
	}
	var ours bool
	in.Baseline, persisted, ours, in.OtherKey = l.baseline(w, s)
	in.HasBaseline = persisted || s.pendingBaseline.is || in.OtherKey
	if ours {
		in.Workload.RestoredBy = "" // nobody has put back the one that counts
	}
	if w.View.Stray {
		in.HasBaseline, in.Ask, in.OtherKey = s.stray != nil, s.stray == nil, false
		if in.HasBaseline {
			in.Baseline = *s.stray
		}
	}
	scopes := decide.Wanted(w.View, w.Policy, in.Baseline, func(kind source.Kind) []source.Ref {
		return l.options.Cache.Sources(kind, w.View.Key.Namespace)
	})
	for _, scope := range scopes {
		snapshot := l.options.Cache.Source(scope.Ref)
		in.Uses = append(in.Uses, source.SourceState{Usages: scope, Snapshot: snapshot, Unseen: in.Options.Unseen(scope.Ref.Kind, snapshot) || snapshot == nil && l.options.Cache.Unseen(scope.Ref.Kind)})
	}
	if l.options.InPlace != nil {
		in.InPlace = l.options.InPlace.State(w.View, w.Policy.Injected, l.target(in))
	}
	switch in.InPlace.Verdict {
	case decide.Overdue, decide.Unreachable, decide.NotUnderstood:
		in.Ask = false // nothing is known to have changed, so that there is nothing to say
	case decide.Unknown, decide.Confirmed, decide.Rejected, decide.NeedsRestart, decide.Failed:
	}
	return in, persisted
}
