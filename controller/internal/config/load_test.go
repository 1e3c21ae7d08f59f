package config

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/source"
)

func TestAccepted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args    []string
		environ []string
		want    func(c *Config)
	}{
		"nothing is set": {want: func(*Config) {}},
		"a string boolean of Reloader with an equals sign": {
			args: []string{"--reload-on-create=true", "--reload-on-delete=false"},
			want: func(c *Config) { c.Reload.OnCreate = true },
		},
		"a string boolean of Reloader with a blank": {
			args: []string{"--reload-on-create", "true", "--reload-on-delete", "false"},
			want: func(c *Config) { c.Reload.OnCreate = true },
		},
		"a string boolean of Reloader alone": {
			args: []string{"--reload-on-create", "--workers", "3"},
			want: func(c *Config) { c.Reload.OnCreate, c.Pace.Workers = true, 3 },
		},
		"the strategy that Reloader's chart calls default": {
			args: []string{"--reload-strategy=default"},
			want: func(*Config) {},
		},
		"the empty log format of Reloader's chart": {args: []string{"--log-format="}, want: func(*Config) {}},
		"a list with blanks, empty entries and a repeated flag": {
			args: []string{"--namespaces=a, b,,", "--namespaces", "c,a"},
			want: func(c *Config) { c.Namespaces = []string{"a", "b", "c"} },
		},
		"a flag replaces the list of the environment": {
			args: []string{"--namespaces=a"}, environ: []string{"INPOD_NAMESPACES=b"},
			want: func(c *Config) { c.Namespaces = []string{"a"} },
		},
		"the single namespace of Reloader": {
			environ: []string{"KUBERNETES_NAMESPACE=a"},
			want:    func(c *Config) { c.Namespaces = []string{"a"} },
		},
		"a list of namespaces goes before the single one": {
			args: []string{"--namespaces=a"}, environ: []string{"KUBERNETES_NAMESPACE=b"},
			want: func(c *Config) { c.Namespaces = []string{"a"} },
		},
		"an empty single namespace means all": {environ: []string{"KUBERNETES_NAMESPACE="}, want: func(*Config) {}},
		"blanks around a value":               {environ: []string{"INPOD_WORKERS= 3 "}, want: func(c *Config) { c.Pace.Workers = 3 }},
		"the pod": {
			args: []string{"--enable-ha"}, environ: []string{"POD_NAME=p", "POD_NAMESPACE=n"},
			want: func(c *Config) { c.Election.Enabled, c.Pod = true, Pod{Name: "p", Namespace: "n"} },
		},
		"variables that Kubernetes makes for a Service called inpod": {
			environ: []string{
				"INPOD_SERVICE_HOST=10.0.0.1", "INPOD_SERVICE_PORT=9090", "INPOD_SERVICE_PORT_HTTP=9090",
				"INPOD_PORT=tcp://10.0.0.1:9090", "INPOD_PORT_9090_TCP=tcp://10.0.0.1:9090", "INPOD_PORT_9090_TCP_PROTO=tcp",
				"INPOD_PORT_9090_TCP_PORT=9090", "INPOD_PORT_9090_TCP_ADDR=10.0.0.1",
			},
			want: func(*Config) {},
		},
		"variables that Kubernetes makes for a Service called inpod-controller": {
			environ: []string{
				"INPOD_CONTROLLER_SERVICE_HOST=10.0.0.1", "INPOD_CONTROLLER_SERVICE_PORT_HTTP_METRICS=1",
				"INPOD_CONTROLLER_PORT=tcp://10.0.0.1:9090", "INPOD_CONTROLLER_PORT_53_UDP_ADDR=10.0.0.1",
			},
			want: func(*Config) {},
		},
		"an empty variable is not set": {environ: []string{"INPOD_SETTLE=", "INPOD_CONFIG="}, want: func(*Config) {}},
		"no settle time at all":        {args: []string{"--settle=0s", "--settle-max=0"}, want: func(c *Config) { c.Pace.Settle, c.Pace.SettleMax = 0, 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := Default()
			tc.want(&want)
			got, err := load(tc.args, tc.environ)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args    []string
		environ []string
		file    string
		want    []string // each in the message
	}{
		"an unknown flag":              {args: []string{"--frobnicate"}, want: []string{"flag --frobnicate is unknown\n"}},
		"a misspelled flag":            {args: []string{"--setle=2s"}, want: []string{"flag --setle is unknown; did you mean --settle?"}},
		"a flag in other letters":      {args: []string{"--Reload_Strategy=x"}, want: []string{"did you mean --reload-strategy?"}},
		"one dash":                     {args: []string{"-settle=2s"}, want: []string{"flags begin with two dashes"}},
		"a flag of Reloader, capitals": {args: []string{"--is-Argo-Rollouts=x"}, want: []string{`flag --is-argo-rollouts: "x" is not a boolean`}},
		"a selector that is none":      {args: []string{"--namespace-selector=a in b"}, want: []string{`flag --namespace-selector: "a in b" is not a label selector`, "tier in (web,api)"}},
		"another type to ignore":       {args: []string{"--ignored-workload-types=jobs,pods"}, want: []string{`flag --ignored-workload-types: "pods"`, "jobs, cronjobs"}},
		"another kind to ignore":       {args: []string{"--resources-to-ignore=secrets,pods"}, want: []string{`flag --resources-to-ignore: "pods"`, "configmaps, secrets"}},
		"no namespace to ignore":       {args: []string{"--namespaces-to-ignore=Kube_System"}, want: []string{`flag --namespaces-to-ignore`, `"Kube_System"`}},
		"a kind that is a word":        {args: []string{"--workload-kinds=CloneSet"}, want: []string{"flag --workload-kinds", `"CloneSet": write KIND=GROUP/VERSION/RESOURCE`}},
		"a kind in small letters":      {args: []string{"--workload-kinds=cloneset=a.b/v1/c"}, want: []string{`"cloneset" is not a kind`}},
		"a kind without its version":   {args: []string{"--workload-kinds=CloneSet=clonesets"}, want: []string{`"clonesets" is not GROUP/VERSION/RESOURCE`}},
		"a kind with a bad path":       {args: []string{"--workload-kinds=CloneSet=a.b/v1/c:spec..template"}, want: []string{`"spec..template" is not a path`}},
		"a kind that is handled":       {args: []string{"--workload-kinds=D=apps/v1/deployments"}, want: []string{"deployments.apps are handled already"}},
		"a kind twice":                 {args: []string{"--workload-kinds=A=a.b/v1/c,B=a.b/v2/c"}, want: []string{`"B=a.b/v2/c": c.a.b are handled already`}},
		"a flag without its value":     {args: []string{"--settle"}, want: []string{"flag --settle needs a value"}},
		"an argument":                  {args: []string{"--enable-pprof", "false"}, want: []string{`unexpected argument "false"`, "--auto-reload-all=false"}},
		"an unknown variable": {
			environ: []string{"INPOD_LOGLEVEL=debug"},
			want:    []string{"environment variable INPOD_LOGLEVEL is unknown; did you mean INPOD_LOG_LEVEL?"},
		},
		"a variable that only looks like one of a Service": {environ: []string{"INPOD_PORTS=1"}, want: []string{"INPOD_PORTS is unknown"}},
		"an unknown key":             {file: "a.yaml: \nsetle: 2s\n", want: []string{"key setle is unknown; did you mean settle?"}},
		"a nested key":               {file: "reload:\n  strategy: annotations\n", want: []string{"key reload.strategy is unknown"}},
		"a key without value":        {file: "settle:\n", want: []string{"key settle: has no value"}},
		"a list for one value":       {file: "settle: [1s, 2s]\n", want: []string{"key settle: is a list, and one value is wanted"}},
		"a list in a list":           {file: "namespaces: [[a]]\n", want: []string{"key namespaces: is a list"}},
		"a file that is not YAML":    {file: "settle: [\n", want: []string{"file ", "config.yaml: "}},
		"a key that is there twice":  {file: "settle: 1s\nsettle: 2s\n", want: []string{"already defined"}},
		"a file that names a file":   {file: "config: other.yaml\n", want: []string{"key config is unknown"}},
		"a file that is not there":   {args: []string{"--config=/does/not/exist.yaml"}, want: []string{"file /does/not/exist.yaml: cannot be read: no such file"}},
		"a file of another language": {args: []string{"--config=/x.ini"}, want: []string{"file /x.ini: the name must end with yaml, yml, json or toml"}},

		"a wrong strategy": {
			args: []string{"--reload-strategy=env"},
			want: []string{`flag --reload-strategy: "env" is not allowed: use env-vars or annotations`},
		},
		"a wrong boolean": {
			environ: []string{"INPOD_AUTO_RELOAD_ALL=yes"},
			want:    []string{`environment variable INPOD_AUTO_RELOAD_ALL: "yes" is not a boolean: use true or false`},
		},
		"a wrong duration":          {file: "settle: 2 seconds\n", want: []string{`key settle: "2 seconds" is not a duration`, "500ms"}},
		"a duration without a unit": {args: []string{"--settle=2"}, want: []string{`"2" is not a duration: use a number with a unit`}},
		"negative limits": {
			args: []string{"--max-concurrent-rollouts=-1", "--max-concurrent-rollouts-per-namespace=-2", "--rollout-rate=-3", "--rollout-timeout=0s"},
			want: []string{"--max-concurrent-rollouts", "-1 is negative", "--max-concurrent-rollouts-per-namespace", "-2 is negative", "-3 is not a rate", "0s would let no rollout count"},
		},
		"a wrong window": {args: []string{"--window=at night"}, want: []string{`--window`, `"at night" is no maintenance window`, `"at" is not a day`}},
		"a wrong number": {args: []string{"--workers=many"}, want: []string{`"many" is not a whole number`}},
		"a wrong level":  {args: []string{"--log-level=loud"}, want: []string{`"loud" is not a log level: use one of trace, debug`}},
		"a wrong format": {args: []string{"--log-format=xml"}, want: []string{`"xml" is not allowed: use text or json`}},

		"settle beyond its limit": {
			args: []string{"--settle=20s"},
			want: []string{"default of --settle-max: 10s is shorter than the settle time of 20s (flag --settle)"},
		},
		"a negative settle":                    {args: []string{"--settle=-1s"}, want: []string{"flag --settle: -1s is negative"}},
		"no workers":                           {args: []string{"--workers=0"}, want: []string{"flag --workers: 0 is too few; use 1 or more"}},
		"no new baselines":                     {args: []string{"--baseline-rate=0"}, want: []string{"--baseline-rate: 0 would never record the baseline of"}},
		"no time to reload":                    {args: []string{"--reload-deadline=0s"}, want: []string{"--reload-deadline: 0s leaves no time"}},
		"no nudges":                            {args: []string{"--nudge-rate=0"}, want: []string{"--nudge-rate: 0 would never refresh"}},
		"a baseline rate that is not a number": {args: []string{"--baseline-rate=NaN"}, want: []string{"NaN would never record the baseline of"}},
		"a negative rate":                      {args: []string{"--kube-api-qps=-1"}, want: []string{"-1 is not a rate; use 0 (no limit)"}},
		"a negative burst":                     {args: []string{"--kube-api-burst=-1"}, want: []string{"--kube-api-burst: -1 is negative"}},
		"a burst without a rate":               {args: []string{"--kube-api-burst=5"}, want: []string{"no effect without --kube-api-qps"}},
		"a namespace that cannot be":           {args: []string{"--namespaces=Team_A"}, want: []string{`flag --namespaces: "Team_A" cannot be the name of a namespace`}},
		"a single namespace that cannot be": {
			environ: []string{"KUBERNETES_NAMESPACE=Team_A"},
			want:    []string{`environment variable KUBERNETES_NAMESPACE: "Team_A"`},
		},
		"a Lease that cannot be": {args: []string{"--lease-name="}, want: []string{`flag --lease-name: "" cannot be the name of an object`}},
		"a lease shorter than its deadline": {
			args: []string{"--lease-duration=5s"},
			want: []string{"flag --lease-duration: 5s must be longer than the renew deadline of 10s (default of --lease-renew-deadline)"},
		},
		"half a second of lease": {args: []string{"--lease-duration=15500ms"}, want: []string{"whole number of seconds"}},
		"a deadline shorter than the retries": {
			args: []string{"--lease-retry-period=9s"},
			want: []string{"default of --lease-renew-deadline: 10s must be longer than 10.8s"},
		},
		"no time between retries": {args: []string{"--lease-retry-period=0s"}, want: []string{"--lease-retry-period: 0s is too short"}},
		"an election without a pod": {
			args: []string{"--enable-ha"}, environ: []string{"POD_NAME=p"},
			want: []string{"flag --enable-ha: needs the environment variables POD_NAME and POD_NAMESPACE", "fieldRef", "$(hostname)"},
		},
		"a key that cannot be": {args: []string{"--auto-annotation=a b"}, want: []string{`flag --auto-annotation: "a b" cannot be the key of an annotation`}},
		"a key that is taken": {
			args: []string{"--ignore-annotation=reloader.stakater.com/auto"},
			want: []string{`flag --ignore-annotation: the key "reloader.stakater.com/auto" is taken by --auto-annotation (default of --auto-annotation)`},
		},
		"an address without a port": {args: []string{"--listen-address=localhost"}, want: []string{`flag --listen-address: "localhost" is not an address`, ":9090"}},
		"a port out of range":       {args: []string{"--pprof-addr=:70000"}, want: []string{`flag --pprof-addr: ":70000" is not an address`}},
		"profiles on the port of the metrics": {
			args: []string{"--enable-pprof", "--pprof-addr=:9090"},
			want: []string{"is the address of --listen-address too"},
		},
		"every wrong value at once": {
			args: []string{"--workers=x"}, environ: []string{"INPOD_SETTLE=x", "INPOD_NONSENSE=1"}, file: "log-level: x\nnonsense: 1\n",
			want: []string{"flag --workers", "INPOD_SETTLE", "INPOD_NONSENSE", "key log-level", "key nonsense", "--help"},
		},
		"every contradiction at once": {
			args: []string{"--workers=0", "--settle=1h", "--enable-ha"},
			want: []string{"--workers", "--settle-max", "--enable-ha"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := tc.args
			if tc.file != "" {
				args = append(slices.Clone(args), "--config", file(t, "config.yaml", tc.file))
			}
			got, err := load(args, tc.environ)
			usage, ok := errors.AsType[*settings.UsageError](err)
			if !ok {
				t.Fatalf("Load = %+v, %v; want a usage error", got, err)
			}
			for _, want := range tc.want {
				if !strings.Contains(usage.Error(), want) {
					t.Errorf("message is\n%s\nwant in it\n%s", usage, want)
				}
			}
		})
	}
}

func TestHelpAndVersionGoBeforeErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"help":                        {args: []string{"--help"}, want: "Usage:"},
		"short help":                  {args: []string{"-h"}, want: "Usage:"},
		"help after a wrong value":    {args: []string{"--workers=x", "--help"}, want: "Usage:"},
		"version":                     {args: []string{"--version"}, want: "inpod controller 1.2.3 (go1.26)\n"},
		"version with a missing file": {args: []string{"--config=/none", "--version"}, want: "inpod controller 1.2.3 (go1.26)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(tc.args, []string{"INPOD_NONSENSE=1"})
			info, ok := errors.AsType[*settings.InfoError](err)
			if !ok || !strings.Contains(info.Text, tc.want) {
				t.Errorf("Load = %v, want text with %q", err, tc.want)
			}
		})
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	t.Parallel()
	help := Help()
	initial := Default()
	for _, s := range table(&initial) {
		for _, want := range []string{"  --" + s.Name, "[" + s.Variable() + "]"} {
			if !strings.Contains(help, want) {
				t.Errorf("the help has no %q", want)
			}
		}
	}
	for _, want := range []string{"(default env-vars)", "(default 2s)", "(default :9090)", "--config FILE  [INPOD_CONFIG]", "Exit codes"} {
		if !strings.Contains(help, want) {
			t.Errorf("the help has no %q", want)
		}
	}
	for line := range strings.SplitSeq(help, "\n") {
		if len([]rune(line)) > 120 {
			t.Errorf("a line is too long for a terminal: %q", line)
		}
	}
}

func TestEffectiveShowsWhatIsNotDefault(t *testing.T) {
	t.Parallel()
	if got := Effective(Default()); len(got) != 0 {
		t.Errorf("for the defaults: %v", got)
	}
	c, err := load([]string{"--kube-api-qps=5", "--namespaces=b,a", "--enable-ha"}, base())
	if err != nil {
		t.Fatal(err)
	}
	c.File = "/c.yaml"
	var got []string
	for _, attr := range Effective(c) {
		got = append(got, attr.String())
	}
	want := []string{"config=/c.yaml", "namespaces=b,a", "enableHa=true", "kubeApiQps=5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b", "a"}, c.Namespaces); diff != "" {
		t.Errorf("Effective changed its argument:\n%s", diff)
	}
}

// Whoever brings an unknown text gets an answer and not a crash.
func FuzzLoad(f *testing.F) {
	f.Add("--settle=2s", "INPOD_WORKERS=3", "namespaces: [a]\n")
	f.Add("--", "INPOD_", "? !!binary x\n")
	f.Add("-=", "=", "settle: 2001-01-01\n")
	f.Fuzz(func(t *testing.T, arg, variable, content string) {
		if strings.HasPrefix(arg, "--config") || strings.HasPrefix(variable, "INPOD_CONFIG=") {
			t.Skip("would read any file of the machine")
		}
		_, err := load([]string{arg, "--config", file(t, "c.yaml", content)}, []string{variable})
		_, isUsage := errors.AsType[*settings.UsageError](err)
		_, isInfo := errors.AsType[*settings.InfoError](err)
		if err != nil && !isUsage && !isInfo {
			t.Errorf("an error of an unexpected kind: %T %v", err, err)
		}
	})
}

func TestAlertsAsReloaderSetsThem(t *testing.T) {
	t.Parallel()
	reloaders := []string{
		"ALERT_ON_RELOAD=true", "ALERT_SINK=slack", "ALERT_WEBHOOK_URL=https://hooks.example.com/secret-token",
		"ALERT_WEBHOOK_PROXY=http://proxy.example.com:3128", "ALERT_ADDITIONAL_INFO=prod",
	}
	got, err := load(nil, append(reloaders, "INPOD_ALERT_SINK=teams"))
	if err != nil {
		t.Fatal(err)
	}
	want := Alert{
		Enabled: true, Sink: "teams", URL: "https://hooks.example.com/secret-token", Proxy: "http://proxy.example.com:3128", Info: "prod",
	}
	if diff := cmp.Diff(want, got.Alert); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
	for _, attr := range Effective(got) {
		if strings.Contains(attr.String(), "secret-token") {
			t.Errorf("the log at the start has the address: %s", attr)
		}
	}
	_, err = load(nil, []string{"ALERT_ON_RELOAD=true", "ALERT_WEBHOOK_URL=secret-token"})
	if err == nil || strings.Contains(err.Error(), "secret-token") || !strings.Contains(err.Error(), "ALERT_WEBHOOK_URL") {
		t.Errorf("a bad address: %v", err)
	}
}

// What is in no namespace is for whoever may look at all of them.
func TestBundlesNeedAllNamespaces(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		want bool
		note string
	}{
		"off":                {nil, false, ""},
		"everywhere":         {[]string{"--cluster-trust-bundles"}, true, ""},
		"selected":           {[]string{"--cluster-trust-bundles", "--namespace-selector=a=b"}, true, ""},
		"in some namespaces": {[]string{"--cluster-trust-bundles", "--namespaces=shop"}, false, "--cluster-trust-bundles has no effect"},
	} {
		got, err := load(tc.args, nil)
		if err != nil {
			t.Fatal(err)
		}
		watched, ignored := slices.Contains(got.Sources(), source.ClusterTrustBundle), slices.Contains(got.Ignored(), source.ClusterTrustBundle)
		if watched != tc.want || ignored == tc.want || !strings.Contains(strings.Join(got.Notes(), "\n"), tc.note) || (tc.note == "") != (len(got.Notes()) == 0) {
			t.Errorf("%s: watched %t, ignored %t, notes %q", name, watched, ignored, got.Notes())
		}
	}
}

// Whoever may work in some namespaces only may not read the annotations of all.
func TestDefaultsOfNamespacesNeedAllOfThem(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		want bool
		note string
	}{
		"off":                {nil, false, ""},
		"everywhere":         {[]string{"--namespace-defaults"}, true, ""},
		"selected":           {[]string{"--namespace-defaults", "--namespace-selector=a=b"}, true, ""},
		"in some namespaces": {[]string{"--namespace-defaults", "--namespaces=shop"}, false, "--namespace-defaults has no effect"},
	} {
		got, err := load(tc.args, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Defaults() != tc.want || !strings.Contains(strings.Join(got.Notes(), "\n"), tc.note) || (tc.note == "") != (len(got.Notes()) == 0) {
			t.Errorf("%s: %t, notes %q", name, got.Defaults(), got.Notes())
		}
	}
}
