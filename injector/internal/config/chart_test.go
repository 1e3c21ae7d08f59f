package config

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/charts/tests"
	"inpod.dev/inpod/internal/telemetry"
)

// byOtherValues are the settings that the chart derives from values outside injector.config, by the name of these.
func byOtherValues() map[string]string {
	return map[string]string{
		"sidecar-image":         "injector.sidecarImage",
		"webhook-service":       "fullnameOverride",
		"webhook-configuration": "fullnameOverride",
		"certificate-directory": "injector.existingCertificate",
		"digest-key-secret":     "controller.config.digestKeySecret",
		"kubeconfig":            "injector.extraArgs", // in a pod, the service account is the way
	}
}

// computed tells settings that are empty in values.yaml because the chart computes them from other values.
// TestChartStartsTheInjectorWithItsDefaults has the result.
func computed(name string) bool {
	return name == "certificate-secret" || name == "lease-name" || name == "sidecar-pull-policy"
}

func TestChartHasEverySettingWithItsDefault(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../../charts/inpod/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	values, err := tests.Defaults(content, "injector")
	if err != nil {
		t.Fatal(err)
	}
	initial := Default()
	for _, s := range table(&initial) {
		got, isSet := values[s.Name]
		delete(values, s.Name)
		switch value, derived := byOtherValues()[s.Name]; {
		case derived && isSet:
			t.Errorf("--%s is derived from the value %s, and is in injector.config too", s.Name, value)
		case derived:
		case !isSet:
			t.Errorf("--%s cannot be reached from the values of the chart: add it to injector.config in values.yaml", s.Name)
		case got == "" && computed(s.Name):
		default:
			// Durations and quantities can be written in several ways, so the text is read before it is compared.
			want := s.Value.String()
			if err := s.Value.Set(got); err != nil {
				t.Errorf("--%s: the default of the chart is refused: %v", s.Name, err)
			} else if s.Value.String() != want {
				t.Errorf("--%s: the default of the chart is %q, that of the program %q", s.Name, got, want)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		t.Errorf("injector.config has a key for --%s, and there is no such flag", name)
	}
}

func loadChart(t *testing.T, set string) (Config, error) {
	t.Helper()
	rendered, err := tests.Golden(set)
	if err != nil {
		t.Fatal(err)
	}
	args, err := rendered.Args("injector")
	if err != nil {
		t.Skip(err) // not installed with these values
	}
	// What the chart sets in the environment through the downward API.
	return Load(args, []string{"POD_NAME=p", "POD_NAMESPACE=inpod-system"}, telemetry.Build{})
}

func TestChartStartsTheInjectorWithItsDefaults(t *testing.T) {
	t.Parallel()
	got, err := loadChart(t, "default")
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Pod = Pod{Name: "p", Namespace: "inpod-system"}
	want.Sidecar.Image = "inpod/sidecar:" + got.Sidecar.Image[strings.LastIndex(got.Sidecar.Image, ":")+1:]
	want.Webhook.Configuration = "inpod-injector-inpod-system" // cluster-wide names carry the namespace
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-program +chart):\n%s", diff)
	}
}

func TestInjectorAcceptsWhatTheChartRenders(t *testing.T) {
	t.Parallel()
	sets, err := tests.Sets()
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range sets {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			if _, err := loadChart(t, set); err != nil {
				t.Error(err)
			}
		})
	}
}
