package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"inpod.dev/inpod/controller/internal/act"
	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/compat"
	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/controller/internal/decide"
	"inpod.dev/inpod/controller/internal/events"
	"inpod.dev/inpod/controller/internal/inplace"
	"inpod.dev/inpod/controller/internal/notice"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/controller/internal/webhook"
	"inpod.dev/inpod/internal/access"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/digestkey"
	"inpod.dev/inpod/internal/leader"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/telemetry"
	"inpod.dev/inpod/internal/telemetry/kubemetrics"
	"inpod.dev/inpod/internal/telemetry/profiling"
	"inpod.dev/inpod/internal/version"
	"inpod.dev/inpod/internal/window"
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

	// The endpoints answer from the first moment, so that a probe can tell what the program waits for.
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
	if err := part.assemble(c, build, registry, &ready, log); err != nil { //nolint:contextcheck // nudges have the context of the reloader that they hurry
		return err
	}
	// Events outlive ctx, so that what the last rollouts have to tell is written when everything else has stopped.
	telling, hush := context.WithCancel(context.WithoutCancel(ctx))
	defer hush()
	tasks.Go(func() { part.events.Run(telling) })
	if part.alerter != nil {
		tasks.Go(func() { part.alerter.Run(telling) })
	}
	start(func(ctx context.Context) error { part.observer.Run(ctx); return nil })
	for _, namespace := range part.lacking {
		start(func(ctx context.Context) error {
			return part.include(ctx, namespace.name, watching(c, part.kinds, namespace.name), log)
		})
	}
	if part.observer.WaitForSync(ctx) {
		log.Info("the caches hold the cluster")
		debug.FreeOSMemory() // what was read to fill them is garbage, and more than will be needed again
		ready.yes(part.elector.Err)
		part.elector.Run(ctx)
	}
	return failure()
}

// parts are what the program is made of.
type parts struct {
	connection *access.Connection
	key        []byte // of all digests
	sealer     source.Sealer
	kinds      workload.Table
	namespace  string
	lacking    []lackingNamespace // those that are left out for now
	observer   *observe.Observer
	elector    *leader.Elector
	events     *events.Writer
	alerter    *alert.Alerter // nil where alerts are switched off
}

// connect reaches the cluster, asks for the permissions, and gets the key of all digests.
func connect(ctx context.Context, c config.Config, build version.Build, getenv func(string) string, ready *readiness, log *slog.Logger) (*parts, error) {
	p := &parts{namespace: cmp.Or(c.Pod.Namespace, "default")}
	var err error
	if p.kinds, err = c.Kinds.Table(); err != nil {
		return nil, err
	}
	p.connection, err = access.Connect(ctx, access.Options{
		Kubeconfig: c.Kubernetes.Kubeconfig, Getenv: getenv, UserAgent: "inpod-controller/" + build.Version,
		QPS: c.Kubernetes.QPS, Burst: c.Kubernetes.Burst, Log: log,
	})
	if err != nil {
		return nil, err
	}
	ready.not("asking for permissions")
	err = p.connection.Probe(ctx, requirements(c, p.kinds, p.namespace))
	if p.lacking, err = lacking(c, p.kinds, err); err != nil {
		return nil, err
	}
	for _, namespace := range p.lacking {
		log.Warn("a namespace is left out until there are rights in it; the others are followed", "namespace", namespace.name, "error", namespace.why)
	}
	p.key, err = digestkey.Ensure(ctx, p.connection.Client, p.namespace, c.DigestKeySecret)
	if err != nil {
		return nil, err
	}
	p.sealer, err = source.NewSealer(p.key)
	return p, err
}

// assemble makes the picture of the cluster, the loop and the election. The loop hears from the picture, and reads it.
func (p *parts) assemble(c config.Config, build version.Build, registry prometheus.Registerer, ready *readiness, log *slog.Logger) error {
	ready.not("filling the caches")
	writes, err := metadata.NewForConfig(p.connection.Config)
	if err != nil {
		return err
	}
	reads, err := dynamic.NewForConfig(p.connection.Config)
	if err != nil {
		return err
	}
	p.events = events.New(events.Options{
		Client: p.connection.Client.CoreV1(), Component: "inpod", Log: log, Registerer: registry,
	})
	reloaders := compat.New(registry, c.MetricsByNamespace)
	var loop *reconcile.Loop // made before anything runs that could call it
	var reloader *inplace.Reloader
	var reporter *notice.Reporter
	namespaces, selector := c.Watched()
	namespaces = slices.DeleteFunc(namespaces, p.lacks)
	p.observer, err = observe.New(observe.Options{
		Client: p.connection.Client, Dynamic: reads, Keys: annotationKeys(c.Keys), Kinds: p.kinds, Log: log, Pods: c.InPlace.Enabled,
		Namespaces: namespaces, NamespaceSelector: selector, NamespaceDefaults: c.Defaults(), IgnoredNamespaces: c.Scope.IgnoredNamespaces,
		Sources: c.Sources(), SourceSelector: c.Scope.SourceSelector, Seen: reloaders.Seen,
		Notify: func(key workload.Key, change observe.Change) {
			loop.Notify(key, change)
			if change == observe.WorkloadChanged { // its pods may have been seen before it
				reporter.Notify(observe.Subject{Workload: key})
			}
		},
		Mistaken:       func() { loop.Mistaken() },
		SelectorLabels: slices.Concat(labelsIn(c.Scope.NamespaceSelector), labelsIn(c.Scope.SourceSelector)),
		Skipped:        func(subject observe.Subject) { reporter.Notify(subject) },
		Hurry: func(key workload.Key, ref source.Ref) {
			if text, follows := loop.Nudge(key, ref); follows {
				reloader.Hurry(key, ref, text)
			}
		},
	})
	if err != nil {
		return err
	}
	reporter = notice.New(notice.Options{Cluster: p.observer, Kinds: p.kinds, Event: p.events.State, Log: log})
	windows := window.Windows{}
	if c.Pace.Window != "" {
		if windows, err = window.Parse(c.Pace.Window); err != nil {
			return fmt.Errorf("--window: %w", err)
		}
	}
	registry.MustRegister(kept{p.observer})
	for _, note := range c.Notes() {
		log.Warn("a setting has no effect", "why", note)
	}
	options := reconcile.Options{
		World: p.observer, Sources: p.observer,
		Kinds:  p.kinds,
		Writer: &act.Writer{Client: writes, Sealer: p.sealer, Kinds: p.kinds, Strategy: c.Reload.Strategy, PausedAt: c.Keys.PausedAt, Jobs: p.connection.Client.BatchV1()},
		Decide: decide.Decide, Sealer: p.sealer,
		Rules: decide.Options{
			AutoAll: c.Reload.AutoAll, OnCreate: c.Reload.OnCreate, OnDelete: c.Reload.OnDelete, NotifyOnly: c.Pace.NotifyOnly, Windows: windows,
			Webhook: c.Webhook.URL != "", Ignored: c.Ignored(), Filtered: c.Scope.SourceSelector != "",
			RollUnreachable: c.InPlace.Unreachable == config.RollUnreachable,
		},
		Settle: c.Pace.Settle, SettleMax: c.Pace.SettleMax, Workers: c.Pace.Workers, AdoptionRate: c.Pace.AdoptionRate,
		Limits: reconcile.Limits{
			Total: c.Pace.MaxRollouts, PerNamespace: c.Pace.MaxRolloutsPerNamespace, Rate: c.Pace.RolloutRate, Timeout: c.Pace.RolloutTimeout,
		},
		Grace: grace(c.Election), Tell: p.events.Tell, State: p.events.State, Keys: annotationKeys(c.Keys), Log: log, Registerer: registry, Compat: reloaders, QueueMetrics: reloaders.Queue(kubemetrics.NewQueueProvider(registry)),
	}
	if c.Webhook.URL != "" {
		poster, err := alert.NewPoster(c.Webhook.URL, c.Webhook.Proxy)
		if err != nil {
			return fmt.Errorf("the webhook: %w", err)
		}
		options.Writer = &webhook.Writer{Cluster: options.Writer, Post: poster.Post}
		log.Info("rollouts are handed over to a webhook: nothing is rolled")
	}
	if c.Alert.Enabled {
		p.alerter, err = alert.New(alert.Options{
			Sink: c.Alert.Sink, URL: c.Alert.URL, Proxy: c.Alert.Proxy, Info: c.Alert.Info, Log: log, Registerer: registry,
		})
		if err != nil {
			return fmt.Errorf("alerts: %w", err)
		}
		options.Alert = p.alerter.Send
	}
	lead := func(ctx context.Context) { loop.Run(ctx) }
	if c.MetaInfo {
		info := metaInfo(c, build)
		lead = func(ctx context.Context) {
			var publishing sync.WaitGroup
			publishing.Go(func() { publish(ctx, p.connection.Client.CoreV1(), info, log) })
			loop.Run(ctx)
			publishing.Wait()
		}
	}
	if c.InPlace.Enabled {
		reloader = inplace.New(inplace.Options{
			World: p.observer, Ask: inplace.NewAsker(p.key, p.ways(c)...).Ask, Nudge: (&inplace.Nudger{Client: writes, FieldManager: act.FieldManager}).Nudge,
			Notify:   func(key workload.Key) { loop.Notify(key, observe.WorkloadChanged) },
			Deadline: c.InPlace.Deadline, NudgeRate: c.InPlace.NudgeRate, Log: log, Registerer: registry,
		})
		options.InPlace = reloader
		run := lead
		lead = func(ctx context.Context) { reloader.Lead(ctx, run) }
	}
	work := lead
	lead = func(ctx context.Context) {
		var reporting sync.WaitGroup
		reporting.Go(func() { reporter.Run(ctx) })
		work(ctx)
		reporting.Wait()
	}
	loop = reconcile.New(options)
	if !c.Election.Enabled {
		p.elector = leader.Always(lead, log, registry)
		return nil
	}
	p.elector, err = leader.New(leader.Options{
		Client: p.connection.Client.CoordinationV1(), Namespace: p.namespace, Name: c.Election.LeaseName, Identity: c.Pod.Name,
		LeaseDuration: c.Election.LeaseDuration, RenewDeadline: c.Election.RenewDeadline, RetryPeriod: c.Election.RetryPeriod,
		OnStart: lead, Log: log, Registerer: registry,
	})
	return err
}

// ways are those by which sidecars are reached.
func (p *parts) ways(c config.Config) []inplace.Way {
	var ways []inplace.Way
	if c.InPlace.Through != config.PortForward {
		ways = append(ways, inplace.Direct(p.namespace))
	}
	if c.InPlace.Through != config.Direct {
		ways = append(ways, inplace.Forward(p.connection.Config, p.connection.Client.CoreV1().RESTClient()))
	}
	return ways
}

// grace is how long a write that is under way may go on when this replica does not lead any more: less than the time from
// the renew deadline to the moment at which another replica may lead.
func grace(e config.Election) time.Duration {
	const enough = 3 * time.Second
	if !e.Enabled {
		return enough
	}
	return min(enough, (e.LeaseDuration-e.RenewDeadline)*3/4)
}

// annotationKeys are the default keys with what the settings change.
func annotationKeys(k config.Keys) annotation.Keys {
	keys := annotation.DefaultKeys()
	keys.Auto, keys.Search, keys.Match, keys.Ignore = k.Auto, k.Search, k.Match, k.Ignore
	keys.PausePeriod, keys.PausedAt = k.PausePeriod, k.PausedAt
	maps.Copy(keys.AutoKind, map[source.Kind]string{source.ConfigMap: k.ConfigMapAuto, source.Secret: k.SecretAuto})
	maps.Copy(keys.Named, map[source.Kind]string{source.ConfigMap: k.ConfigMap, source.Secret: k.Secret})
	return keys
}

// labelsIn are the keys of the labels in a selector.
func labelsIn(selector string) []string {
	requirements, err := labels.ParseToRequirements(selector)
	if err != nil {
		return nil // the settings were checked
	}
	var keys []string
	for i := range requirements {
		keys = append(keys, requirements[i].Key())
	}
	return keys
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
