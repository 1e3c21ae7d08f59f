package status_test

import (
	"flag"
	"testing"

	"inpod.dev/inpod/internal/telemetry/metricsdoc"
)

var update = flag.Bool("update", false, "write the table into docs/metrics.md")

func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	_, body := get(t, "/metrics")
	if err := metricsdoc.Compare("../../../docs/metrics.md", "sidecar", metricsdoc.Parse(body), *update); err != nil {
		t.Error(err)
	}
}
