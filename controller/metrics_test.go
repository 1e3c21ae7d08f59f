package main

import (
	"flag"
	"log/slog"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/kube"
	"inpod.dev/inpod/internal/metricstest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/telemetry"
	"inpod.dev/inpod/internal/telemetry/kubemetrics"
	"inpod.dev/inpod/internal/version"
)

var update = flag.Bool("update", false, "write the table into docs/metrics.md")

// The program is put together with everything that has metrics switched on, and the page lists exactly those.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	registry := telemetry.NewRegistry(version.Build{})
	registry.MustRegister(kubemetrics.Collectors()...) // client-go reports to one registry of a process only
	c := config.Default()
	c.MetricsByNamespace = true
	c.Alert.Enabled, c.Alert.URL = true, "https://alerts.example.com"
	kinds, err := c.Kinds.Table()
	if err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 32)
	digester, err := source.NewDigester(key)
	if err != nil {
		t.Fatal(err)
	}
	at := &rest.Config{Host: "http://127.0.0.1:0"} // nothing is run, and nothing asked for
	client, err := kubernetes.NewForConfig(at)
	if err != nil {
		t.Fatal(err)
	}
	p := &parts{connection: &kube.Connection{Config: at, Client: client}, key: key, digester: digester, kinds: kinds, namespace: "inpod-system"}
	if err := p.assemble(c, version.Build{}, registry, &readiness{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	metrics, err := metricstest.Of(registry)
	if err != nil {
		t.Fatal(err)
	}
	if err := metricstest.Compare("../docs/metrics.md", "controller", metrics, *update); err != nil {
		t.Error(err)
	}
}
