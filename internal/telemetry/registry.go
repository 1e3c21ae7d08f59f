// Package telemetry holds the metrics registry of a program and the HTTP server for probes and scrapes.
//
// The controller and the injector share it. The sidecar writes its own metrics, to stay small. What needs client-go, klog or
// net/http/pprof is in the subpackages kubelog, kubemetrics and profiling.
package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"inpod.dev/inpod/internal/version"
)

// NewRegistry returns a registry that has the metrics every program has: the Go runtime, the process, and
// inpod_build_info, which is always 1 and carries the build in its labels.
func NewRegistry(build version.Build) *prometheus.Registry {
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "inpod_build_info",
		Help: "Build of this program as labels; always 1.",
	}, []string{"version", "revision", "goversion"})
	info.WithLabelValues(build.Version, build.Revision, build.GoVersion).Set(1)

	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info,
	)
	return registry
}
