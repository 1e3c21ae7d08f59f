// Command injector adds the inpod sidecar to pods that ask for it.
//
// It wires the parts together and does nothing itself: settings (config), the cluster (kube, leader), the decision
// (inject), the webhook (admission), its certificate (certs), and telemetry.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"inpod.dev/inpod/injector/internal/config"
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
		_, _ = fmt.Fprintf(stderr, "injector: %v\n", err)
		return exitUsage
	}
	log := logging.NewLogger(stderr, c.Log.Format, c.Log.Level)
	kubelog.Join(log)
	log.LogAttrs(ctx, slog.LevelInfo, "starting", append([]slog.Attr{
		slog.String("version", build.Version), slog.String("revision", build.Revision),
	}, config.Effective(c)...)...)
	getenv := func(name string) string { return settings.Lookup(environ, name) }
	if err := serve(ctx, c, build, getenv, log); err != nil {
		log.Error("stopped", "error", err)
		return exitFail
	}
	log.Info("stopped")
	return exitOK
}
