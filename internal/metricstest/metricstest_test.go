package metricstest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"inpod.dev/inpod/internal/metricstest"
)

func TestOfListsWhatHasNotBeenCountedToo(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		prometheus.NewCounterVec(prometheus.CounterOpts{Name: "a_total", Help: `Said "so".`}, []string{"x", "y"}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "b_seconds", Help: "B."}),
		prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "c_duration_seconds", Help: "C."}, []string{"x"}),
	)
	got, err := metricstest.Of(registry)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]metricstest.Metric{}
	for _, m := range got {
		byName[m.Name] = m
	}
	if diff := cmp.Diff(map[string]metricstest.Metric{
		"a_total":            {Name: "a_total", Type: "counter", Help: `Said \"so\".`, Labels: []string{"x", "y"}},
		"b_seconds":          {Name: "b_seconds", Type: "gauge", Help: "B."},
		"c_duration_seconds": {Name: "c_duration_seconds", Type: "histogram", Help: "C.", Labels: []string{"x"}},
	}, byName); diff != "" {
		t.Error(diff)
	}
}

func TestCompareFindsWhatIsMissing(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.md")
	const empty = "# M\n\n<!-- p: go test ./p/... -run TestMetricsAreDocumented -update -->\n<!-- end of p -->\nend\n"
	if err := os.WriteFile(page, []byte(empty), 0o600); err != nil {
		t.Fatal(err)
	}
	metrics := metricstest.Parse("# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n")
	if err := metricstest.Compare(page, "p", metrics, false); err == nil || !strings.Contains(err.Error(), "-update") {
		t.Errorf("a metric is missing: %v", err)
	}
	if err := metricstest.Compare(page, "q", metrics, true); err == nil || !strings.Contains(err.Error(), "no place") {
		t.Errorf("the page is about another program: %v", err)
	}
	if err := metricstest.Compare(page, "p", metrics, true); err != nil {
		t.Fatal(err)
	}
	if err := metricstest.Compare(page, "p", metrics, false); err != nil {
		t.Error(err)
	}
	if err := metricstest.Compare(page, "p", nil, false); err == nil {
		t.Error("the page has a metric that the program does not have, and that is no error")
	}
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), "\n| `a_total` | counter | `x` | A. |\n") {
		t.Errorf("%s", content)
	}
}

// Queries and alerts in the documents, and the page for those who come from Reloader, speak of metrics that there are.
func TestQueriesNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	exist := map[string]bool{}
	text := map[string]string{}
	for _, page := range []string{"metrics", "migrating-from-reloader", "rollout-timing", "watch-scope", "sidecar", "troubleshooting", "security", "injecting"} {
		content, err := os.ReadFile("../../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		text[page] = string(content)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (?:counter|gauge|histogram) \\|").FindAllStringSubmatch(text["metrics"], -1) {
		exist[row[1]] = true
	}
	named := 0
	for page, content := range text {
		for _, name := range regexp.MustCompile(`\binpod_\w+`).FindAllString(content, -1) {
			named++
			if !exist[strings.TrimSuffix(name, "_bucket")] && name != "inpod_baselines" { // for grep
				t.Errorf("docs/%s.md speaks of %s, which no program exports", page, name)
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d metrics are named", named)
	}
}
