package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/version"
)

// other is, per setting, a valid text that is not the default. Some need a second setting to be valid.
func other() map[string]string {
	texts := map[string]string{
		"reload-strategy":       "annotations",
		"namespaces":            "one,two",
		"log-format":            "json",
		"log-level":             "debug",
		"pprof-addr":            "127.0.0.1:6061",
		"kubeconfig":            "/k",
		"listen-address":        ":9191",
		"settle":                "3s",
		"settle-max":            "20s",
		"window":                "Sat 10:00-12:00",
		"workers":               "9",
		"baseline-rate":         "2.5",
		"reload-in-place":       "false",
		"reload-deadline":       "3m",
		"nudge-rate":            "7",
		"confirm-through":       "portforward",
		"unreachable":           "rollout",
		"evict-failed-pods":     "false",
		"alert-on-reload":       "true",
		"alert-sink":            "teams",
		"alert-webhook-url":     "https://hooks.example.com/other",
		"alert-webhook-proxy":   "http://proxy.example.com:3128",
		"alert-additional-info": "prod",
		"is-openshift":          "true",
		"workload-kinds":        "CloneSet=apps.kruise.io/v1alpha1/clonesets",
		"kube-api-qps":          "50",
		"kube-api-burst":        "70",
		"digest-key-secret":     "other-key",
		"lease-name":            "other-lease",
		"lease-duration":        "30s",
		"lease-renew-deadline":  "11s",
		"lease-retry-period":    "1s",

		"namespaces-to-ignore":    "three,four",
		"ignored-workload-types":  "cronjobs",
		"webhook-url":             "https://hooks.example.com/roll",
		"webhook-proxy":           "http://proxy.example.com:3128",
		"namespace-selector":      "team=shop,tier in (api,web)",
		"resource-label-selector": "app!=legacy",
		"resources-to-ignore":     "secrets",

		"max-concurrent-rollouts":               "5",
		"max-concurrent-rollouts-per-namespace": "2",
		"rollout-rate":                          "1.5",
		"rollout-timeout":                       "5m",
	}
	for _, name := range []string{"auto-reload-all", "reload-on-create", "reload-on-delete", "enable-ha", "enable-pprof", "is-argo-rollouts", "notify-only", "namespace-defaults", "sync-after-restart", "metrics-by-namespace", "meta-info", "enable-csi-integration", "cluster-trust-bundles"} {
		texts[name] = "true"
	}
	initial := Default()
	for _, s := range table(&initial) {
		if strings.HasSuffix(s.Name, "-annotation") {
			texts[s.Name] = "example.com/" + s.Name
		}
	}
	return texts
}

// base is the environment that makes every setting of other valid.
func base() []string { return []string{"POD_NAME=p", "POD_NAMESPACE=n"} }

// with are the settings that another one needs at its side.
func with(name string) []string {
	switch name {
	case "kube-api-burst":
		return []string{"INPOD_KUBE_API_QPS=50"}
	case "alert-on-reload":
		return []string{"INPOD_ALERT_WEBHOOK_URL=https://hooks.example.com/x"}
	}
	return nil
}

// places are the ways to give a setting a value.
func places(t *testing.T) map[string]func(name, text string) (args, environ []string) {
	t.Helper()
	return map[string]func(name, text string) ([]string, []string){
		"flag": func(name, text string) ([]string, []string) { return []string{"--" + name + "=" + text}, nil },
		"environment": func(name, text string) ([]string, []string) {
			return nil, []string{"INPOD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "=" + text}
		},
		"file": func(name, text string) ([]string, []string) {
			return []string{"--config", file(t, "config.yaml", name+": "+text+"\n")}, nil
		},
	}
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(args, environ []string) (Config, error) {
	return Load(args, environ, version.Build{Version: "1.2.3", GoVersion: "go1.26"})
}

// leaves returns every field of a struct by its path, as text.
func leaves(value reflect.Value, path string) map[string]string {
	if value.Kind() != reflect.Struct {
		return map[string]string{path: fmt.Sprint(value.Interface())}
	}
	found := map[string]string{}
	for i := range value.NumField() {
		name := strings.TrimPrefix(path+"."+value.Type().Field(i).Name, ".")
		maps.Copy(found, leaves(value.Field(i), name))
	}
	return found
}

// changed returns the fields that differ between two configurations.
func changed(a, b Config) []string {
	before, after := leaves(reflect.ValueOf(a), ""), leaves(reflect.ValueOf(b), "")
	var fields []string
	for field, text := range after {
		if text != before[field] {
			fields = append(fields, field)
		}
	}
	return fields
}

func TestEveryFieldIsReachableFromEveryPlace(t *testing.T) {
	t.Parallel()
	texts, reached := other(), map[string]string{}
	initial := Default()
	for _, s := range table(&initial) {
		text, ok := texts[s.Name]
		if !ok {
			t.Errorf("the test has no value for --%s: add one", s.Name)
			continue
		}
		environ := append(base(), with(s.Name)...)
		before, err := load(nil, environ)
		if err != nil {
			t.Fatal(err)
		}
		for place, write := range places(t) {
			args, variables := write(s.Name, text)
			got, err := load(args, append(environ, variables...))
			if err != nil {
				t.Errorf("--%s by %s: %v", s.Name, place, err)
				continue
			}
			got.File = ""
			fields := changed(before, got)
			if len(fields) != 1 {
				t.Errorf("--%s by %s changes the fields %v, want one", s.Name, place, fields)
				continue
			}
			if by, taken := reached[fields[0]]; taken && by != s.Name {
				t.Errorf("%s is set by both --%s and --%s", fields[0], by, s.Name)
			}
			reached[fields[0]] = s.Name
		}
	}
	// These have ways of their own, tested below.
	reached["File"], reached["Pod.Name"], reached["Pod.Namespace"] = "--config", "POD_NAME", "POD_NAMESPACE"
	reached["Pod.ReloaderNamespace"], reached["Pod.ReloaderDeployment"] = "RELOADER_NAMESPACE", "RELOADER_DEPLOYMENT_NAME"
	for field := range leaves(reflect.ValueOf(Config{}), "") {
		if reached[field] == "" {
			t.Errorf("nothing sets %s", field)
		}
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	path := file(t, "config.yaml", "workers: 3\nsettle: 3s\nlog-level: debug\n")
	got, err := load(
		[]string{"--workers=1", "--config=" + path},
		[]string{"INPOD_WORKERS=2", "INPOD_SETTLE=2500ms", "INPOD_SETTLE_MAX="},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.File = path
	want.Pace.Workers = 1   // flag
	want.Pace.Settle = 25e8 // environment
	want.Log.Level = -4     // file
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestFileCanBeNamedByTheEnvironment(t *testing.T) {
	t.Parallel()
	named, flagged := file(t, "named.yaml", "workers: 3\n"), file(t, "flagged.yaml", "workers: 4\n")
	environ := []string{"INPOD_CONFIG=" + named}
	if got, err := load(nil, environ); err != nil || got.Pace.Workers != 3 || got.File != named {
		t.Errorf("by the environment: %+v, %v", got, err)
	}
	if got, err := load([]string{"--config", flagged}, environ); err != nil || got.Pace.Workers != 4 || got.File != flagged {
		t.Errorf("the flag goes first: %+v, %v", got, err)
	}
}

func TestFileLanguages(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"c.yaml": "# comment\nnamespaces: [b, a]\nbaseline-rate: 0.5\nauto-reload-all: true\nworkers: 4\n",
		"c.yml":  "namespaces: b, a\nbaseline-rate: '0.5'\nauto-reload-all: 'true'\nworkers: '4'\n",
		"c.json": `{"namespaces":["b","a"],"baseline-rate":0.5,"auto-reload-all":true,"workers":4}`,
		"c.toml": "namespaces = ['b', 'a']\nbaseline-rate = 0.5\nauto-reload-all = true\nworkers = 4\n",
		"c":      "namespaces:\n- b\n- a\nbaseline-rate: 0.5\nauto-reload-all: true\nworkers: 4\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := file(t, name, content)
			want := Default()
			want.File, want.Namespaces, want.Pace.BaselineRate, want.Pace.Workers = path, []string{"b", "a"}, 0.5, 4
			want.Reload.AutoAll = true
			got, err := load([]string{"--config", path}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

// The environment of the test process must have no effect.
func TestLoadReadsNothingFromTheProcess(t *testing.T) {
	t.Setenv("INPOD_WORKERS", "99")
	t.Setenv("WORKERS", "99")
	t.Setenv("POD_NAME", "x")
	got, err := load([]string{"--config", file(t, "c.yaml", "settle: 2s\n")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got.File = ""
	if diff := cmp.Diff(Default(), got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}
