package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/version"
)

// pod is what the chart sets in the environment through the downward API.
func pod() []string { return []string{"POD_NAME=p", "POD_NAMESPACE=n"} }

func load(args, environ []string) (Config, error) {
	return Load(args, append(pod(), environ...), version.Build{Version: "1.2.3", GoVersion: "go1.26"})
}

// needed is what has no default.
const needed = "--sidecar-image=example.com/sidecar:1"

// other is, per setting, a valid text that is not the default.
func other() map[string]string {
	return map[string]string{
		"sidecar-image": "example.com/sidecar:2", "sidecar-pull-policy": "Always", "native-sidecars": "never",
		"sidecar-cpu-request": "10m", "sidecar-memory-request": "32Mi", "sidecar-memory-limit": "128Mi", "sidecar-status-port": "9898",
		"sidecar-cpu-limit": "100m", "sidecar-ephemeral-storage-request": "1Mi", "sidecar-ephemeral-storage-limit": "8Mi", "sidecar-capabilities": "none",
		"webhook-address": ":8443", "webhook-service": "other", "webhook-configuration": "other", "exclude-namespaces": "build,ci", "drain": "10s",
		"client-ca-file": "/clients/ca.crt", "client-names": "api-server,kube-apiserver",
		"read-limits": "false", "limits-namespaces": "shop,blog", "on-refusal": "retry",
		"certificate-secret": "other", "certificate-directory": "/tls", "certificate-lifetime": "24h", "ca-lifetime": "720h",
		"ca-settle": "2m", "listen-address": ":9191", "digest-key-secret": "other", "lease-name": "other", "log-format": "json",
		"log-level": "debug", "kubeconfig": "/k", "kube-api-qps": "50", "kube-api-burst": "70", "enable-pprof": "true", "pprof-addr": "127.0.0.1:6061",
	}
}

// leaves returns every field of a struct by its path, as text.
func leaves(value reflect.Value, path string) map[string]string {
	if quantity, ok := reflect.TypeAssert[resource.Quantity](value); ok {
		return map[string]string{path: quantity.String()}
	}
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

func leavesOf(c Config) map[string]string { return leaves(reflect.ValueOf(c), "") }

func TestEveryFieldIsReachableFromEveryPlace(t *testing.T) {
	t.Parallel()
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	base, err := load([]string{needed}, nil)
	if err != nil {
		t.Fatal(err)
	}
	reached := map[string]string{}
	initial := Default()
	for _, s := range table(&initial) {
		text, ok := other()[s.Name]
		if !ok {
			t.Errorf("the test has no value for --%s", s.Name)
			continue
		}
		// What a setting needs at its side, and the one that is required.
		beside := []string{"INPOD_SIDECAR_IMAGE=example.com/sidecar:1"}
		if s.Name == "kube-api-burst" {
			beside = append(beside, "INPOD_KUBE_API_QPS=50")
		}
		if s.Name == "client-names" {
			beside = append(beside, "INPOD_CLIENT_CA_FILE=/clients/ca.crt")
		}
		if s.Name == "sidecar-image" {
			beside = nil
		}
		for place, from := range map[string]func() (Config, error){
			"flag":        func() (Config, error) { return load([]string{"--" + s.Name + "=" + text}, beside) },
			"environment": func() (Config, error) { return load(nil, append(beside, s.Variable()+"="+text)) },
			"file":        func() (Config, error) { return load([]string{"--config", file(s.Name + ": " + text + "\n")}, beside) },
		} {
			c, err := from()
			if err != nil {
				t.Errorf("--%s from the %s: %v", s.Name, place, err)
				continue
			}
			c.File = ""
			var changed []string
			for field, now := range leavesOf(c) {
				if now != leavesOf(base)[field] && (field != "Kubernetes.QPS" || s.Name == "kube-api-qps") &&
					(field != "Clients.CAFile" || s.Name == "client-ca-file") {
					changed = append(changed, field)
				}
			}
			if len(changed) != 1 {
				t.Errorf("--%s from the %s changes %v", s.Name, place, changed)
				continue
			}
			reached[changed[0]] = s.Name
		}
	}
	for field := range leavesOf(base) {
		if _, ok := reached[field]; !ok && !slices.Contains([]string{"File", "Pod.Name", "Pod.Namespace"}, field) {
			t.Errorf("no setting reaches %s", field)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args    []string
		environ []string
		want    []string // each in the message
	}{
		"no image for the sidecar": {args: []string{"--sidecar-image="}, want: []string{"--sidecar-image: is required"}},
		"an image with a blank":    {args: []string{"--sidecar-image=a b"}, want: []string{`"a b" is not the name of an image`}},
		"a misspelled flag":        {args: []string{needed, "--sidecar-imgae=x"}, want: []string{"did you mean --sidecar-image?"}},
		"an unknown pull policy":   {args: []string{needed, "--sidecar-pull-policy=Sometimes"}, want: []string{`"Sometimes" is not allowed: use IfNotPresent or Always or Never`}},
		"an unknown wish":          {args: []string{needed, "--native-sidecars=yes"}, want: []string{"use auto or always or never"}},
		"a wrong quantity":         {args: []string{needed, "--sidecar-memory-limit=64MB"}, want: []string{`"64MB" is not a quantity`, "64Mi"}},
		"a negative quantity":      {args: []string{needed, "--sidecar-cpu-request=-5m"}, want: []string{`"-5m" is not a quantity`}},
		"more requested than allowed": {
			args: []string{needed, "--sidecar-memory-request=128Mi"},
			want: []string{"flag --sidecar-memory-request: 128Mi is more than the limit of 64Mi (default of --sidecar-memory-limit)"},
		},
		"more processors requested than allowed": {
			args: []string{needed, "--sidecar-cpu-limit=1m"}, want: []string{"default of --sidecar-cpu-request: 5m is more than the limit of 1m (flag --sidecar-cpu-limit)"},
		},
		"capabilities by name":                 {args: []string{needed, "--sidecar-capabilities=KILL"}, want: []string{"use as-needed or none"}},
		"a port of root's":                     {args: []string{needed, "--sidecar-status-port=80"}, want: []string{"80 is not a port that needs no privilege"}},
		"an address without a port":            {args: []string{needed, "--webhook-address=localhost"}, want: []string{`--webhook-address: "localhost" is not an address`}},
		"one address for two servers":          {args: []string{needed, "--listen-address=:9443"}, want: []string{"is the address of --webhook-address too"}},
		"profiles on the webhook":              {args: []string{needed, "--enable-pprof", "--pprof-addr=:9443"}, want: []string{"the address of another server"}},
		"a Service that cannot be":             {args: []string{needed, "--webhook-service=A_B"}, want: []string{`"A_B" cannot be the name of an object`}},
		"a namespace that cannot be":           {args: []string{needed, "--exclude-namespaces=a,B"}, want: []string{`"B" cannot be the name of a namespace`}},
		"limits of a namespace that cannot be": {args: []string{needed, "--limits-namespaces=B"}, want: []string{`"B" cannot be the name of a namespace`}},
		"an unknown answer to refusals":        {args: []string{needed, "--on-refusal=deny"}, want: []string{"use without-sidecar or retry"}},
		"a negative drain":                     {args: []string{needed, "--drain=-1s"}, want: []string{"-1s is negative"}},
		"a certificate for a moment":           {args: []string{needed, "--certificate-lifetime=1s", "--ca-settle=0s"}, want: []string{"1s is too short; use 30s or more"}},
		"a CA for a moment":                    {args: []string{needed, "--ca-lifetime=80h"}, want: []string{"must outlive at least two certificates of 72h0m0s"}},
		"a settle of half a life":              {args: []string{needed, "--certificate-lifetime=1m", "--ca-settle=30s"}, want: []string{"a third of the lifetime of a certificate, 20s"}},
		"a rate that is none":                  {args: []string{needed, "--kube-api-qps=NaN"}, want: []string{"NaN is not a rate"}},
		"a burst without a rate":               {args: []string{needed, "--kube-api-burst=5"}, want: []string{"no effect without --kube-api-qps"}},
		"a negative burst":                     {args: []string{needed, "--kube-api-burst=-1"}, want: []string{"-1 is negative"}},
		"names of no CA":                       {args: []string{needed, "--client-names=a"}, want: []string{"no effect without --client-ca-file"}},
		"every contradiction at once": {
			args: []string{"--drain=-1s", "--sidecar-status-port=0"}, want: []string{"--drain", "--sidecar-status-port", "--sidecar-image", "run with --help"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(tc.args, tc.environ)
			usage, ok := errors.AsType[*settings.UsageError](err)
			if !ok {
				t.Fatalf("Load = %v; want a usage error", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(usage.Error(), want) {
					t.Errorf("the message is\n%s\nwant in it\n%s", usage, want)
				}
			}
		})
	}
}

func TestOutsideOfAPodItSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := Load([]string{needed}, []string{"POD_NAME=p"}, version.Build{})
	if err == nil || !strings.Contains(err.Error(), "POD_NAME and POD_NAMESPACE") || !strings.Contains(err.Error(), "fieldRef") {
		t.Errorf("error %v", err)
	}
}

func TestHelpAndVersionNeedNothing(t *testing.T) {
	t.Parallel()
	for flag, wants := range map[string][]string{
		"--version": {"inpod injector 1.2.3 (go1.26)\n"},
		"--help":    {"--sidecar-image IMAGE  [INPOD_SIDECAR_IMAGE]", "(default auto)", "(default 72h0m0s)", "The webhook:", "Exit codes"},
	} {
		_, err := Load([]string{flag}, nil, version.Build{Version: "1.2.3", GoVersion: "go1.26"})
		info, ok := errors.AsType[*settings.InfoError](err)
		if !ok {
			t.Errorf("%s: %v", flag, err)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(info.Text, want) {
				t.Errorf("%s prints\n%s\nwithout %q", flag, info.Text, want)
			}
		}
	}
}

func TestEffectiveShowsWhatIsNotDefault(t *testing.T) {
	t.Parallel()
	c, err := load([]string{needed, "--drain=1s"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.File = "/c.yaml"
	var got []string
	for _, attr := range Effective(c) {
		got = append(got, attr.String())
	}
	want := []string{"config=/c.yaml", "sidecarImage=example.com/sidecar:1", "drain=1s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}
