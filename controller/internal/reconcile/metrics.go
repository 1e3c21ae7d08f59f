package reconcile

import (
	"github.com/prometheus/client_golang/prometheus"

	"inpod.dev/inpod/internal/decide"
)

// metrics are those of the loop. Labels are closed sets.
type metrics struct {
	decisions        *prometheus.CounterVec
	rollouts         *prometheus.CounterVec
	latency          prometheus.Histogram
	reloads          *prometheus.CounterVec
	baselinesCreated prometheus.Counter
	pending          prometheus.Gauge
	panics           prometheus.Counter

	reloadLatency prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_decisions_total", Help: "Decisions on workloads, by action and reason.",
		}, []string{"action", "reason"}),
		rollouts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_rollouts_total",
			Help: "Rolling updates that were asked for, by kind of workload, reason, and whether the API server accepted them: accepted or refused.",
		}, []string{"kind", "reason", "result"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "inpod_change_to_rollout_seconds",
			Help:    "Time from the first change of a source to the acceptance of the rollout that it caused, the settle time included.",
			Buckets: []float64{0.5, 1, 2, 2.5, 3, 5, 10, 20, 30, 60, 120, 300, 900},
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_reloads_total", Help: "Changes that every pod of a workload took up in place, by kind of workload.",
		}, []string{"kind"}),
		reloadLatency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "inpod_change_to_reload_seconds",
			Help:    "Time from the first change of a source until every pod has confirmed, the settle time included.",
			Buckets: []float64{0.5, 1, 2, 2.5, 3, 5, 10, 20, 30, 60, 120, 300, 900},
		}),
		baselinesCreated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inpod_baselines_created_total", Help: "Baselines that were recorded for workloads, or uses, seen for the first time.",
		}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "inpod_baselines_pending", Help: "Workloads whose baseline is in memory and waits to be recorded.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inpod_panics_total", Help: "Faults in the handling of a workload that would have ended the program. Any is a bug.",
		}),
	}
	registerer.MustRegister(m.decisions, m.rollouts, m.latency, m.baselinesCreated, m.pending, m.panics, m.reloads, m.reloadLatency)
	return m
}

func (m *metrics) decided(decision decide.Decision) {
	m.decisions.WithLabelValues(string(decision.Action), string(decision.Reason)).Inc()
}

func (m *metrics) rolled(kind string, reason decide.Reason, success bool) {
	result := "accepted"
	if !success {
		result = "refused"
	}
	m.rollouts.WithLabelValues(kind, string(reason), result).Inc()
}
