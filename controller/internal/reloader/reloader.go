// Package reloader keeps Reloader's metrics, under Reloader's names, so that dashboards and alerts go on working. It
// decides only which of them something counts for. inpod's own metrics are beside the code that they are about.
//
// They are true where Reloader's are not: a reconciliation counts once, the type of an event is known, and a latency is
// that of the request. What Reloader does and inpod does not (reloader_workloads_scanned_total) is not there.
package reloader

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"

	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// Metrics are Reloader's metrics.
type Metrics struct {
	executed, byNamespace *prometheus.CounterVec // byNamespace is nil unless it is asked for
	reconciled            *prometheus.CounterVec
	reconcileTime         *prometheus.HistogramVec
	actions               *prometheus.CounterVec
	actionTime            *prometheus.HistogramVec
	skipped               *prometheus.CounterVec
	errors                *prometheus.CounterVec
	retries               prometheus.Counter
	received, processed   *prometheus.CounterVec
	queueDepth            prometheus.Gauge
	queueAdds             prometheus.Counter
	queueLatency          prometheus.Histogram
}

// New registers the metrics; byNamespace adds the one that has a series per namespace (METRICS_COUNT_BY_NAMESPACE).
func New(registerer prometheus.Registerer, byNamespace bool) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "reloader_" + name, Help: help + " Reloader's name."}, labels)
		registerer.MustRegister(vec)
		return vec
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "reloader_" + name, Help: help + " Reloader's name.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, labels)
		registerer.MustRegister(vec)
		return vec
	}
	m := &Metrics{
		executed:      counter("reload_executed_total", "Rollouts by acceptance of the API server; see inpod_rollouts_total.", "success"),
		reconciled:    counter("reconcile_total", "Reconciliations by result: success, skipped (nothing to do) or error.", "result"),
		reconcileTime: histogram("reconcile_duration_seconds", "Duration of a reconciliation.", "result"),
		actions:       counter("action_total", "Rollouts by kind of workload.", "workload_kind", "result"),
		actionTime:    histogram("action_latency_seconds", "Duration of the request for a rollout; see inpod_change_to_rollout_seconds.", "workload_kind"),
		skipped:       counter("skipped_total", "Reconciliations with nothing to do, by reason.", "reason"),
		errors:        counter("errors_total", "Failed reconciliations.", "type"),
		retries:       prometheus.NewCounter(prometheus.CounterOpts{Name: "reloader_retries_total", Help: "Reconciliations retried after a failure. Reloader's name."}),
		received:      counter("events_received_total", "Changes of sources received.", "event_type", "resource_type"),
		processed:     counter("events_processed_total", "Changes of sources passed on to the workloads that use them.", "event_type", "resource_type", "result"),
		queueDepth:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "reloader_workqueue_depth", Help: "Workloads waiting to be reconciled. Reloader's name."}),
		queueAdds:     prometheus.NewCounter(prometheus.CounterOpts{Name: "reloader_workqueue_adds_total", Help: "Workloads added to the queue. Reloader's name."}),
		queueLatency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "reloader_workqueue_latency_seconds", Help: "Time that a workload waits in the queue. Reloader's name.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
	}
	registerer.MustRegister(m.retries, m.queueDepth, m.queueAdds, m.queueLatency)
	if byNamespace {
		m.byNamespace = counter("reload_executed_total_by_namespace", "Rollouts by namespace.", "success", "namespace")
	}
	for _, success := range []string{"true", "false"} {
		m.executed.WithLabelValues(success) // a rate needs a zero to start from
	}
	return m
}

// Reconciled counts a reconciliation.
func (m *Metrics) Reconciled(decision decide.Decision, err error, took time.Duration) {
	result := "success"
	switch {
	case err != nil:
		result = "error"
		m.errors.WithLabelValues("handler_error").Inc()
		m.retries.Inc()
	case decision.Action == decide.None:
		result = "skipped"
		m.skipped.WithLabelValues(reasonOf(decision.Reason)).Inc()
	}
	m.reconciled.WithLabelValues(result).Inc()
	m.reconcileTime.WithLabelValues(result).Observe(took.Seconds())
}

// reasonOf is one of Reloader's reasons.
func reasonOf(reason decide.Reason) string {
	switch reason {
	case decide.NotFollowed, decide.Deleting:
		return "ignored_or_not_selected"
	case decide.Unchanged, "":
		return "no_data_change"
	default:
		return "strategy_not_updated"
	}
}

// Acted counts a rollout that was asked for.
func (m *Metrics) Acted(key workload.Key, success bool, took time.Duration) {
	result := "success"
	if !success {
		result = "error"
	}
	m.executed.WithLabelValues(strconv.FormatBool(success)).Inc()
	m.actions.WithLabelValues(key.Kind, result).Inc()
	m.actionTime.WithLabelValues(key.Kind).Observe(took.Seconds())
	if m.byNamespace != nil {
		m.byNamespace.WithLabelValues(strconv.FormatBool(success), key.Namespace).Inc()
	}
}

// Seen counts a change of a source: "create", "update" or "delete".
func (m *Metrics) Seen(kind source.Kind, event string) {
	resource := strings.ToLower(string(kind)) + "s"
	m.received.WithLabelValues(event, resource).Inc()
	m.processed.WithLabelValues(event, resource, "success").Inc()
}

// Queue has a queue report here, and to another provider, too.
func (m *Metrics) Queue(next workqueue.MetricsProvider) workqueue.MetricsProvider {
	return queue{MetricsProvider: next, m: m}
}

type queue struct {
	workqueue.MetricsProvider

	m *Metrics
}

// NewDepthMetric implements [workqueue.MetricsProvider].
func (q queue) NewDepthMetric(name string) workqueue.GaugeMetric {
	return depth{q.MetricsProvider.NewDepthMetric(name), q.m.queueDepth}
}

// NewAddsMetric implements [workqueue.MetricsProvider].
func (q queue) NewAddsMetric(name string) workqueue.CounterMetric {
	return adds{q.MetricsProvider.NewAddsMetric(name), q.m.queueAdds}
}

// NewLatencyMetric implements [workqueue.MetricsProvider].
func (q queue) NewLatencyMetric(name string) workqueue.HistogramMetric {
	return latency{q.MetricsProvider.NewLatencyMetric(name), q.m.queueLatency}
}

type depth struct{ own, reloaders workqueue.GaugeMetric }

func (d depth) Inc() { d.own.Inc(); d.reloaders.Inc() }
func (d depth) Dec() { d.own.Dec(); d.reloaders.Dec() }

type adds struct{ own, reloaders workqueue.CounterMetric }

func (a adds) Inc() { a.own.Inc(); a.reloaders.Inc() }

type latency struct{ own, reloaders workqueue.HistogramMetric }

func (l latency) Observe(seconds float64) { l.own.Observe(seconds); l.reloaders.Observe(seconds) }
