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
	unreadable       *prometheus.CounterVec
	swept            *prometheus.CounterVec
	evictions        *prometheus.CounterVec

	reloadLatency prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_decisions_total", Help: "Decisions on workloads, by action and reason.",
		}, []string{"action", "reason"}),
		rollouts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_rollouts_total",
			Help: "Requested rollouts by kind of workload, reason and result: accepted or refused by the API server.",
		}, []string{"kind", "reason", "result"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "inpod_change_to_rollout_seconds",
			Help:    "Time from the first change of a source until the API server accepted the rollout, including the settle time.",
			Buckets: []float64{0.5, 1, 2, 2.5, 3, 5, 10, 20, 30, 60, 120, 300, 900},
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_reloads_total", Help: "Reloads in place confirmed by every pod of a workload, by kind of workload.",
		}, []string{"kind"}),
		reloadLatency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "inpod_change_to_reload_seconds",
			Help:    "Time from the first change of a source until every pod confirmed the reload, including the settle time.",
			Buckets: []float64{0.5, 1, 2, 2.5, 3, 5, 10, 20, 30, 60, 120, 300, 900},
		}),
		baselinesCreated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inpod_baselines_created_total", Help: "Baselines recorded for workloads or usages seen for the first time.",
		}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "inpod_baselines_pending", Help: "Workloads whose baseline waits in memory to be recorded.",
		}),
		unreadable: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_baselines_unreadable_total", Help: "Unreadable baselines by reason: invalid, key, empty or version.",
		}, []string{"why"}),
		swept: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_sweep_found_total",
			Help: "What the sweeps found, by what was lost: workloads that nothing had woken (change, wait, slot, decision), objects that the cache lacked (event). Each one is a bug.",
		}, []string{"lost"}),
		evictions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_evictions_total",
			Help: "Evictions of pods that could not reload, by result: accepted, refused by a PodDisruptionBudget, or failed.",
		}, []string{"result"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inpod_panics_total", Help: "Panics recovered while reconciling a workload. Each one is a bug.",
		}),
	}
	registerer.MustRegister(m.decisions, m.rollouts, m.latency, m.baselinesCreated, m.pending, m.panics, m.unreadable, m.evictions, m.reloads, m.reloadLatency, m.swept)
	for _, lost := range []lostWakeUp{lostChange, lostWait, lostSlot, lostDecision, lostEvent} {
		m.swept.WithLabelValues(string(lost))
	}
	for _, result := range []string{"accepted", "refused", "failed"} {
		m.evictions.WithLabelValues(result)
	}
	return m
}

func (m *metrics) decided(decision decide.Decision) {
	m.decisions.WithLabelValues(string(decision.Action), string(decision.Reason)).Inc()
	if decision.Held.Reason != "" {
		m.decisions.WithLabelValues(string(decide.None), string(decision.Held.Reason)).Inc()
	}
}

func (m *metrics) rolled(kind string, reason decide.Reason, success bool) {
	result := "accepted"
	if !success {
		result = "refused"
	}
	m.rollouts.WithLabelValues(kind, string(reason), result).Inc()
}
