package kubemetrics

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/metrics"
)

// ErrRegistered means that client-go reports to another registry already.
var ErrRegistered = errors.New("client-go reports its request metrics to another registry already: call RegisterREST once, in main")

// RegisterREST makes every REST client of this process report rest_client_requests_total{code,method,host} and
// rest_client_request_duration_seconds{verb,host} to the registry. The names are those of Reloader and of Kubernetes'
// own programs, so that dashboards keep working.
//
// client-go keeps its adapters in package variables and takes only the first ones, for the whole life of the process:
// call it once, in main, before the first client is made. A second call returns [ErrRegistered] and changes nothing.
func RegisterREST(registerer prometheus.Registerer) error {
	adapter := newRESTAdapter()
	metrics.Register(metrics.RegisterOpts{RequestResult: adapter, RequestLatency: adapter})
	if metrics.RequestResult != metrics.ResultMetric(adapter) {
		return ErrRegistered
	}
	registerer.MustRegister(adapter.requests, adapter.duration)
	return nil
}

// Collectors are the metrics of [RegisterREST] without a client that reports to them, for tests that list all metrics.
func Collectors() []prometheus.Collector {
	adapter := newRESTAdapter()
	return []prometheus.Collector{adapter.requests, adapter.duration}
}

type restAdapter struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newRESTAdapter() *restAdapter {
	return &restAdapter{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rest_client_requests_total",
			Help: "Requests to the API server by status code, method and host; code <error> means no answer.",
		}, []string{"code", "method", "host"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rest_client_request_duration_seconds",
			Help:    "Duration of a request to the API server by verb and host.",
			Buckets: []float64{0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60},
		}, []string{"verb", "host"}),
	}
}

// Increment implements [metrics.ResultMetric].
func (a *restAdapter) Increment(_ context.Context, code, method, host string) {
	a.requests.WithLabelValues(code, method, host).Inc()
}

// Observe implements [metrics.LatencyMetric]. Only the host of the URL becomes a label: paths are unbounded.
func (a *restAdapter) Observe(_ context.Context, verb string, u url.URL, d time.Duration) {
	a.duration.WithLabelValues(verb, u.Host).Observe(d.Seconds())
}
