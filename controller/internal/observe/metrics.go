package observe

import (
	"github.com/prometheus/client_golang/prometheus"
)

// cacheMetrics is a metric: what the cache of the cluster holds in memory.
type cacheMetrics struct{ *Observer }

// NewMetrics returns the metrics of what an observer keeps in memory.
func NewMetrics(o *Observer) prometheus.Collector { return cacheMetrics{o} }

func cacheDesc() *prometheus.Desc {
	return prometheus.NewDesc("inpod_cache_objects", "Objects in the cache by kind: sources (digests only), workloads, and pods with the sidecar.",
		[]string{"kind"}, nil)
}

// Describe implements [prometheus.Collector].
func (cacheMetrics) Describe(descs chan<- *prometheus.Desc) { descs <- cacheDesc() }

// Collect implements [prometheus.Collector].
func (k cacheMetrics) Collect(metrics chan<- prometheus.Metric) {
	desc := cacheDesc()
	for kind, n := range k.Kept() {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), kind)
	}
}
