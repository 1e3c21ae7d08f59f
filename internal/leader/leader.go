// Package leader decides whether this replica may act on the cluster.
//
// Replicas compete for one Lease in their own namespace. Whoever holds it leads; the others follow and try again. A
// leader that cannot renew becomes a follower again, in the same process:
//
//	follow ──got the lease──► lead: OnStart(ctx) ──┬─ stop asked ──► ctx ends, OnStart returns, lease released
//	   ▲                                           └─ lease lost ──► ctx ends, OnStart returns ──┐
//	   └────────────────────────────────────────────────────────────────────────────────────────┘
//
// The order matters twice. The lease is given up only after OnStart has returned, because a write that is still under
// way must not meet those of the next leader. And the context of OnStart ends when the renew deadline has passed since
// the last renewal, which is before the lease expires for the others.
package leader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"

	"inpod.dev/inpod/internal/telemetry/kubelog"
)

// Options are what an [Elector] needs. All fields are required but OnStart.
type Options struct {
	Client    coordinationclient.LeasesGetter
	Namespace string // of the Lease
	Name      string // of the Lease
	Identity  string // of this replica, unique among all that compete: the name of the pod

	LeaseDuration time.Duration
	RenewDeadline time.Duration
	RetryPeriod   time.Duration

	// OnStart runs each time this replica begins to lead. Its context ends when leadership does, and it must return
	// soon after, since until then the lease is not released. When it returns earlier the replica leads on.
	OnStart func(ctx context.Context)

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Elector takes part in an election, or leads without one.
type Elector struct {
	options Options
	always  bool
	leading atomic.Bool
	gauge   prometheus.Gauge

	mu      sync.Mutex
	trouble *trouble // nil when the Lease can be used
	holder  string   // who led when the Lease was read the last time
}

// New returns an elector that follows until [Elector.Run] wins the Lease. The error says which option is wrong.
func New(options Options) (*Elector, error) {
	if options.Namespace == "" || options.Name == "" || options.Identity == "" {
		return nil, fmt.Errorf("leader election needs the namespace and name of a Lease and an identity, and got %q, %q and %q",
			options.Namespace, options.Name, options.Identity)
	}
	e := newElector(options)
	// client-go checks the durations; asking it here finds a mistake at the start and not in a goroutine.
	if _, err := leaderelection.NewLeaderElector(e.electionConfig(newTerm(e), func(context.Context) {})); err != nil {
		return nil, fmt.Errorf("leader election on Lease %s/%s: %w", options.Namespace, options.Name, err)
	}
	options.Registerer.MustRegister(e.gauge)
	return e, nil
}

// Always returns an elector that leads from the start, for a single replica. It calls OnStart (which may be nil) once,
// from Run.
func Always(onStart func(ctx context.Context), log *slog.Logger, registerer prometheus.Registerer) *Elector {
	e := newElector(Options{OnStart: onStart, Log: log, Registerer: registerer})
	e.always = true
	e.setLeading(true)
	registerer.MustRegister(e.gauge)
	return e
}

func newElector(options Options) *Elector {
	if options.OnStart == nil {
		options.OnStart = func(context.Context) {}
	}
	return &Elector{options: options, gauge: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "inpod_leader",
		Help: "1 while this replica leads and acts, 0 while it follows.",
	})}
}

// Leading reports whether this replica may act now.
func (e *Elector) Leading() bool { return e.leading.Load() }

// Holder is the identity of the replica that leads as far as this one knows; "" when there is none or it is unknown.
func (e *Elector) Holder() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.holder
}

// Err says why this replica cannot take part in the election at the moment, for a readiness check; nil when it can.
func (e *Elector) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.trouble == nil {
		return nil
	}
	return e.trouble.err
}

// Run takes part in the election until ctx ends. When it returns, OnStart has returned too and the lease, if this
// replica had it, is released, so that another one takes over within its retry period.
func (e *Elector) Run(ctx context.Context) {
	if e.always {
		defer e.setLeading(false)
		e.options.OnStart(ctx)
		<-ctx.Done()
		return
	}
	e.options.Log.Info("joining leader election",
		"lease", e.lease(), "identity", e.options.Identity)
	for ctx.Err() == nil {
		e.runTerm(ctx)
		// After a loss the others get the first chance.
		wait(ctx, e.options.RetryPeriod)
	}
}

// runTerm follows, leads at most once, and returns when that is over or ctx has ended.
func (e *Elector) runTerm(ctx context.Context) {
	t := newTerm(e)
	// The election outlives ctx, so that the lease is kept until OnStart has returned. client-go logs each failing
	// attempt, so it gets a logger that drops everything: term reports what matters, once.
	election, stopElection := context.WithCancel(kubelog.Silence(context.WithoutCancel(ctx)))
	defer stopElection()
	won := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(e.electionConfig(t, func(context.Context) { close(won) }))
	if err != nil { // New has checked the same configuration
		e.options.Log.Error("joining leader election failed", "error", err)
		return
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		elector.Run(election)
	}()

	select {
	case <-won:
		e.lead(ctx, t, over)
	case <-over:
	case <-ctx.Done():
	}
	t.close()
	stopElection()
	<-over
}

// lead runs OnStart until leadership ends.
func (e *Elector) lead(ctx context.Context, t *term, over <-chan struct{}) {
	work, stopWork := context.WithCancelCause(ctx)
	e.setLeading(true)
	e.options.Log.Info("acquired leadership", "lease", e.lease(), "identity", e.options.Identity)
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.options.OnStart(work)
	}()

	select {
	case <-ctx.Done():
		e.options.Log.Info("releasing leadership to stop", "lease", e.lease())
	case <-t.lost:
		e.warnLost()
	case <-over:
		e.warnLost()
	}
	e.setLeading(false)
	stopWork(errLost)
	<-done
}

func (e *Elector) warnLost() {
	e.options.Log.Warn("lost leadership",
		"lease", e.lease(), "holder", e.Holder(), "renewDeadline", e.options.RenewDeadline, "error", e.Err())
}

var errLost = errors.New("this replica does not lead any more")

func (e *Elector) electionConfig(t *term, onWin func(context.Context)) leaderelection.LeaderElectionConfig {
	return leaderelection.LeaderElectionConfig{
		Lock:            t,
		LeaseDuration:   e.options.LeaseDuration,
		RenewDeadline:   e.options.RenewDeadline,
		RetryPeriod:     e.options.RetryPeriod,
		ReleaseOnCancel: true,
		Name:            e.lease(),
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: onWin,
			OnStoppedLeading: func() {},
			OnNewLeader:      e.observe,
		},
	}
}

// observe notes who leads.
func (e *Elector) observe(holder string) {
	e.mu.Lock()
	changed := holder != e.holder
	e.holder = holder
	e.mu.Unlock()
	if changed && holder != "" && holder != e.options.Identity {
		e.options.Log.Info("following", "lease", e.lease(), "leader", holder)
	}
}

func (e *Elector) setLeading(leading bool) {
	e.leading.Store(leading)
	if leading {
		e.gauge.Set(1)
	} else {
		e.gauge.Set(0)
	}
}

func (e *Elector) lease() string { return e.options.Namespace + "/" + e.options.Name }

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
