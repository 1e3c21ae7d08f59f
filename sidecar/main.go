// Command sidecar watches mounted configuration and makes the application next to it reload when it changes.
//
// It is one static binary that needs no cluster: in a pod it is added by the injector or by hand, on any other Linux
// machine it is started as "sidecar --watch /etc/nginx --preset nginx".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"inpod.dev/inpod/internal/listen"
	"inpod.dev/inpod/internal/logging"
	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/version"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/command"
	"inpod.dev/inpod/sidecar/internal/config"
	"inpod.dev/inpod/sidecar/internal/digest"
	"inpod.dev/inpod/sidecar/internal/memtrim"
	"inpod.dev/inpod/sidecar/internal/process"
	"inpod.dev/inpod/sidecar/internal/reload"
	"inpod.dev/inpod/sidecar/internal/status"
	"inpod.dev/inpod/sidecar/internal/watch"
)

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

func main() {
	debug.SetGCPercent(gcPercent)
	runtime.GOMAXPROCS(1) // there is never much to do, and caches per processor add up on a large node
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	stopHard := context.AfterFunc(ctx, func() {
		// No wait of this program takes so long, but one of the kernel's may.
		time.AfterFunc(hardStop, func() { os.Exit(exitFail) })
	})
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stopHard()
	stop()
	os.Exit(code)
}

// hardStop is the time after which a program that was asked to stop ends whatever it does.
const hardStop = 8 * time.Second

// gcPercent collects garbage before the heap has grown by more than a megabyte: reloads are rare and may cost a little
// more, while the memory at rest is paid for in every pod.
const gcPercent = 20

// run is the whole program.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	c, err := config.Load(args, environ, version.Read())
	if info, ok := errors.AsType[*settings.InfoError](err); ok {
		_, _ = fmt.Fprint(stdout, info.Text)
		return exitOK
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "sidecar: %v\n", err)
		return exitUsage
	}
	log := logging.NewLogger(stderr, c.LogFormat, c.LogLevel)
	if c.Install != "" {
		if err := install(c.Install); err != nil {
			log.ErrorContext(ctx, "installation failed", "error", err)
			return exitFail
		}
		return exitOK
	}
	if err := serve(ctx, c, environ, log); err != nil {
		log.ErrorContext(ctx, "stopped", "error", err)
		return exitFail
	}
	return exitOK
}

// errNotApplied ends a run with --once whose reload did not work; its outcome has been logged.
var errNotApplied = errors.New("the application does not have the latest content")

func serve(ctx context.Context, c config.Config, environ []string, log *slog.Logger) error {
	plan, err := c.Plan()
	if err != nil {
		return err
	}
	trigger := &reload.Reloader{
		Plan: plan, Table: process.Table{Root: "/proc", Self: os.Getpid()}, Now: time.Now, Log: log, Pod: pod(environ),
		Environment: environ,
	}
	watcher := &watch.Watcher{Log: log, Poll: c.Poll, Recheck: c.Recheck}
	trigger.Scans = watcher.Steps
	for _, w := range c.Watch {
		watcher.Targets = append(watcher.Targets, watch.Target{Path: w.Path, Keys: w.Keys, Ignored: w.Ignored, Anchors: w.Anchors})
		trigger.Secrets = append(trigger.Secrets, w.Path)
	}
	trigger.Hold()
	worker := &agent.Agent{
		Trigger: trigger, Log: log, Now: time.Now, Timing: agent.DefaultTiming(c.Settle), OwnClock: watch.OwnClock,
	}
	if c.StateFile != "" {
		worker.Memory = agent.File{Path: c.StateFile, ReadOnly: c.DryRun}
	}
	if c.Once {
		return once(ctx, watcher, worker, trigger)
	}
	return forever(ctx, c, log, watcher, worker, trigger)
}

// pod is the name of the pod that this runs in, "" outside of one. A pod's host name is its name, unless it has the
// node's.
func pod(environ []string) string {
	if settings.Lookup(environ, "KUBERNETES_SERVICE_HOST") == "" {
		return ""
	}
	name, err := os.Hostname()
	if err != nil {
		return "POD"
	}
	return name
}

// once ends without an error only when the application is known to have the content, or has been reloaded. In a dry run,
// when nothing stands against a reload.
func once(ctx context.Context, watcher *watch.Watcher, worker *agent.Agent, trigger *reload.Reloader) error {
	state, err := watcher.Scan(ctx)
	if err != nil {
		return err
	}
	if missing := state.Missing(); len(missing) > 0 {
		return fmt.Errorf("wanted files are missing: %v", missing)
	}
	if err := trigger.Reachable(); err != nil {
		return fmt.Errorf("nothing was reloaded: %w", err)
	}
	worker.Certain = true
	if !worker.Start(ctx, state) {
		worker.Log.InfoContext(ctx, "nothing to reload, content already applied")
		return nil
	}
	if out := worker.Attempt(ctx); out.Result != agent.Applied && out.Result != agent.DryRun {
		return errNotApplied
	}
	return nil
}

func forever(ctx context.Context, c config.Config, log *slog.Logger, watcher *watch.Watcher, worker *agent.Agent,
	trigger *reload.Reloader,
) error {
	parent := ctx
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	var tasks sync.WaitGroup
	if c.Listen != "" {
		server := newServer(status.Source{
			Agent: worker.Status, Mode: watcher.Mode, Errors: watcher.Errors, Version: version.Read().Version, Preset: c.Preset,
			How: trigger.How(), ControllerKey: c.ControllerKey, Now: time.Now, Started: time.Now(),
		})
		tasks.Go(func() { servePages(ctx, c.Listen, server, log) })
	}
	states := make(chan digest.State, 1)
	tasks.Go(func() {
		if err := watcher.Run(ctx, states); err != nil {
			cancel(err)
		}
	})
	tasks.Go(func() { worker.Run(ctx, states) })
	tasks.Go(func() { tidy(ctx, log) })
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	tasks.Go(func() { command.Reap(ctx, ended) })
	<-ctx.Done()
	cause := context.Cause(ctx)
	log.InfoContext(ctx, "stopping", "cause", cause)
	finish(ctx, &tasks, log)
	if parent.Err() != nil {
		return nil // asked to stop
	}
	return cause
}

// finish waits until all is ended in good order, a command among it, but no longer: what hangs in a file system that does
// not answer would hang permanently.
func finish(ctx context.Context, tasks *sync.WaitGroup, log *slog.Logger) {
	const patience = 5 * time.Second
	done := make(chan struct{})
	go func() {
		tasks.Wait()
		close(done)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		log.WarnContext(ctx, "stopped before all work ended", "after", patience)
	}
}

// servePages serves until the context ends. An address that is already in use, perhaps by the application, is tried
// again and again: reloads do not depend on it, and a sidecar that ends makes its pod unready.
func servePages(ctx context.Context, address string, server *http.Server, log *slog.Logger) {
	const most = time.Minute
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for wait := time.Second; ; wait = min(2*wait, most) {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := listenAndServe(ctx, address, server, log)
		if ctx.Err() != nil {
			return
		}
		log.ErrorContext(ctx, "serving /metrics, /healthz, /status and /query failed, will retry; reloads continue",
			"error", err, "retryIn", wait, "hint", "--listen-address takes another port, or off")
		timer.Reset(wait)
	}
}

func listenAndServe(ctx context.Context, address string, server *http.Server, log *slog.Logger) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "listening", "address", listener.Addr().String())
	bounds := listen.Bounds{Total: maxConnections, PerAddress: maxPerAddress}
	return listen.New(listener, bounds).Serve(server)
}

// tidy gives memory back once the first scan is over, and again now and then after work.
func tidy(ctx context.Context, log *slog.Logger) {
	const startUp, again = time.Second, time.Minute
	timer := time.NewTimer(startUp)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := memtrim.GiveBack(); err != nil {
			log.DebugContext(ctx, "returning memory failed", "error", err)
		}
		timer.Reset(again)
	}
}

// maxConnections bounds the memory that other pods can make the sidecar use: 64 KiB for each at most. No address can have
// more than maxPerAddress of them.
const (
	maxConnections = 64
	maxPerAddress  = 8
)

func newServer(source status.Source) *http.Server {
	const timeout, headerTimeout, maxHeader = 5 * time.Second, time.Second, 16 << 10
	return &http.Server{
		Handler: status.Handler(source), ReadHeaderTimeout: headerTimeout, ReadTimeout: timeout, WriteTimeout: timeout,
		IdleTimeout: 2 * timeout, MaxHeaderBytes: maxHeader,
	}
}
