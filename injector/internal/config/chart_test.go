package config

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/charts/tests"
)

const chart = "../../../charts/inpod/"

// byOtherValues are the settings that the chart derives from values outside injector.config, by the name of these.
func byOtherValues() map[string]string {
	return map[string]string{
		"sidecar-image":         "injector.sidecarImage",
		"digest-key-secret":     "controller.config.digestKeySecret",
		"webhook-service":       "fullnameOverride",
		"webhook-configuration": "fullnameOverride",
		"certificate-directory": "injector.certManager and injector.existingCertificate",
		"client-ca-file":        "injector.clientCA",
		"limits-namespaces":     "namespaces",         // those that the controller works in
		"kubeconfig":            "injector.extraArgs", // in a pod, the service account is the way
	}
}

func TestChartHasEverySettingWithItsDefault(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(chart + "values.yaml")
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
		case got == "":
			// Computed; TestChartStartsTheInjectorWithItsDefaults has the result.
		case !sameText(s.Name, got, s.Value.String()):
			t.Errorf("--%s: the default of the chart is %q, that of the program %q", s.Name, got, s.Value.String())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		t.Errorf("injector.config has a key for --%s, and there is no such flag", name)
	}
}

// sameText reports whether a setting reads the same from two texts: 72h and 72h0m0s.
func sameText(name, a, b string) bool {
	read := func(text string) string {
		var c Config
		for _, s := range table(&c) {
			if s.Name == name && s.Value.Set(text) == nil {
				return s.Value.String()
			}
		}
		return text
	}
	return read(a) == read(b)
}

func TestChartStartsTheInjectorWithItsDefaults(t *testing.T) {
	t.Parallel()
	got, err := load(chartArgs(t, "default"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Pod = Pod{Name: "p", Namespace: "n"}
	// What is cluster-wide carries the namespace of the release, and the sidecar has the tag of the chart.
	want.Webhook.Configuration, want.Sidecar.Image = "inpod-injector-inpod-system", got.Sidecar.Image
	if diff := cmp.Diff(leavesOf(want), leavesOf(got)); diff != "" {
		t.Errorf("settings (-program +chart):\n%s", diff)
	}
}

// chartArgs are the arguments that the chart gives, nil where it installs no injector.
func chartArgs(t *testing.T, set string) []string {
	t.Helper()
	rendered, err := tests.Golden(set)
	if err != nil {
		t.Fatal(err)
	}
	args, err := rendered.Args("injector")
	if err != nil {
		return nil
	}
	return args
}

func TestInjectorAcceptsWhatTheChartRenders(t *testing.T) {
	t.Parallel()
	sets, err := tests.Sets()
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for _, set := range sets {
		args := chartArgs(t, set)
		if args == nil {
			continue
		}
		accepted++
		if _, err := load(args, nil); err != nil {
			t.Errorf("charts/tests/testdata/golden/%s.yaml: %v", set, err)
		}
	}
	if accepted < len(sets)/2 {
		t.Errorf("only %d of %d sets install the injector", accepted, len(sets))
	}
}

// What the schema of the chart allows, the program does.
func TestSchemaHasTheWordsOfTheProgram(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(chart + "values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs struct {
			InjectorConfig struct {
				Properties map[string]struct{ Enum []string }
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(content, &schema); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for key, property := range schema.Defs.InjectorConfig.Properties {
		for _, word := range property.Enum {
			checked++
			if word == "" && key == "sidecarPullPolicy" {
				continue // the chart fills in image.pullPolicy
			}
			if _, err := load([]string{needed, "--" + tests.Flag(key) + "=" + word}, nil); err != nil {
				t.Errorf("the schema allows %q for %s: %v", word, key, err)
			}
		}
	}
	if checked == 0 {
		t.Error("the schema lists no words")
	}
}
