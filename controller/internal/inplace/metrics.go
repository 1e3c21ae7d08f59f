package inplace

import (
	"github.com/prometheus/client_golang/prometheus"

	"inpod.dev/inpod/controller/internal/decide"
)

type metrics struct {
	nudges   *prometheus.CounterVec
	verdicts *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		nudges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_nudges_total", Help: "Pods that were asked to refresh their volumes at once, by whether the API server accepted it: accepted or refused.",
		}, []string{"result"}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_reload_verdicts_total", Help: "What reloads in the pods of a workload came to: Confirmed, Rejected, Failed or Overdue.",
		}, []string{"verdict"}),
	}
	registerer.MustRegister(m.nudges, m.verdicts)
	return m
}

func (m *metrics) nudged(accepted bool) {
	result := "accepted"
	if !accepted {
		result = "refused"
	}
	m.nudges.WithLabelValues(result).Inc()
}

func (m *metrics) verdict(verdict decide.Verdict) {
	if verdict != decide.Unknown {
		m.verdicts.WithLabelValues(string(verdict)).Inc()
	}
}
