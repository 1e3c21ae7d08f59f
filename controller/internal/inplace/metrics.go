package inplace

import (
	"github.com/prometheus/client_golang/prometheus"

	"inpod.dev/inpod/internal/decide"
)

type metrics struct {
	nudges  *prometheus.CounterVec
	results *prometheus.CounterVec
	panics  prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		nudges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_nudges_total", Help: "Nudges, which make a kubelet refresh the volumes of a pod at once, by result: accepted, refused, or skipped (the pod has the content, the kubelet is faster, or a source in no namespace exceeded its share of the rate).",
		}, []string{"result"}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_reload_results_total",
			Help: "Reloads in place by result: Confirmed, Unproven, Rejected, NeedsRestart, Failed, NotUnderstood, Unreachable or Overdue.",
		}, []string{"result"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inpod_reload_panics_total", Help: "Panics recovered while a workload is reloaded in place. Each one is a bug.",
		}),
	}
	registerer.MustRegister(m.nudges, m.results, m.panics)
	for _, verdict := range append(decide.Verdicts(), unproven) {
		m.results.WithLabelValues(string(verdict)) // from zero on, so that the first of a kind is seen as an increase
	}
	return m
}

func (m *metrics) nudged(accepted bool) {
	result := "accepted"
	if !accepted {
		result = "refused"
	}
	m.nudges.WithLabelValues(result).Inc()
}

// left counts a pod that needs no nudge, or is left to its kubelet.
func (m *metrics) left() { m.nudges.WithLabelValues("skipped").Inc() }

// unproven is the label of a confirmation that nothing proves.
const unproven decide.Verdict = "Unproven"

func (m *metrics) verdict(state decide.InPlace) {
	switch {
	case state.Verdict == decide.Unknown, state.Nothing: // no answer, or nothing that was asked
	case state.Verdict == decide.Confirmed && !state.Proven:
		m.results.WithLabelValues(string(unproven)).Inc()
	default:
		m.results.WithLabelValues(string(state.Verdict)).Inc()
	}
}
