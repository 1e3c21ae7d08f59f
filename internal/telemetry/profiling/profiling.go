// Package profiling serves Go's profiles on an address of their own. A profile shows what is in memory, so it is never
// on the port that Prometheus scrapes and never on by default.
package profiling

import (
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"inpod.dev/inpod/internal/telemetry"
)

// longestProfile bounds one answer; a CPU profile or a trace takes as many seconds as its URL asks for.
const longestProfile = 5 * time.Minute

// NewServer returns a server for /debug/pprof/ on the address. Importing net/http/pprof also puts the profiles into
// http.DefaultServeMux; that is harmless because no server of inpod uses that mux.
func NewServer(address string, log *slog.Logger) *telemetry.Server {
	endpoint := func(path, about string, handler http.HandlerFunc) telemetry.Endpoint {
		return telemetry.Endpoint{Path: path, About: about, Handler: handler}
	}
	server := telemetry.NewServer("pprof", address, log,
		endpoint("/debug/pprof/", "index of all profiles", pprof.Index),
		endpoint("/debug/pprof/cmdline", "command line of the program", pprof.Cmdline),
		endpoint("/debug/pprof/profile", "CPU profile, ?seconds=30", pprof.Profile),
		endpoint("/debug/pprof/symbol", "names of program counters", pprof.Symbol),
		endpoint("/debug/pprof/trace", "execution trace, ?seconds=1", pprof.Trace),
	)
	server.WriteTimeout = longestProfile
	return server
}
