// Package kubelog joins the log lines of client-go, which speaks klog, to the program's own log.
package kubelog

import (
	"context"
	"log/slog"

	"k8s.io/klog/v2"

	"inpod.dev/inpod/internal/logging"
)

// noBodies is klog's verbosity 6: one line per API request with its URL. From verbosity 8 on client-go logs the bodies
// of requests and responses (rest/request.go, logBody), and those contain the values of Secrets. slog's levels and
// klog's verbosities share one scale (V(8) is level -8), so the trace level would switch the bodies on.
const noBodies = slog.Level(-6)

// Join sends what client-go logs to the logger, from klog's V(0) as information to V(6) as trace. It sets klog's one
// global logger, so main calls it once, before the first client is made.
func Join(log *slog.Logger) {
	klog.SetSlogLogger(slog.New(logging.AtLeast(noBodies, log.Handler())))
}

// Silence returns a context with which client-go logs nothing, for a caller that reports in its own words.
func Silence(ctx context.Context) context.Context {
	return klog.NewContext(ctx, klog.Logger{})
}
