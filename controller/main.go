// Command controller makes running workloads use the current content of their ConfigMaps and Secrets.
//
// It wires the parts together and does nothing itself: settings (config), the cluster (kube, leader), the cache of it
// (observe), the loop (reconcile) with the decision (decide) and the writes (act), and telemetry.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	// Maintenance windows have time zones, and no image here has their table.
	_ "time/tzdata"

	// Alerts go to public HTTPS servers, whose certificate authorities no image here has. A bundle that is mounted, or
	// named in SSL_CERT_FILE, goes first.
	_ "golang.org/x/crypto/x509roots/fallback"

	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/kube"
	"inpod.dev/inpod/internal/logging"
	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/telemetry/kubelog"
	"inpod.dev/inpod/internal/version"
)

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // who asks a second time does not want to wait
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	build := version.Read()
	c, err := config.Load(args, environ, build)
	if info, ok := errors.AsType[*settings.InfoError](err); ok {
		_, _ = fmt.Fprint(stdout, info.Text)
		return exitOK
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "controller: %v\n", err)
		return exitUsage
	}
	collectOften(getenv(environ))
	log := logging.NewLogger(stderr, c.Log.Format, c.Log.Level)
	kubelog.Join(log)
	log.LogAttrs(ctx, slog.LevelInfo, "starting", append([]slog.Attr{
		slog.String("version", build.Version), slog.String("revision", build.Revision),
	}, config.Effective(c)...)...)
	err = serve(ctx, c, build, getenv(environ), log)
	switch {
	case err == nil, ctx.Err() != nil && errors.Is(err, context.Canceled):
		log.Info("stopped", "cause", cause(ctx))
		return exitOK
	}
	if denied, ok := errors.AsType[*kube.MissingPermissionsError](err); ok && c.Log.Format == logging.FormatText {
		// It holds the objects that grant what is missing, for kubectl apply: not to be folded into one line.
		_, _ = fmt.Fprintln(stderr, denied)
		err = errDenied
	}
	log.Error("stopped", "error", err)
	return exitFail
}

// gcPercent is how much garbage there may be, in percent of what is in use. Most of the memory is a cache that hardly
// changes, and a collection of it takes milliseconds every few minutes: less garbage costs next to nothing.
const gcPercent = 50

// collectOften has Go collect garbage earlier than by default, unless GOGC says when.
func collectOften(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

var errDenied = errors.New("permissions are missing; they are listed above")

// cause says why the program ends: the name of the signal.
func cause(ctx context.Context) string {
	if err := context.Cause(ctx); err != nil {
		return err.Error()
	}
	return "done"
}

func getenv(environ []string) func(string) string {
	return func(name string) string { return settings.Lookup(environ, name) }
}
