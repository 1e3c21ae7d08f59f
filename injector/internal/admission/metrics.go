package admission

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"inpod.dev/inpod/internal/inject"
)

// outcome is what the API server got.
type outcome string

const (
	outcomePatched   outcome = "patched"
	outcomeUnchanged outcome = "unchanged"
	outcomeError     outcome = "error"
	outcomeRefused   outcome = "refused"
)

// Metrics are those of the webhook.
type Metrics struct {
	reviews    *prometheus.CounterVec
	duration   prometheus.Histogram
	injections *prometheus.CounterVec
	skips      *prometheus.CounterVec
}

// NewMetrics registers the metrics of the webhook.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_admission_reviews_total",
			Help: "Admission reviews by outcome: patched, unchanged, error, or refused (too large, or too many at once). All but patched admit the pod unchanged.",
		}, []string{"outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "inpod_admission_duration_seconds",
			Help:    "Duration of an admission review.",
			Buckets: []float64{0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5},
		}),
		injections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_injections_total",
			Help: "Injected pods by image of the sidecar (inpod or application) and its kind (native or classic).",
		}, []string{"image", "kind"}),
		skips: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_injection_skips_total",
			Help: "Reviewed pods that got no sidecar, by reason.",
		}, []string{"reason"}),
	}
	registerer.MustRegister(m.reviews, m.duration, m.injections, m.skips)
	for _, o := range []outcome{outcomePatched, outcomeUnchanged, outcomeError, outcomeRefused} {
		m.reviews.WithLabelValues(string(o))
	}
	// From zero on, so that the first skip of a kind is seen as an increase.
	for _, reason := range inject.Reasons() {
		if reason != inject.Injected {
			m.skips.WithLabelValues(string(reason))
		}
	}
	return m
}

func (m *Metrics) answered(o outcome, took time.Duration) {
	m.reviews.WithLabelValues(string(o)).Inc()
	m.duration.Observe(took.Seconds())
}

func (m *Metrics) decided(report inject.Report) {
	if report.Reason == inject.Injected {
		m.injections.WithLabelValues(report.Record.Image, report.Record.Kind).Inc()
		return
	}
	m.skips.WithLabelValues(string(report.Reason)).Inc()
}
