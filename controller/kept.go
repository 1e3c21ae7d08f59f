package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"inpod.dev/inpod/controller/internal/observe"
)

// kept is a metric: what the picture of the cluster holds in memory.
type kept struct{ *observe.Observer }

func keptDesc() *prometheus.Desc {
	return prometheus.NewDesc("inpod_objects", "Objects of which something is kept in memory, by kind: digests of sources, views of workloads, and pods that carry the sidecar.",
		[]string{"kind"}, nil)
}

// Describe implements [prometheus.Collector].
func (kept) Describe(descs chan<- *prometheus.Desc) { descs <- keptDesc() }

// Collect implements [prometheus.Collector].
func (k kept) Collect(metrics chan<- prometheus.Metric) {
	desc := keptDesc()
	for kind, n := range k.Kept() {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), kind)
	}
}
