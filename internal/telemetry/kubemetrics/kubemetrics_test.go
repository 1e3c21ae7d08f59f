package kubemetrics_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"

	"inpod.dev/inpod/internal/telemetry/kubemetrics"
)

func TestQueueReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		queue := workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.DefaultTypedControllerRateLimiter[string](),
			workqueue.TypedRateLimitingQueueConfig[string]{Name: "workloads", MetricsProvider: kubemetrics.NewQueueProvider(registry)},
		)
		defer queue.ShutDown()
		queue.Add("a")
		queue.Add("a")
		queue.Add("b")
		time.Sleep(2 * time.Second) // in the queue, on the fake clock
		item, _ := queue.Get()
		time.Sleep(3 * time.Second) // at work
		queue.Done(item)
		queue.AddRateLimited(item)
		synctest.Wait()

		text := gather(t, registry)
		for _, want := range []string{
			`inpod_workqueue_adds_total{name="workloads"} 2`, // the second a was waiting already
			`inpod_workqueue_depth{name="workloads"} 1`,
			`inpod_workqueue_retries_total{name="workloads"} 1`,
			`inpod_workqueue_queue_duration_seconds_sum{name="workloads"} 2`,
			`inpod_workqueue_work_duration_seconds_sum{name="workloads"} 3`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in\n%s", want, text)
			}
		}
	})
}

func TestMetricNamesFollowTheConventions(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	provider := kubemetrics.NewQueueProvider(registry)
	provider.NewDepthMetric("q").Inc()
	provider.NewAddsMetric("q").Inc()
	provider.NewLatencyMetric("q").Observe(1)
	provider.NewWorkDurationMetric("q").Observe(1)
	provider.NewUnfinishedWorkSecondsMetric("q").Set(1)
	provider.NewLongestRunningProcessorSecondsMetric("q").Set(1)
	provider.NewRetriesMetric("q").Inc()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

// client-go takes the adapters of the first registration only, so everything about them is in one test.
func TestRequestsReport(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	if err := kubemetrics.RegisterREST(registry); err != nil {
		t.Fatal(err)
	}
	if err := kubemetrics.RegisterREST(prometheus.NewRegistry()); !errors.Is(err, kubemetrics.ErrRegistered) {
		t.Errorf("the second registration = %v, want ErrRegistered", err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().ConfigMaps("default").Get(t.Context(), "c", metav1.GetOptions{}); err == nil {
		t.Fatal("the server has no ConfigMap")
	}
	host := strings.TrimPrefix(server.URL, "http://")
	text := gather(t, registry)
	for _, want := range []string{
		`rest_client_requests_total{code="404",host="` + host + `",method="GET"} 1`,
		`rest_client_request_duration_seconds_count{host="` + host + `",verb="GET"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// gather returns what a scrape would.
func gather(t *testing.T, registry *prometheus.Registry) string {
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
	return text.String()
}
