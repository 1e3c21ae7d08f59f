package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/controller/internal/events"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/digestkey"
	"inpod.dev/inpod/internal/kube"
	"inpod.dev/inpod/internal/leader"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/telemetry"
	"inpod.dev/inpod/internal/telemetry/kubemetrics"
	"inpod.dev/inpod/internal/telemetry/profiling"
	"inpod.dev/inpod/internal/version"
	"inpod.dev/inpod/internal/workload"
)

// serve runs until ctx ends or a part fails.
func serve(ctx context.Context, c config.Config, build version.Build, getenv func(string) string, log *slog.Logger) error {
	registry := telemetry.NewRegistry(build)
	if err := kubemetrics.RegisterREST(registry); err != nil {
		return err
	}
	parent := ctx
	ctx, fail := context.WithCancelCause(parent)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer fail(nil)
	// failure is what ended ctx; nil when the program was asked to stop.
	failure := func() error {
		if parent.Err() != nil {
			return nil //nolint:nilerr // it was asked to stop
		}
		return context.Cause(ctx)
	}
	start := func(task func(context.Context) error) {
		tasks.Go(func() {
			if err := task(ctx); err != nil {
				fail(err)
			}
		})
	}

	// The endpoints answer from the first moment, so that a probe can see what the program waits for.
	var ready readiness
	ready.not("connecting to the API server")
	endpoints := telemetry.NewServer("controller", c.ListenAddress, log,
		telemetry.Metrics(registry), telemetry.Live(func() error { return nil }), telemetry.Ready(ready.check))
	servers := []*telemetry.Server{endpoints}
	if c.Pprof.Enabled {
		servers = append(servers, profiling.NewServer(c.Pprof.Address, log))
	}
	for _, server := range servers {
		if err := server.Listen(ctx); err != nil {
			return err
		}
		start(server.Run)
	}

	part, err := connect(ctx, c, build, getenv, &ready, log)
	switch {
	case parent.Err() != nil:
		return nil // asked to stop meanwhile
	case err != nil:
		return cmp.Or(failure(), err)
	}
	c.Pod.Namespace = part.namespace
	if err := part.assemble(c, build, registry, &ready, log); err != nil {
		return err
	}
	// Events outlive ctx, so that what the last rollouts have to report is written when everything else has stopped.
	eventsCtx, stopEvents := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEvents()
	tasks.Go(func() { part.events.Run(eventsCtx) })
	if part.alerter != nil {
		tasks.Go(func() { part.alerter.Run(eventsCtx) })
	}
	start(func(ctx context.Context) error { part.observer.Run(ctx); return nil })
	for _, namespace := range part.missing {
		start(func(ctx context.Context) error {
			return part.include(ctx, namespace.name, watching(c, part.kinds, namespace.name), log)
		})
	}
	if part.observer.WaitForSync(ctx) {
		log.Info("informer caches synced")
		debug.FreeOSMemory() // what was read to fill them is garbage, and more than will be needed again
		ready.yes(part.elector.Err)
		part.elector.Run(ctx)
	}
	return failure()
}

// parts are what the program is made of.
type parts struct {
	connection *kube.Connection
	key        []byte // of all digests, at the start
	digester   source.Digester
	kinds      workload.Table
	namespace  string
	missing    []missingNamespace // those that are left out for now
	observer   *observe.Observer
	elector    *leader.Elector
	events     *events.Writer
	alerter    *alert.Alerter // nil where alerts are switched off
}

// connect reaches the cluster, asks for the permissions, and gets the key of all digests.
func connect(ctx context.Context, c config.Config, build version.Build, getenv func(string) string, ready *readiness, log *slog.Logger) (*parts, error) {
	p := &parts{}
	var err error
	if p.kinds, err = c.Kinds.Table(); err != nil {
		return nil, err
	}
	p.connection, err = kube.Connect(ctx, kube.Options{
		Kubeconfig: c.Kubernetes.Kubeconfig, Getenv: getenv, UserAgent: "inpod-controller/" + build.Version,
		QPS: c.Kubernetes.QPS, Burst: c.Kubernetes.Burst, Log: log,
	})
	if err != nil {
		return nil, err
	}
	if p.namespace, err = ownNamespace(c.Pod, serviceAccountNamespace); err != nil {
		return nil, err
	}
	ready.not("asking for permissions")
	err = p.connection.Probe(ctx, requirements(c, p.kinds, p.namespace))
	if p.missing, err = missingNamespaces(c, p.kinds, err); err != nil {
		return nil, err
	}
	for _, namespace := range p.missing {
		log.Warn("permissions missing in namespace, skipping", "namespace", namespace.name, "error", namespace.why)
	}
	p.key, err = digestkey.Ensure(ctx, p.connection.Client, p.namespace, c.DigestKeySecret)
	if err != nil {
		return nil, err
	}
	p.digester, err = source.NewDigester(p.key)
	return p, err
}

// readiness is the answer to /ready.
type readiness struct {
	state atomic.Pointer[telemetry.Check]
}

// not says what the program waits for.
func (r *readiness) not(why string) {
	check := telemetry.Check(func() error { return errors.New(why) })
	r.state.Store(&check)
}

// yes says that the program works as long as the check is well.
func (r *readiness) yes(check telemetry.Check) { r.state.Store(&check) }

func (r *readiness) check() error { return (*r.state.Load())() }
