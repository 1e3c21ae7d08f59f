package reloader_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"k8s.io/client-go/util/workqueue"

	"inpod.dev/inpod/controller/internal/reloader"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/telemetry/kubemetrics"
	"inpod.dev/inpod/internal/workload"
)

func TestReloadersMetricsAreCorrect(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	m := reloader.New(registry, true)
	web := workload.Key{Kind: "Deployment", Namespace: "shop", Name: "web"}
	m.Reconciled(decide.Decision{Action: decide.Rollout}, nil, time.Second)
	m.Reconciled(decide.Decision{Action: decide.None, Reason: decide.Unchanged}, nil, time.Second)
	m.Reconciled(decide.Decision{Action: decide.None, Reason: decide.NotFollowed}, nil, time.Second)
	m.Reconciled(decide.Decision{Action: decide.Rollout}, errors.New("refused"), time.Second)
	m.Acted(web, true, time.Second)
	m.Acted(web, false, time.Second)
	m.Seen(source.Secret, "update")
	q := workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.DefaultTypedControllerRateLimiter[string](),
		workqueue.TypedRateLimitingQueueConfig[string]{Name: "q", MetricsProvider: m.Queue(kubemetrics.NewQueueProvider(registry))})
	defer q.ShutDown()
	q.Add("a")
	q.Add("b")
	q.Get()
	const want = `
reloader_action_total{result="error",workload_kind="Deployment"} 1
reloader_action_total{result="success",workload_kind="Deployment"} 1
reloader_errors_total{type="handler_error"} 1
reloader_events_processed_total{event_type="update",resource_type="secrets",result="success"} 1
reloader_events_received_total{event_type="update",resource_type="secrets"} 1
reloader_reconcile_total{result="error"} 1
reloader_reconcile_total{result="skipped"} 2
reloader_reconcile_total{result="success"} 1
reloader_reload_executed_total_by_namespace{namespace="shop",success="false"} 1
reloader_reload_executed_total_by_namespace{namespace="shop",success="true"} 1
reloader_reload_executed_total{success="false"} 1
reloader_reload_executed_total{success="true"} 1
reloader_retries_total 1
reloader_skipped_total{reason="ignored_or_not_selected"} 1
reloader_skipped_total{reason="no_data_change"} 1
reloader_workqueue_adds_total 2
reloader_workqueue_depth 1
`
	for line := range strings.SplitSeq(strings.TrimSpace(want), "\n") {
		name, value, _ := strings.Cut(line, " ")
		if got := sample(t, registry, name); got != value {
			t.Errorf("%s is %s, want %s", name, got, value)
		}
	}
}

// sample is the value of a series, written as a scrape has it.
func sample(t *testing.T, registry *prometheus.Registry, series string) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(text.String()) {
		if value, is := strings.CutPrefix(line, series+" "); is {
			return strings.TrimSpace(value)
		}
	}
	return "not there"
}

func TestTheSeriesOfNamespacesIsLeftOutUnlessItIsAskedFor(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	reloader.New(registry, false).Acted(workload.Key{Namespace: "shop"}, true, 0)
	if got := sample(t, registry, `reloader_reload_executed_total_by_namespace{namespace="shop",success="true"}`); got != "not there" {
		t.Errorf("it is %s", got)
	}
}
