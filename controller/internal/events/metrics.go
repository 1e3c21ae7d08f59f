package events

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	events *prometheus.CounterVec
}

// The results.
const (
	resultWritten = "written"
	resultLost    = "lost"
)

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{events: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "inpod_events_total", Help: "Events by result: written or lost. Equal events that wait together count once.",
	}, []string{"result"})}
	for _, result := range []string{resultWritten, resultLost} {
		m.events.WithLabelValues(result) // a rate needs a zero to start from
	}
	registerer.MustRegister(m.events)
	return m
}

func (m *metrics) add(result string, n int) { m.events.WithLabelValues(result).Add(float64(n)) }
