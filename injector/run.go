package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/kubernetes"

	"inpod.dev/inpod/injector/internal/admission"
	"inpod.dev/inpod/injector/internal/certs"
	"inpod.dev/inpod/injector/internal/config"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/digestkey"
	"inpod.dev/inpod/internal/inject"
	"inpod.dev/inpod/internal/kube"
	"inpod.dev/inpod/internal/leader"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/telemetry"
	"inpod.dev/inpod/internal/telemetry/kubemetrics"
	"inpod.dev/inpod/internal/telemetry/profiling"
	"inpod.dev/inpod/internal/version"
)

// nativeSince is the first version in which native sidecars are on (KEP-753).
const nativeSince = "1.29.0"

// The Lease: how long a silent leader keeps the others away, how long it tries to renew, and how often.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// injector is what the program is made of.
type injector struct {
	config   config.Config
	log      *slog.Logger
	registry *prometheus.Registry
	ready    readiness

	fail  context.CancelCauseFunc // ends the program
	tasks sync.WaitGroup
}

// serve runs until ctx ends or a part fails.
func serve(ctx context.Context, c config.Config, build version.Build, getenv func(string) string, log *slog.Logger) error {
	registry := telemetry.NewRegistry(build)
	if err := kubemetrics.RegisterREST(registry); err != nil {
		return err
	}
	running, fail := context.WithCancelCause(ctx)
	in := &injector{config: c, log: log, registry: registry, fail: fail}
	defer in.tasks.Wait()
	defer fail(nil)
	err := in.run(running, kube.Options{
		Kubeconfig: c.Kubernetes.Kubeconfig, Getenv: getenv, UserAgent: "inpod-injector/" + build.Version,
		QPS: c.Kubernetes.QPS, Burst: c.Kubernetes.Burst, Log: log,
	})
	if asked := context.Cause(ctx); asked != nil {
		log.Info("stopping", "cause", asked)
		return nil
	}
	if failure := context.Cause(running); failure != nil {
		return failure
	}
	return err
}

// run starts all parts and waits until the program ends.
func (in *injector) run(ctx context.Context, cluster kube.Options) error {
	if err := in.listen(ctx); err != nil {
		return err
	}
	connection, err := kube.Connect(ctx, cluster)
	if err != nil {
		return err
	}
	if err := in.assemble(ctx, connection); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// start runs a task until the program ends; its failure ends the program.
func (in *injector) start(ctx context.Context, task func(context.Context) error) {
	in.tasks.Go(func() {
		if err := task(ctx); err != nil {
			in.fail(err)
		}
	})
}

// listen serves the endpoints from the first moment, so that a probe can see what the program waits for.
func (in *injector) listen(ctx context.Context) error {
	in.ready.not("connecting to the API server")
	servers := []*telemetry.Server{telemetry.NewServer("injector", in.config.ListenAddress, in.log,
		telemetry.Metrics(in.registry), telemetry.Live(func() error { return nil }), telemetry.Ready(in.ready.check))}
	if in.config.Pprof.Enabled {
		servers = append(servers, profiling.NewServer(in.config.Pprof.Address, in.log))
	}
	for _, server := range servers {
		if err := server.Listen(ctx); err != nil {
			return err
		}
		in.start(ctx, server.Run)
	}
	return nil
}

// assemble starts certificate and webhook.
func (in *injector) assemble(ctx context.Context, connection *kube.Connection) error {
	in.ready.not("asking for permissions")
	if err := connection.Probe(ctx, requirements(in.config)); err != nil {
		return err
	}
	keys, err := in.keys(ctx, connection)
	if err != nil {
		return err
	}
	served, certified, err := in.certificate(ctx, connection)
	if err != nil {
		return err
	}
	limits, err := in.limits(ctx, connection)
	if err != nil {
		return err
	}
	questions, err := admission.NewClient(connection.Config)
	if err != nil {
		return err
	}
	handler := &admission.Handler{
		Inject: inject.Inject, Options: in.options(connection), ConfirmKey: in.confirmKey(ctx, keys),
		Defaults: admission.NewNamespaces(questions).Defaults,
		Excluded: in.excluded, Limits: limits, Refused: in.refused(questions),
		Metrics: admission.NewMetrics(in.registry), Log: in.log,
	}
	serving, checks := served.Config(), []telemetry.Check{certified}
	if file := in.config.Clients.CAFile; file != "" {
		clients := certs.NewClients(file, in.config.Clients.Names, in.log, in.registry)
		clients.Require(serving)
		checks = append(checks, clients.Check)
	}
	server := &admission.Server{
		Address: in.config.Webhook.Address, TLS: serving, Handler: handler, Drain: in.config.Webhook.Drain, Log: in.log,
	}
	if err := server.Listen(ctx); err != nil {
		return err
	}
	in.start(ctx, server.Run)
	in.ready.yes(telemetry.AllOf(append(checks, server.Check)...))
	return nil
}

// keyInterval is how often the digest key is read again. Pods that are created meanwhile get the former public key, with
// which a controller that has just started cannot read what their sidecars answer.
const keyInterval = 30 * time.Second

// keys reads the digest key, and returns what keeps it.
func (in *injector) keys(ctx context.Context, connection *kube.Connection) (*digestkey.Keeper, error) {
	namespace, name := in.config.Pod.Namespace, in.config.DigestKeySecret
	key, err := digestkey.Ensure(ctx, connection.Client, namespace, name)
	if err != nil {
		return nil, err
	}
	if _, err := sidecarapi.PublicKey(key); err != nil {
		return nil, fmt.Errorf("the key in Secret %s/%s: %w", namespace, name, err)
	}
	return in.keeper(connection, key), nil
}

func (in *injector) keeper(connection *kube.Connection, key []byte) *digestkey.Keeper {
	return digestkey.NewKeeper(digestkey.KeeperOptions{
		Client: connection.Client, Namespace: in.config.Pod.Namespace, Name: in.config.DigestKeySecret, Key: key, Log: in.log, Registerer: in.registry,
	})
}

// confirmKey starts what follows the digest key, and returns what knows the public one of the controller.
func (in *injector) confirmKey(ctx context.Context, keys *digestkey.Keeper) func() string {
	var public atomic.Pointer[string]
	take := func() {
		if text, err := sidecarapi.PublicKey(keys.Key()); err == nil { // digestkey accepts no key that is too short
			public.Store(&text)
		}
	}
	take()
	in.start(ctx, func(ctx context.Context) error {
		for keys.Replaced(ctx, keyInterval) {
			take()
		}
		return nil
	})
	return func() string { return *public.Load() }
}

// options are what every injection has in common, but for the public key.
func (in *injector) options(connection *kube.Connection) inject.Options {
	c := in.config
	native := hasNative(connection.ServerVersion, c.Sidecar.Native)
	in.log.Info("injecting",
		"image", c.Sidecar.Image, "native", native, "server", connection.ServerVersion, "recordedIn", annotation.InjectionRecord)
	return inject.Options{
		Server: connection.ServerVersion, NativeSidecars: native,
		Image: c.Sidecar.Image, PullPolicy: c.Sidecar.PullPolicy,
		CPURequest: c.Sidecar.CPURequest, CPULimit: c.Sidecar.CPULimit, MemoryRequest: c.Sidecar.MemoryRequest, MemoryLimit: c.Sidecar.MemoryLimit,
		StorageRequest: c.Sidecar.StorageRequest, StorageLimit: c.Sidecar.StorageLimit, Capabilities: c.Sidecar.Capabilities,
		StatusPort: int32(c.Sidecar.StatusPort), //nolint:gosec // config holds it below 65536
	}
}

// hasNative reports whether native sidecars are used. A server whose version is not known gets ordinary containers:
// they work everywhere, while an older server would wait for a native one permanently.
func hasNative(server string, wish config.NativeSidecars) bool {
	switch wish {
	case config.NativeAlways:
		return true
	case config.NativeNever:
		return false
	case config.NativeAuto:
	}
	parsed, err := utilversion.ParseGeneric(server)
	return err == nil && parsed.AtLeast(utilversion.MustParseGeneric(nativeSince))
}

// limits starts what keeps the LimitRanges and ResourceQuotas, and returns what knows them; nil where they are not read.
func (in *injector) limits(ctx context.Context, connection *kube.Connection) (func(namespace string) *inject.Limits, error) {
	if !in.config.Webhook.ReadLimits {
		return nil, nil //nolint:nilnil // a nil function knows nothing
	}
	limits, err := admission.NewLimits(connection.Client, in.config.Webhook.LimitsNamespaces, in.log)
	if err != nil {
		return nil, err
	}
	in.start(ctx, func(ctx context.Context) error { limits.Run(ctx); return nil })
	return limits.Of, nil
}

// refused returns what finds out whether pods are refused with the sidecar; nil where nothing is done about that.
func (in *injector) refused(client kubernetes.Interface) func(context.Context, string, string, *corev1.Pod, bool) string {
	if in.config.Webhook.OnRefusal != config.WithoutSidecar {
		return nil
	}
	return admission.NewRefusals(client).Of
}

// excluded reports whether the pods of a namespace are never touched: those of Kubernetes' own and ours, besides those
// that were named.
func (in *injector) excluded(namespace string) bool {
	return admission.IsSystem(namespace) || namespace == in.config.Pod.Namespace ||
		slices.Contains(in.config.Webhook.Exclude, namespace)
}

// certificate starts what brings the certificate, and returns it with a check of it.
func (in *injector) certificate(ctx context.Context, connection *kube.Connection) (*certs.Served, telemetry.Check, error) {
	c := in.config
	if c.Certificates.Directory != "" {
		served := certs.NewServed(in.registry)
		directory := certs.Directory{Path: c.Certificates.Directory, Served: served, Log: in.log}
		in.start(ctx, func(ctx context.Context) error { directory.Run(ctx); return nil })
		return served, served.Check, nil
	}
	objects := certs.Objects{Namespace: c.Pod.Namespace, Secret: c.Certificates.Secret, Configuration: c.Webhook.Configuration}
	watcher := certs.NewWatcher(connection.Client, objects, in.log, in.registry)
	name := c.Webhook.Service + "." + c.Pod.Namespace
	rotator := certs.NewRotator(connection.Client, watcher, certs.Policy{
		Names:    []string{name + ".svc", name, c.Webhook.Service, name + ".svc.cluster.local"},
		Lifetime: c.Certificates.Lifetime, CALifetime: c.Certificates.CALifetime, Settle: c.Certificates.Settle,
	}, in.log, in.registry)
	elector, err := leader.New(leader.Options{
		Client: connection.Client.CoordinationV1(), Namespace: c.Pod.Namespace, Name: c.Election.LeaseName, Identity: c.Pod.Name,
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		OnStart: rotator.Run, Log: in.log, Registerer: in.registry,
	})
	if err != nil {
		return nil, nil, err
	}
	in.start(ctx, watcher.Run)
	in.start(ctx, func(ctx context.Context) error { elector.Run(ctx); return nil })
	return watcher.Served(), watcher.Check, nil
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
