package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/version"
	"inpod.dev/inpod/sidecar/internal/config"
	"inpod.dev/inpod/sidecar/internal/process"
)

func load(args []string, environ ...string) (config.Config, error) {
	return config.Load(args, environ, version.Build{Version: "1.2.3", GoVersion: "go1.26"})
}

// A variable of the application must not change the sidecar, nor end it.
func TestTheEnvironmentCanBeIgnored(t *testing.T) {
	t.Parallel()
	args := []string{"--watch", "/a", "--preset", "nginx"}
	for name, tc := range map[string]struct {
		args    []string
		wantErr bool
	}{
		"a variable that is no setting ends it": {args: args, wantErr: true},
		"unless the environment is ignored":     {args: append(slices.Clone(args), "--ignore-environment")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := load(tc.args, "INPOD_COLOR=red", "INPOD_DRY_RUN=true")
			if (err != nil) != tc.wantErr || c.DryRun {
				t.Errorf("%v, dry run %v", err, c.DryRun)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.yaml")
	write(t, file, "settel: 1s\n")
	broken := filepath.Join(t.TempDir(), "f.yaml")
	write(t, broken, "a: [\n")
	ok := []string{"--watch", "/etc"}
	cases := map[string]struct {
		args    []string
		environ []string
		want    []string // all of them in the message
	}{
		"an unknown flag":              {args: []string{"--wacht", "/etc"}, want: []string{"--wacht"}},
		"an argument":                  {args: append(ok, "nginx"), want: []string{`"nginx"`}},
		"nothing to watch":             {args: []string{"--preset", "nginx"}, want: []string{"watch"}},
		"nothing to do":                {args: ok, want: []string{"--preset", "--reload-url"}},
		"two triggers":                 {args: append(ok, "--reload-signal", "HUP", "--reload-url", "http://x/"), want: []string{"--reload-signal and --reload-url"}},
		"an unknown preset":            {args: append(ok, "--preset", "nginks"), want: []string{"nginks", "haproxy"}},
		"a refused preset":             {args: append(ok, "--preset", "redis"), want: []string{"redis", "rolled"}},
		"an unknown signal":            {args: append(ok, "--reload-signal", "KILL", "--reload-process", "x"), want: []string{"KILL", "USR2"}},
		"an address without a port":    {args: append(ok, "--reload-url", "http://x/", "--listen-address", "none"), want: []string{"listen-address", "off"}},
		"a signal to nobody":           {args: append(ok, "--reload-signal", "HUP"), want: []string{"--reload-process"}},
		"no URL":                       {args: append(ok, "--reload-url", "localhost:80"), want: []string{"reload-url", "unix:"}},
		"a wrong status list":          {args: append(ok, "--reload-url", "http://x/", "--reload-status", "2xx"), want: []string{"reload-status", "2xx"}},
		"no header":                    {args: append(ok, "--reload-url", "http://x/", "--reload-header-from", "x"), want: []string{"NAME=FILE"}},
		"an unknown variable":          {args: append(ok, "--preset", "nginx"), environ: []string{"INPOD_SETTEL=1s"}, want: []string{"INPOD_SETTEL is unknown", "INPOD_SETTLE"}},
		"no JSON":                      {args: append(ok, "--reload-command", "nginx -s reload"), want: []string{"reload-command", "JSON"}},
		"no method":                    {args: append(ok, "--reload-url", "http://x/", "--reload-method", "post it"), want: []string{"reload-method", "POST"}},
		"an empty command":             {args: append(ok, "--reload-command", "[]"), want: []string{"reload-command", "empty"}},
		"no regular expression":        {args: append(ok, "--preset", "nginx", "--reload-cmdline", "("), want: []string{"reload-cmdline"}},
		"an unknown log format":        {args: append(ok, "--preset", "nginx", "--log-format", "xml"), want: []string{"log-format", "xml", "text or json"}},
		"an unknown log level":         {args: append(ok, "--preset", "nginx", "--log-level", "loud"), want: []string{"log-level", "loud", "debug"}},
		"a settle time of nothing":     {args: append(ok, "--preset", "nginx", "--settle", "0"), want: []string{"settle", "500ms"}},
		"a relative state file":        {args: append(ok, "--preset", "nginx", "--state-file", "x"), want: []string{"state-file", "absolute"}},
		"keys of a file":               {args: []string{"--watch", "/etc/passwd:a", "--preset", "nginx"}, want: []string{"/etc/passwd", "directory"}},
		"a file that cannot be parsed": {args: append(ok, "--preset", "nginx", "--config", broken), want: []string{broken}},
		"a file that is not there":     {args: append(ok, "--preset", "nginx", "--config", "/no/such.yaml"), want: []string{"/no/such.yaml"}},
		"a probe without a use":        {args: append(ok, "--preset", "nginx", "--probe-url", "http://x/"), want: []string{"probe-url"}},
		"a body that is not watched":   {args: []string{"--watch", "/etc:hosts", "--preset", "caddy"}, want: []string{"Caddyfile", "--reload-body-from"}},
		"ignored where nobody looks":   {args: append(ok, "--preset", "nginx", "--ignore", "/var/x"), want: []string{"ignore", "/var/x", "--watch"}},
		"ignored altogether":           {args: append(ok, "--preset", "nginx", "--ignore", "/etc"), want: []string{"ignore", "/etc"}},
		"anchors where nobody looks":   {args: append(ok, "--preset", "nginx", "--trust-bundle", "/var/ca.crt"), want: []string{"trust-bundle", "/var/ca.crt", "--watch"}},
		"wanted and ignored":           {args: []string{"--watch", "/etc:a,b", "--preset", "nginx", "--ignore", "/etc/b"}, want: []string{"/etc/b", "key"}},
		"all mistakes at once":         {args: []string{"--settle", "0", "--state-file", "x"}, want: []string{"flag --settle", "flag --state-file", "watch"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(tc.args, tc.environ...)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestHelpAndVersionNeedNothingElse(t *testing.T) {
	t.Parallel()
	for flag, wants := range map[string][]string{
		"--help":    {"--watch PATH[:KEY,…]", "--preset", "--once", "--dry-run", "[INPOD_RELOAD_URL]", "(default 500ms)"},
		"--version": {"inpod sidecar 1.2.3"},
	} {
		_, err := load([]string{flag})
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

func TestPrecedence(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.yaml")
	write(t, file, "settle: 3s\npoll-interval: 3s\nrecheck-interval: 3s\npreset: nginx\nwatch:\n- /a\n- /b:x,y\n")
	environ := []string{
		"INPOD_SETTLE=2s", "INPOD_POLL_INTERVAL=2s", "INPOD_CONFIG=" + file,
		"INPOD_CONTROLLER_SERVICE_HOST=10.0.0.1", // Kubernetes sets such variables for a Service
	}
	c, err := load([]string{"--settle", "1s"}, environ...)
	if err != nil {
		t.Fatal(err)
	}
	if c.Settle != time.Second || c.Poll != 2*time.Second || c.Recheck != 3*time.Second || c.VerifyTimeout != 5*time.Second {
		t.Errorf("settle %v, poll %v, recheck %v; want flag, environment, file", c.Settle, c.Poll, c.Recheck)
	}
	if len(c.Watch) != 2 || c.Watch[1].Path != "/b" || !slices.Equal(c.Watch[1].Keys, []string{"x", "y"}) {
		t.Errorf("watch = %+v", c.Watch)
	}
}

func TestFilesAreNotedWhereTheyLie(t *testing.T) {
	t.Parallel()
	c, err := load([]string{
		"--watch", "/a", "--watch", "/a/b", "--watch", "/c:x", "--preset", "nginx",
		"--ignore", "/a/b/with,a:comma", "--ignore", "/a/./token", "--ignore", "/c/..2026",
		"--trust-bundle", "/a/b/ca.crt",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Watch{
		{Path: "/a", Ignored: []string{"b/with,a:comma", "token"}, Anchors: []string{"b/ca.crt"}},
		{Path: "/a/b", Ignored: []string{"with,a:comma"}, Anchors: []string{"ca.crt"}},
		{Path: "/c", Keys: []string{"x"}, Ignored: []string{"..2026"}},
	}
	if diff := cmp.Diff(want, c.Watch); diff != "" {
		t.Errorf("watch (-want +got):\n%s", diff)
	}
}

func TestListsInTheEnvironment(t *testing.T) {
	t.Parallel()
	environ := []string{"INPOD_WATCH=/a:x,y; /b;", `INPOD_RELOAD_COMMAND=["a","b c"]`, "INPOD_DRY_RUN=true"}
	c, err := load(nil, environ...)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Watch) != 2 || c.Watch[1].Path != "/b" || !slices.Equal(c.Command, []string{"a", "b c"}) || !c.DryRun {
		t.Errorf("%+v", c)
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	caddyfile := filepath.Join(dir, "Caddyfile")
	write(t, caddyfile, "")
	parse := func(args ...string) config.Config {
		t.Helper()
		c, err := load(append([]string{"--watch", dir}, args...))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	plan, _ := parse("--preset", "nginx").Plan()
	if plan.Signal != syscall.SIGHUP || plan.Process.Names[0] != "nginx" || plan.Assured != process.NoAssurance || plan.URL != nil {
		t.Errorf("nginx: %+v", plan)
	}
	plan, _ = parse("--preset", "prometheus", "--reload-url", "http://10.0.0.1:1234/x/-/reload").Plan()
	if plan.Signal != 0 || plan.URL.URL != "http://10.0.0.1:1234/x/-/reload" || plan.Row.Proof.URL != "http://10.0.0.1:1234/metrics" {
		t.Errorf("prometheus elsewhere: %+v, proof at %s", plan.URL, plan.Row.Proof.URL)
	}
	plan, _ = parse("--preset", "prometheus", "--reload-signal", "HUP").Plan()
	if plan.Signal != syscall.SIGHUP || plan.Assured != process.PresetAssurance || plan.URL != nil {
		t.Errorf("prometheus by signal: %+v", plan)
	}
	plan, _ = parse("--preset", "nats-server", "--reload-signal", "USR1").Plan()
	if plan.Assured != process.NoAssurance {
		t.Error("the word of a preset counts for another signal")
	}
	plan, _ = parse("--preset", "caddy").Plan()
	if plan.URL.BodyFile != caddyfile || plan.URL.Headers["Content-Type"] != "text/caddyfile" {
		t.Errorf("caddy: %+v", plan.URL)
	}
	plan, _ = parse("--preset", "nginx", "--validate-command", `["nginx","-t"]`, "--reload-process", "openresty").Plan()
	if !plan.Row.MustValidate || plan.Row.Validators[0][0] != "nginx" || plan.Process.Names[0] != "openresty" {
		t.Errorf("nginx, changed: %+v", plan)
	}
}

// Headers may hold a password, so they go to one server; what else a request needs counts for all of them.
func TestAllRequestsHaveWhatTheFirstHas(t *testing.T) {
	t.Parallel()
	common := []string{
		"--watch", "/etc", "--reload-header-from", "authorization=/etc/header", "--reload-ca-file", "/etc/ca", "--reload-skip-verify",
		"--reload-timeout", "7s", "--require-proof",
	}
	for name, tc := range map[string]struct {
		args        []string
		wantHeaders map[string]bool // by page
	}{
		"a preset with a URL": {
			args:        []string{"--preset", "prometheus", "--verify-url", "http://localhost:9090/-/ready"},
			wantHeaders: map[string]bool{"http://127.0.0.1:9090/metrics": true, "http://localhost:9090/-/ready": true, "http://127.0.0.1:80/": false},
		},
		"a verify URL of another server": {
			args:        []string{"--reload-url", "https://app:1/reload", "--verify-url", "https://other:1/ready"},
			wantHeaders: map[string]bool{"https://app:1/ready": true, "https://other:1/ready": false},
		},
		"a signal, and a proof at a URL": {
			args:        []string{"--preset", "prometheus", "--reload-signal", "HUP", "--verify-url", "http://127.0.0.1:1/ready"},
			wantHeaders: map[string]bool{"http://127.0.0.1:9090/metrics": true, "http://127.0.0.1:1/ready": false},
		},
		"a command, and no other URL": {
			args:        []string{"--reload-command", `["true"]`, "--verify-url", "http://127.0.0.1:1/ready"},
			wantHeaders: map[string]bool{"http://127.0.0.1:1/ready": true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := load(append(slices.Clone(common), tc.args...))
			if err != nil {
				t.Fatal(err)
			}
			plan, err := c.Plan()
			if err != nil {
				t.Fatal(err)
			}
			if !plan.RequireProof {
				t.Error("no proof is required")
			}
			for url, want := range tc.wantHeaders {
				e := plan.Access.Page(url)
				if got := e.HeaderFiles["Authorization"] != ""; got != want {
					t.Errorf("%s gets the headers: %v, want %v", url, got, want)
				}
				if e.CAFile != "/etc/ca" || !e.SkipVerify || e.Timeout != 7*time.Second {
					t.Errorf("%s: %+v, want what all have", url, e)
				}
			}
		})
	}
}

func TestEveryPresetHasAPlanOrARefusal(t *testing.T) {
	t.Parallel()
	for _, row := range preset.All() {
		_, err := load([]string{"--watch", "/etc", "--preset", row.Name})
		if row.Refusal == "" && err != nil {
			t.Errorf("%s: %v", row.Name, err)
		}
		if row.Refusal != "" && (err == nil || !strings.Contains(err.Error(), row.Refusal)) {
			t.Errorf("%s: %v, want its refusal", row.Name, err)
		}
	}
}

func TestParseWatch(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		path string
		keys []string
		bad  bool
	}{
		"/a":           {path: "/a"},
		"/a:":          {path: "/a"},
		"/a:x":         {path: "/a", keys: []string{"x"}},
		"/a:x,y,x":     {path: "/a", keys: []string{"x", "y"}},
		"/a:sub/x":     {path: "/a", keys: []string{"sub/x"}},
		"/a:b:":        {path: "/a:b"},
		"/a:b:x":       {path: "/a:b", keys: []string{"x"}},
		"":             {bad: true},
		":x":           {bad: true},
		"/a:x,":        {bad: true},
		"/a:/x":        {bad: true},
		"/a:../x":      {bad: true},
		"/a:x/../../y": {bad: true},
		"/a:.":         {bad: true},
		"/a:x/../y":    {path: "/a", keys: []string{"y"}},
		"relative:x":   {path: "relative", keys: []string{"x"}},
	}
	for spec, want := range cases {
		t.Run(spec, func(t *testing.T) {
			t.Parallel()
			got, err := config.ParseWatch(spec)
			if (err != nil) != want.bad || got.Path != want.path || !slices.Equal(got.Keys, want.keys) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func FuzzParseWatch(f *testing.F) {
	for _, seed := range []string{"/a", "/a:x,y", "/a:../x", ":", "::", "/a:b:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		w, err := config.ParseWatch(spec)
		if err != nil {
			return
		}
		if w.Path == "" {
			t.Error("no path")
		}
		for _, key := range w.Keys {
			if key == "" || strings.HasPrefix(key, "/") || key == ".." || strings.HasPrefix(key, "../") {
				t.Errorf("key %q leads out", key)
			}
		}
		again, err := config.ParseWatch(w.Path + ":" + strings.Join(w.Keys, ","))
		if err != nil || again.Path != w.Path || !slices.Equal(again.Keys, w.Keys) {
			t.Errorf("%+v written again is %+v, %v", w, again, err)
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A URL may have a password, and so has the file or the variable that holds the URL.
func TestErrorsQuoteNoPassword(t *testing.T) {
	t.Parallel()
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, args := range map[string][]string{
		"a port that is none":      {"--watch", "/etc", "--reload-url", "http://user:hunter2hunter2/x@127.0.0.1/"},
		"an escape that is none":   {"--watch", "/etc", "--reload-url", "http://user:hunter2hunter2%zz@127.0.0.1/"},
		"a header that is no file": {"--watch", "/etc", "--reload-url", "http://127.0.0.1/", "--reload-header-from", "Bearer hunter2hunter2"},
		"YAML":                     {"--config", file("c.yaml", "watch: [/etc]\nreload-url: \"http://user:hunter2hunter2@x/\n")},
		"YAML that is a value":     {"--config", file("c.yaml", "hunter2hunter2\n")},
		"JSON":                     {"--config", file("c.json", `{"watch": "/etc", "reload-url": hunter2hunter2}`)},
		"TOML":                     {"--config", file("c.toml", "watch = \"/etc\"\nreload-url = hunter2hunter2\n")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(args)
			if err == nil || strings.Contains(err.Error(), "unter2") {
				t.Errorf("error: %v, want one without the password", err)
			}
		})
	}
}
