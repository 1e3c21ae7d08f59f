// Package kubemetrics brings the metrics of client-go, its work queues and its REST client, into a registry.
package kubemetrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"
)

// QueueProvider makes the metrics of work queues. Give it to each queue in workqueue.TypedRateLimitingQueueConfig
// (MetricsProvider) together with a name; the name becomes the label "name". A queue without a name has no metrics.
type QueueProvider struct {
	depth          *prometheus.GaugeVec
	adds           *prometheus.CounterVec
	latency        *prometheus.HistogramVec
	work           *prometheus.HistogramVec
	unfinished     *prometheus.GaugeVec
	longestRunning *prometheus.GaugeVec
	retries        *prometheus.CounterVec
}

var _ workqueue.MetricsProvider = (*QueueProvider)(nil)

// NewQueueProvider registers the inpod_workqueue_ metrics and returns their provider. It panics when the registry has
// them already, as every registration at start does: that is a mistake in the program.
func NewQueueProvider(registerer prometheus.Registerer) *QueueProvider {
	label := []string{"name"}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "inpod_workqueue_" + name, Help: help}, label)
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "inpod_workqueue_" + name, Help: help}, label)
	}
	// 1 ms to about 65 s: an item that waits in line takes milliseconds, one that waits for the API takes seconds.
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "inpod_workqueue_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, label)
	}
	p := &QueueProvider{
		depth:          gauge("depth", "Items waiting in the queue."),
		adds:           counter("adds_total", "Items added to the queue. Adding an item that already waits does not count."),
		latency:        histogram("queue_duration_seconds", "Time that an item waits in the queue."),
		work:           histogram("work_duration_seconds", "Duration of the work on an item."),
		unfinished:     gauge("unfinished_work_seconds", "Total duration so far of the work in progress. Steady growth means a stuck worker."),
		longestRunning: gauge("longest_running_processor_seconds", "Duration so far of the oldest work in progress."),
		retries:        counter("retries_total", "Items requeued with a delay after a failure."),
	}
	registerer.MustRegister(p.depth, p.adds, p.latency, p.work, p.unfinished, p.longestRunning, p.retries)
	return p
}

// NewDepthMetric implements [workqueue.MetricsProvider], as do the methods below.
func (p *QueueProvider) NewDepthMetric(name string) workqueue.GaugeMetric {
	return p.depth.WithLabelValues(name)
}

// NewAddsMetric counts additions.
func (p *QueueProvider) NewAddsMetric(name string) workqueue.CounterMetric {
	return p.adds.WithLabelValues(name)
}

// NewLatencyMetric measures the wait, in seconds.
func (p *QueueProvider) NewLatencyMetric(name string) workqueue.HistogramMetric {
	return p.latency.WithLabelValues(name)
}

// NewWorkDurationMetric measures the work, in seconds.
func (p *QueueProvider) NewWorkDurationMetric(name string) workqueue.HistogramMetric {
	return p.work.WithLabelValues(name)
}

// NewUnfinishedWorkSecondsMetric sums the work under way.
func (p *QueueProvider) NewUnfinishedWorkSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return p.unfinished.WithLabelValues(name)
}

// NewLongestRunningProcessorSecondsMetric is the age of the oldest work under way.
func (p *QueueProvider) NewLongestRunningProcessorSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return p.longestRunning.WithLabelValues(name)
}

// NewRetriesMetric counts delayed retries.
func (p *QueueProvider) NewRetriesMetric(name string) workqueue.CounterMetric {
	return p.retries.WithLabelValues(name)
}
