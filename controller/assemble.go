package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"inpod.dev/inpod/controller/internal/act"
	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/controller/internal/events"
	"inpod.dev/inpod/controller/internal/inplace"
	"inpod.dev/inpod/controller/internal/notice"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/controller/internal/reloader"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/digestkey"
	"inpod.dev/inpod/internal/leader"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/telemetry/kubemetrics"
	"inpod.dev/inpod/internal/version"
	"inpod.dev/inpod/internal/window"
	"inpod.dev/inpod/internal/workload"
)

// assemble makes the queues, then the cache that fills them, then what reads both, and the election.
func (p *parts) assemble(c config.Config, build version.Build, registry prometheus.Registerer, ready *readiness, log *slog.Logger) error {
	ready.not("filling the caches")
	for _, note := range c.Notes() {
		log.Warn("setting without effect", "reason", note)
	}
	clients, err := p.newClients()
	if err != nil {
		return err
	}
	rules, err := p.rules(c)
	if err != nil {
		return err
	}
	p.events = events.New(events.Options{
		Client: p.connection.Client.CoreV1(), Component: "inpod", Log: log, Registerer: registry,
	})
	reloaders := reloader.New(registry, c.MetricsByNamespace)
	queues := queues{
		workloads: reconcile.NewQueue(reconcile.QueueOptions{
			Settle: c.Pace.Settle, SettleMax: c.Pace.SettleMax, Metrics: reloaders.Queue(kubemetrics.NewQueueProvider(registry)),
		}),
		nudges: inplace.NewNudgeQueue(), notices: notice.NewQueue(),
	}
	if p.observer, err = p.observe(c, clients, queues, reloaders, log); err != nil {
		return err
	}
	registry.MustRegister(observe.NewMetrics(p.observer))
	options := reconcile.Options{
		Cache: p.observer, Sources: p.observer, Queue: queues.workloads, Kinds: p.kinds,
		Decide: decide.Decide, Digester: p.digester, Rules: rules, Workers: c.Pace.Workers, BaselineRate: c.Pace.BaselineRate,
		Limits: reconcile.Limits{
			Total: c.Pace.MaxRollouts, PerNamespace: c.Pace.MaxRolloutsPerNamespace, Rate: c.Pace.RolloutRate, Timeout: c.Pace.RolloutTimeout,
		},
		Pods:   (&observe.PodLister{Client: p.connection.Client}).Starts,
		Rested: debug.FreeOSMemory, // deciding many workloads leaves much that is not needed again
		Grace:  grace(c.Election), Emit: p.events.Emit, State: p.events.State, Keys: annotationKeys(c.Keys), Log: log, Registerer: registry, Compat: reloaders,
	}
	cluster := p.clusterWriter(c, clients)
	if options.Writer, err = writer(c, cluster, log); err != nil {
		return err
	}
	if options.Alert, err = p.alerts(c, registry, log); err != nil {
		return err
	}
	term := leading{observer: p.observer, writer: cluster, keys: digestkey.NewKeeper(digestkey.KeeperOptions{
		Client: p.connection.Client, Namespace: p.namespace, Name: c.DigestKeySecret, Key: p.key, Log: log, Registerer: registry,
	}), reporter: notice.New(notice.Options{
		Cluster: p.observer, Queue: queues.notices, Kinds: p.kinds, Event: p.events.State, Log: log,
	})}
	if c.InPlace.Enabled {
		term.texts = &reconcile.NudgeTexts{Cache: p.observer, Rules: rules, Digester: p.digester}
		term.asker = inplace.NewAsker(p.key, p.ways(c)...)
		term.asker.Foreign = term.keys.Doubt
		term.reloader = inplace.New(inplace.Options{
			Cache: p.observer, Ask: term.asker.Status, Nudge: (&inplace.Nudger{Client: clients.writes, FieldManager: act.FieldManager}).Nudge,
			Nudges: queues.nudges, NudgeText: term.texts.Of,
			Enqueue:  func(key workload.Key) { queues.workloads.Enqueue(key, observe.WorkloadChanged) },
			Deadline: c.InPlace.Deadline, Settle: c.Pace.Settle, NudgeRate: c.InPlace.NudgeRate, Log: log, Registerer: registry,
		})
		options.InPlace = term.reloader
	}
	if c.MetaInfo {
		info := metaInfo(c, build)
		term.publish = func(ctx context.Context) { publish(ctx, p.connection.Client.CoreV1(), info, log) }
	}
	term.loop = reconcile.New(options)
	return p.elect(c, term.run, registry, log)
}

// queues hold what is to be done. They exist before anything that fills or empties them.
type queues struct {
	workloads *reconcile.Queue
	nudges    *inplace.NudgeQueue
	notices   *notice.Queue
}

// clients are those beside the connection's own.
type clients struct {
	writes metadata.Interface
	reads  dynamic.Interface
}

func (p *parts) newClients() (c clients, err error) {
	if c.writes, err = metadata.NewForConfig(p.connection.Config); err != nil {
		return clients{}, err
	}
	c.reads, err = dynamic.NewForConfig(p.connection.Config)
	return c, err
}

// rules are what decisions depend on besides the workload.
func (p *parts) rules(c config.Config) (decide.Options, error) {
	windows := window.Windows{}
	if c.Pace.Window != "" {
		var err error
		if windows, err = window.Parse(c.Pace.Window); err != nil {
			return decide.Options{}, fmt.Errorf("--window: %w", err)
		}
	}
	return decide.Options{
		AutoAll: c.Reload.AutoAll, OnCreate: c.Reload.OnCreate, OnDelete: c.Reload.OnDelete, NotifyOnly: c.Pace.NotifyOnly, Windows: windows,
		Webhook: c.Webhook.URL != "", Ignored: c.Ignored(), Filtered: c.Scope.SourceSelector != "",
		Evict: c.InPlace.Enabled && c.InPlace.Evict, RollUnreachable: c.InPlace.Unreachable == config.RollUnreachable,
	}, nil
}

// observe makes the cache of the cluster.
func (p *parts) observe(c config.Config, clients clients, queues queues, reloaders *reloader.Metrics, log *slog.Logger) (*observe.Observer, error) {
	namespaces, selector := c.Watched()
	return observe.New(observe.Options{
		Client: p.connection.Client, Dynamic: clients.reads, Metadata: clients.writes, Keys: annotationKeys(c.Keys), Kinds: p.kinds, Log: log, Pods: c.InPlace.Enabled,
		Namespaces: slices.DeleteFunc(namespaces, p.isMissing), NamespaceSelector: selector, NamespaceDefaults: c.Defaults(), IgnoredNamespaces: c.Scope.IgnoredNamespaces,
		Sources: c.Sources(), SourceSelector: c.Scope.SourceSelector, Seen: reloaders.Seen,
		SelectorLabels: slices.Concat(labelsIn(c.Scope.NamespaceSelector), labelsIn(c.Scope.SourceSelector)),
		Enqueue: func(key workload.Key, change observe.Change) {
			queues.workloads.Enqueue(key, change)
			if change == observe.WorkloadChanged { // its pods may have been seen before it
				queues.notices.Add(observe.Subject{Workload: key})
			}
		},
		NudgeNow: queues.nudges.Add, Mistaken: queues.workloads.Mistaken, Skipped: queues.notices.Add,
	})
}

// clusterWriter is what changes the cluster.
func (p *parts) clusterWriter(c config.Config, clients clients) *act.Writer {
	return &act.Writer{
		Client: clients.writes, Digester: p.digester, Kinds: p.kinds, Strategy: c.Reload.Strategy, PausedAt: c.Keys.PausedAt,
		Jobs: p.connection.Client.BatchV1(), Evictions: p.connection.Client.PolicyV1(),
	}
}

// writer is what changes the cluster, or what asks a webhook to.
func writer(c config.Config, cluster *act.Writer, log *slog.Logger) (reconcile.Writer, error) {
	if c.Webhook.URL == "" {
		return cluster, nil
	}
	poster, err := alert.NewPoster(c.Webhook.URL, c.Webhook.Proxy)
	if err != nil {
		return nil, fmt.Errorf("the webhook: %w", err)
	}
	log.Info("delegating rollouts to the webhook")
	return &act.Delegate{Writer: cluster, Post: poster.Post}, nil
}

// alerts returns what has an alert sent; nil where alerts are switched off.
func (p *parts) alerts(c config.Config, registry prometheus.Registerer, log *slog.Logger) (send func(alert.Message), err error) {
	if !c.Alert.Enabled {
		return nil, nil
	}
	p.alerter, err = alert.New(alert.Options{
		Sink: c.Alert.Sink, URL: c.Alert.URL, Proxy: c.Alert.Proxy, Info: c.Alert.Info, Log: log, Registerer: registry,
	})
	if err != nil {
		return nil, fmt.Errorf("alerts: %w", err)
	}
	return p.alerter.Send, nil
}

// leading is what runs while this replica leads.
type leading struct {
	keys     *digestkey.Keeper
	loop     *reconcile.Loop
	writer   *act.Writer
	observer *observe.Observer
	reporter *notice.Reporter
	// reloader, asker and texts are nil where reloads in the pods are switched off.
	reloader *inplace.Reloader
	asker    *inplace.Client
	texts    *reconcile.NudgeTexts
	publish  func(ctx context.Context) // nil for nothing
}

// run runs everything until ctx ends.
func (l leading) run(ctx context.Context) { withKey(ctx, l.keys, l.takeKey, l.work) }

// withKey works until ctx ends. The digest key is read and taken first: it may have been replaced since this process read
// it. Where it is replaced later the work ends, and begins again with the new one.
func withKey(ctx context.Context, keys *digestkey.Keeper, take func(), work func(context.Context)) {
	keys.Renew(ctx)
	for ctx.Err() == nil {
		take()
		span, end := context.WithCancel(ctx)
		var tasks sync.WaitGroup
		tasks.Go(func() {
			if keys.Replaced(span, 0) {
				end()
			}
		})
		work(span)
		end()
		tasks.Wait()
	}
}

// takeKey has everything use the current digest key. None of it runs.
func (l leading) takeKey() {
	key := l.keys.Key()
	digester, err := source.NewDigester(key)
	if err != nil {
		return // digestkey accepts no such key
	}
	l.writer.Digester = digester
	l.loop.SetDigester(digester)
	if l.reloader != nil {
		l.texts.Digester = digester
		l.asker.SetKey(key)
	}
}

// work does what a leader does until ctx ends.
func (l leading) work(ctx context.Context) {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	tasks.Go(func() { l.reporter.Run(ctx) })
	tasks.Go(func() { l.observer.CompareWithLists(ctx, l.loop.EventsLost) })
	if l.publish != nil {
		tasks.Go(func() { l.publish(ctx) })
	}
	if l.reloader != nil {
		l.reloader.Lead(ctx, l.loop.Run)
		return
	}
	l.loop.Run(ctx)
}

// elect makes the election that has this replica lead.
func (p *parts) elect(c config.Config, lead func(context.Context), registry prometheus.Registerer, log *slog.Logger) (err error) {
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
