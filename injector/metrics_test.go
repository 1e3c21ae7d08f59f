package main

import (
	"context"
	"flag"
	"log/slog"
	"testing"

	"k8s.io/client-go/kubernetes/fake"

	"inpod.dev/inpod/injector/internal/admission"
	"inpod.dev/inpod/injector/internal/certs"
	"inpod.dev/inpod/injector/internal/config"
	"inpod.dev/inpod/internal/kube"
	"inpod.dev/inpod/internal/metricstest"
	"inpod.dev/inpod/internal/telemetry"
	"inpod.dev/inpod/internal/telemetry/kubemetrics"
	"inpod.dev/inpod/internal/version"
)

var update = flag.Bool("update", false, "write the table into docs/metrics.md")

// The page lists exactly what the webhook and what keeps its certificate export.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Pod.Name, c.Pod.Namespace = "one", "inpod-system"
	in := &injector{config: c, log: slog.New(slog.DiscardHandler), registry: telemetry.NewRegistry(version.Build{}), fail: func(error) {}}
	in.registry.MustRegister(kubemetrics.Collectors()...) // client-go reports to one registry of a process only
	admission.NewMetrics(in.registry)
	certs.NewClients("", nil, in.log, in.registry)
	ended, cancel := context.WithCancel(t.Context())
	cancel() // what certificate starts ends at once
	if _, _, err := in.certificate(ended, &kube.Connection{Client: fake.NewClientset()}); err != nil {
		t.Fatal(err)
	}
	in.keeper(&kube.Connection{Client: fake.NewClientset()}, nil)
	in.tasks.Wait()
	metrics, err := metricstest.Of(in.registry)
	if err != nil {
		t.Fatal(err)
	}
	if err := metricstest.Compare("../docs/metrics.md", "injector", metrics, *update); err != nil {
		t.Error(err)
	}
}
