package status_test

import (
	"flag"
	"testing"

	"inpod.dev/inpod/internal/metricstest"
)

var update = flag.Bool("update", false, "write the table into docs/metrics.md")

func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	_, body := get(t, "/metrics")
	if err := metricstest.Compare("../../../docs/metrics.md", "sidecar", metricstest.Parse(body), *update); err != nil {
		t.Error(err)
	}
}
