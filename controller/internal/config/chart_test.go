package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/charts/tests"
)

const chart = "../../../charts/inpod/"

// byOtherValues are the settings that the chart derives from values outside controller.config, by the name of these.
func byOtherValues() map[string]string {
	return map[string]string{
		"namespaces":     "namespaces",
		"enable-ha":      "controller.replicas",
		"workload-kinds": "controller.workloadKinds",
		"kubeconfig":     "controller.extraArgs", // in a pod, the service account is the way
		// Passwords, which do not belong into the arguments of a container.
		"alert-webhook-url":   "controller.extraEnv",
		"alert-webhook-proxy": "controller.extraEnv",
	}
}

func TestChartHasEverySettingWithItsDefault(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(chart + "values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	values, err := tests.Defaults(content, "controller")
	if err != nil {
		t.Fatal(err)
	}
	initial := Default()
	for _, s := range table(&initial) {
		got, isSet := values[s.Name]
		delete(values, s.Name)
		switch value, derived := byOtherValues()[s.Name]; {
		case derived && isSet:
			t.Errorf("--%s is derived from the value %s, and is in controller.config too", s.Name, value)
		case derived:
		case !isSet:
			t.Errorf("--%s cannot be reached from the values of the chart: add it to controller.config in values.yaml", s.Name)
		case got == "" && (s.Name == "digest-key-secret" || s.Name == "lease-name"):
			// Computed from the name of the release; TestChartStartsTheControllerWithItsDefaults has the result.
		case got != s.Value.String():
			t.Errorf("--%s: the default of the chart is %q, that of the program %q", s.Name, got, s.Value.String())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		t.Errorf("controller.config has a key for --%s, and there is no such flag", name)
	}
}

// pod is what the chart sets in the environment through the downward API.
func pod() []string { return []string{"POD_NAME=p", "POD_NAMESPACE=n"} }

func TestChartStartsTheControllerWithItsDefaults(t *testing.T) {
	t.Parallel()
	got, err := load(chartArgs(t, "default"), pod())
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Pod = Pod{Name: "p", Namespace: "n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-program +chart):\n%s", diff)
	}
}

func chartArgs(t *testing.T, set string) []string {
	t.Helper()
	rendered, err := tests.Golden(set)
	if err != nil {
		t.Fatal(err)
	}
	args, err := rendered.Args("controller")
	if err != nil {
		t.Fatal(err)
	}
	return args
}

func TestControllerAcceptsWhatTheChartRenders(t *testing.T) {
	t.Parallel()
	sets, err := tests.Sets()
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range sets {
		if _, err := load(chartArgs(t, set), pod()); err != nil {
			t.Errorf("charts/tests/testdata/golden/%s.yaml: %v", set, err)
		}
	}
	got, err := load(chartArgs(t, "everything"), pod())
	if err != nil {
		t.Fatal(err)
	}
	// The set is meant to turn every knob.
	for field, text := range leavesOf(got) {
		if field != "File" && !strings.HasPrefix(field, "Pod.Reloader") && text == leavesOf(Default())[field] {
			t.Errorf("%s has its default in testdata/values/everything.yaml: set it there", field)
		}
	}
}

// What the schema of the chart allows and what the program allows are the same words.
func TestSchemaHasTheWordsOfTheProgram(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(chart + "values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs struct {
			ControllerConfig struct {
				Properties map[string]struct{ Enum []string }
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(content, &schema); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for key, property := range schema.Defs.ControllerConfig.Properties {
		name := tests.Flag(key)
		for _, word := range property.Enum {
			checked++
			if _, err := load([]string{"--" + name + "=" + word}, nil); err != nil {
				t.Errorf("the schema allows %q for %s: %v", word, key, err)
			}
		}
		if len(property.Enum) == 0 {
			continue
		}
		// The error for a word that does not exist lists those that do.
		_, err := load([]string{"--" + name + "=no-such-word"}, nil)
		_, listed, found := strings.Cut(fmt.Sprint(err), "use ")
		if !found {
			t.Fatalf("--%s: no words in %v", name, err)
		}
		listed, _, _ = strings.Cut(listed, "\n")
		for word := range strings.FieldsFuncSeq(listed, func(r rune) bool { return r == ' ' || r == ',' }) {
			if word != "or" && word != "one" && word != "of" && !slices.Contains(property.Enum, word) {
				t.Errorf("the program allows %q for --%s, and the schema does not", word, name)
			}
		}
	}
	if checked == 0 {
		t.Error("the schema lists no words")
	}
}

func leavesOf(c Config) map[string]string { return leaves(reflect.ValueOf(c), "") }
