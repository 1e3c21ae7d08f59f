package annotation_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"inpod.dev/inpod/internal/annotation"
)

// asking is a pod that asks and says how, with more annotations: "key", "value", …, without the domain.
func asking(keysAndValues ...string) map[string]string {
	annotations := own(keysAndValues...)
	annotations[annotation.InjectKey] = "enabled"
	return annotations
}

func own(keysAndValues ...string) map[string]string {
	annotations := map[string]string{}
	for i := 0; i < len(keysAndValues); i += 2 {
		annotations[annotation.Domain+keysAndValues[i]] = keysAndValues[i+1]
	}
	return annotations
}

// The rows are those of the table at ReadInjection.
func TestWhoAsks(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pod           string // the value; "-" for no annotation
		namespaceAsks bool

		wantWanted, wantByPod, wantProblem bool
	}{
		{pod: "enabled", namespaceAsks: true, wantWanted: true, wantByPod: true},
		{pod: "enabled", namespaceAsks: false, wantWanted: true, wantByPod: true},
		{pod: "true", namespaceAsks: false, wantWanted: true, wantByPod: true},
		{pod: "disabled", namespaceAsks: true},
		{pod: "disabled", namespaceAsks: false},
		{pod: "false", namespaceAsks: true},
		{pod: "-", namespaceAsks: true, wantWanted: true},
		{pod: "-", namespaceAsks: false},
		{pod: "yes", namespaceAsks: true, wantWanted: true, wantByPod: true, wantProblem: true},
		{pod: "Enabled", namespaceAsks: false, wantWanted: true, wantByPod: true, wantProblem: true},
		{pod: "", namespaceAsks: false, wantWanted: true, wantByPod: true, wantProblem: true},
	} {
		pod := map[string]string{}
		if tc.pod != "-" {
			pod[annotation.InjectKey] = tc.pod
		}
		got, problems := annotation.ReadInjection(pod, nil, tc.namespaceAsks)
		if got.Wanted != tc.wantWanted || got.ByPod != tc.wantByPod || (len(problems) > 0) != tc.wantProblem {
			t.Errorf("pod %q, namespace %v: wanted %v by pod %v, problems %v", tc.pod, tc.namespaceAsks, got.Wanted, got.ByPod, problems)
		}
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	t.Parallel()
	pod := asking(
		"preset", "nginx", "reload-signal", "sighup", "reload-process", "nginx", "reload-cmdline", "^nginx: master",
		"reload-container", "web", "signal-handled", "true", "reload-method", "PUT", "reload-status", "200, 204-299",
		"reload-body-from", "/etc/app/body", "reload-header-from", "Authorization=/etc/app/token\n\nX-Key=/etc/app/key\n",
		"reload-ca-file", "/etc/app/ca", "reload-skip-verify", "false", "reload-timeout", "3s", "reload-attempts", "5",
		"validate-command", `["nginx","-t"]`, "command-timeout", "1m", "verify-url", "http://127.0.0.1/healthz",
		"verify-timeout", "10s", "require-proof", "true", "probe-url", "unix:/run/app/sock:/status", "settle", "1s", "watch", "/etc/tls/, /data/svid.pem",
		"sidecar-image", "example.com/sidecar:1", "sidecar-cpu-request", "10m", "sidecar-cpu-limit", "100m",
		"sidecar-memory-request", "32Mi", "sidecar-memory-limit", "128Mi", "sidecar-ephemeral-storage-request", "1Mi",
		"sidecar-ephemeral-storage-limit", "2Mi", "sidecar-run-as-user", "101", "sidecar-capabilities", "none", "native-sidecar", "false",
		"application-image", "true", "share-processes", "true", "status-port", "9898",
	)
	for _, key := range annotation.InjectionKeys() {
		if _, said := pod[key]; !said && key != "inpod.dev/reload-url" && key != "inpod.dev/reload-command" { // the signal excludes them
			t.Errorf("%s is not among the keys of this test", key)
		}
	}
	got, problems := annotation.ReadInjection(pod, nil, false)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := annotation.Injection{
		Wanted: true, ByPod: true, SaysHow: true,
		Preset: "nginx", Signal: "sighup", Process: "nginx", Cmdline: "^nginx: master", Container: "web", Validate: []string{"nginx", "-t"},
		Paths: []annotation.NamedPath{
			{Key: "inpod.dev/reload-body-from", Path: "/etc/app/body"},
			{Key: "inpod.dev/reload-header-from", Path: "/etc/app/token"},
			{Key: "inpod.dev/reload-header-from", Path: "/etc/app/key"},
			{Key: "inpod.dev/reload-ca-file", Path: "/etc/app/ca"},
			{Key: "inpod.dev/probe-url", Path: "/run/app/sock", Socket: true},
		},
		Watch: []string{"/etc/tls", "/data/svid.pem"},
		Image: "example.com/sidecar:1", CPURequest: new(resource.MustParse("10m")), CPULimit: new(resource.MustParse("100m")),
		MemoryRequest: new(resource.MustParse("32Mi")), MemoryLimit: new(resource.MustParse("128Mi")), StorageRequest: new(resource.MustParse("1Mi")),
		StorageLimit: new(resource.MustParse("2Mi")), RunAsUser: new(int64(101)), Capabilities: annotation.NoCapabilities, Native: new(false),
		InApplication: new(true), ShareProcesses: new(true), StatusPort: 9898,
		Arguments: []string{
			"--preset=nginx", "--reload-signal=sighup", "--reload-process=nginx", "--reload-cmdline=^nginx: master", "--signal-handled=true",
			"--reload-method=PUT", "--reload-status=200, 204-299", "--reload-body-from=/etc/app/body",
			"--reload-header-from=Authorization=/etc/app/token", "--reload-header-from=X-Key=/etc/app/key",
			"--reload-ca-file=/etc/app/ca", "--reload-skip-verify=false", "--reload-timeout=3s", "--reload-attempts=5",
			`--validate-command=["nginx","-t"]`, "--command-timeout=1m", "--verify-url=http://127.0.0.1/healthz", "--verify-timeout=10s", "--require-proof=true",
			"--probe-url=unix:/run/app/sock:/status", "--settle=1s",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("injection (-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeUnderstood(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pod, namespace map[string]string
		want           []string // all of them in the one problem
	}{
		"a signal that stops for good": {pod: asking("reload-signal", "KILL"), want: []string{"inpod.dev/reload-signal", `"KILL"`, "USR2"}},
		"two triggers": {
			pod: asking("reload-signal", "HUP", "reload-url", "http://x/"), want: []string{"inpod.dev/reload-url", "excludes inpod.dev/reload-signal"},
		},
		"a URL without scheme":           {pod: asking("reload-url", "localhost:80"), want: []string{"inpod.dev/reload-url", "unix:"}},
		"a socket that is no path":       {pod: asking("reload-url", "unix:sock"), want: []string{"is not a URL"}},
		"a path of a socket that is off": {pod: asking("reload-url", "unix:/run/sock:reload"), want: []string{"is not a URL"}},
		"a method in small letters":      {pod: asking("reload-method", "post"), want: []string{`"post"`, "capitals"}},
		"a status that is a class":       {pod: asking("reload-status", "2xx"), want: []string{`"2xx"`, "200-299"}},
		"a status range that is turned":  {pod: asking("reload-status", "299-200"), want: []string{`"299-200"`}},
		"a relative file":                {pod: asking("reload-body-from", "body"), want: []string{`"body"`, "whole path"}},
		"a file with dots":               {pod: asking("reload-body-from", "/a/../b"), want: []string{`"/a/../b"`}},
		"a header without a file":        {pod: asking("reload-header-from", "Authorization: Bearer"), want: []string{"NAME=FILE"}},
		"a command for a shell":          {pod: asking("reload-command", "nginx -s reload"), want: []string{"inpod.dev/reload-command", "JSON array"}},
		"an empty command":               {pod: asking("validate-command", "[]"), want: []string{"inpod.dev/validate-command"}},
		"a command without a name":       {pod: asking("validate-command", `["","-t"]`), want: []string{"inpod.dev/validate-command"}},
		"no duration":                    {pod: asking("settle", "soon"), want: []string{`"soon"`, "500ms"}},
		"no time at all":                 {pod: asking("settle", "0s"), want: []string{"above zero"}},
		"no attempts":                    {pod: asking("reload-attempts", "0"), want: []string{"at least 1"}},
		"a huge regular expression":      {pod: asking("reload-cmdline", strings.Repeat("a{1000}", 3300)), want: []string{"23100 bytes"}},
		"a broken regular expression":    {pod: asking("reload-cmdline", "("), want: []string{"missing closing )"}},
		"a container that cannot be":     {pod: asking("reload-container", "Web_1"), want: []string{`"Web_1"`}},
		"a boolean in words":             {pod: asking("native-sidecar", "yes"), want: []string{`"yes"`, `"true"`}},
		"a flag in words":                {pod: asking("signal-handled", "1"), want: []string{`"1"`}},
		"an image with a blank":          {pod: asking("sidecar-image", "a b"), want: []string{`"a b"`}},
		"a quantity with a wrong unit":   {pod: asking("sidecar-memory-limit", "64MB"), want: []string{`"64MB"`, "32Mi"}},
		"a negative quantity":            {pod: asking("sidecar-cpu-request", "-1m"), want: []string{"above zero"}},
		"more requested than allowed": {
			pod: asking("sidecar-memory-request", "64Mi", "sidecar-memory-limit", "32Mi"), want: []string{"sidecar-memory-request", "more than the limit of 32Mi"},
		},
		"a relative path to watch":    {pod: asking("watch", "/a,etc/tls"), want: []string{"inpod.dev/watch", `"etc/tls"`, "whole paths"}},
		"everything to watch":         {pod: asking("watch", "/"), want: []string{`"/"`}},
		"a path to watch with dots":   {pod: asking("watch", "/a/../b"), want: []string{`"/a/../b"`}},
		"a path to watch twice":       {pod: asking("watch", "/a,/b,/a/"), want: []string{`"/a" twice`}},
		"too many paths to watch":     {pod: asking("watch", manyPaths()), want: []string{"more than 100 paths"}},
		"a list to watch with a hole": {pod: asking("watch", "/a,"), want: []string{`""`}},
		"more processor time requested than allowed": {
			pod: asking("sidecar-cpu-request", "2", "sidecar-cpu-limit", "100m"), want: []string{"sidecar-cpu-request", "more than the limit of 100m"},
		},
		"more storage requested than allowed": {
			pod:  asking("sidecar-ephemeral-storage-request", "2Gi", "sidecar-ephemeral-storage-limit", "1Gi"),
			want: []string{"sidecar-ephemeral-storage-request", "more than the limit of 1Gi"},
		},
		"a processor limit of nothing":    {pod: asking("sidecar-cpu-limit", "0"), want: []string{"inpod.dev/sidecar-cpu-limit", "above zero"}},
		"capabilities by name":            {pod: asking("sidecar-capabilities", "KILL"), want: []string{"inpod.dev/sidecar-capabilities", `"KILL"`, `"none"`}},
		"a word for sharing of processes": {pod: asking("share-processes", "yes"), want: []string{"inpod.dev/share-processes", `"yes"`, `"true"`}},
		"a user by name":                  {pod: asking("sidecar-run-as-user", "nginx"), want: []string{`"nginx"`, "number"}},
		"a negative user":                 {pod: asking("sidecar-run-as-user", "-1"), want: []string{`"-1"`}},
		"a port of root's":                {pod: asking("status-port", "80"), want: []string{`"80"`, "1024"}},
		"a port out of range":             {pod: asking("status-port", "70000"), want: []string{`"70000"`}},
		"a misspelled key":                {pod: asking("relaod-url", "http://x/"), want: []string{"annotation inpod.dev/relaod-url", "no key of inpod"}},
		"a bad default":                   {pod: asking(), namespace: own("settle", "soon"), want: []string{"annotation inpod.dev/settle", "as the default of the namespace", `"soon"`}},
		"a bad value of inject":           {pod: map[string]string{annotation.InjectKey: "on"}, want: []string{"annotation inpod.dev/inject", `"on"`, `"enabled"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := annotation.ReadInjection(tc.pod, tc.namespace, false)
			if len(problems) != 1 {
				t.Fatalf("problems: %v; want one", problems)
			}
			for _, want := range tc.want {
				if !strings.Contains(problems[0].String(), want) {
					t.Errorf("%q does not say %q", problems[0], want)
				}
			}
		})
	}
}

func TestAllProblemsAreReportedAndNoPassword(t *testing.T) {
	t.Parallel()
	_, problems := annotation.ReadInjection(asking("reload-url", "htp://user:hunter2@x/", "settle", "soon", "status-port", "0"), nil, false)
	if len(problems) != 3 {
		t.Errorf("problems: %v; want three", problems)
	}
	for _, problem := range problems {
		if strings.Contains(problem.String(), "hunter2") {
			t.Errorf("%q reveals the password", problem)
		}
	}
}

func TestDefaultsOfTheNamespace(t *testing.T) {
	t.Parallel()
	namespace := own("preset", "nginx", "reload-container", "web", "validate-command", `["nginx","-t"]`, "settle", "2s", "misspelled", "x")
	for name, tc := range map[string]struct {
		pod  map[string]string
		want []string
	}{
		"a pod that says nothing gets them all": {
			pod: asking(), want: []string{"--preset=nginx", `--validate-command=["nginx","-t"]`, "--settle=2s"},
		},
		"a pod's value goes before a default": {
			pod: asking("settle", "1s"), want: []string{"--preset=nginx", `--validate-command=["nginx","-t"]`, "--settle=1s"},
		},
		"an empty value is none": {
			pod: asking("settle", " "), want: []string{"--preset=nginx", `--validate-command=["nginx","-t"]`, "--settle=2s"},
		},
		"a detail refines the trigger of the namespace": {
			pod: asking("verify-url", "http://x/"), want: []string{"--preset=nginx", `--validate-command=["nginx","-t"]`, "--verify-url=http://x/", "--settle=2s"},
		},
		"a trigger of its own takes nothing of another": {
			pod: asking("reload-url", "http://x/"), want: []string{"--reload-url=http://x/", "--settle=2s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, problems := annotation.ReadInjection(tc.pod, namespace, false)
			if diff := cmp.Diff(tc.want, got.Arguments); diff != "" || len(problems) > 0 {
				t.Errorf("problems %v, arguments (-want +got):\n%s", problems, diff)
			}
		})
	}
}

func TestKeysOfOtherPartsAreNoMistake(t *testing.T) {
	t.Parallel()
	pod := asking("preset", "nginx", "on-failure", "none", "nudge", "x", "injection", "{}", "injected", "true", "baseline", "x")
	pod["example.com/reload-url"] = "not ours"
	if _, problems := annotation.ReadInjection(pod, nil, false); len(problems) > 0 {
		t.Error(problems)
	}
}

func TestRecordIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	want := annotation.Record{
		Injected: true, Container: "web", Trigger: "preset nginx", Image: "inpod", Why: "it suffices", User: "101", Kind: "native",
		SharedProcesses: true, Port: 27467, Watch: []string{"/etc/nginx"}, Notes: []string{"one"},
	}
	got, err := annotation.ParseRecord(want.String())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, record (-want +got):\n%s", err, diff)
	}
	if _, err := annotation.ParseRecord("{"); err == nil {
		t.Error("nonsense is no record")
	}
}

// The documentation is what users have: every key is in it.
func TestEveryKeyIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/injecting.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range append(annotation.InjectionKeys(), annotation.InjectKey) {
		if !strings.Contains(string(page), "`"+key+"`") && !strings.Contains(string(page), "`"+key+":") {
			t.Errorf("docs/injecting.md does not explain %s", key)
		}
	}
}

// Annotations are written by anybody: whatever they are, there is an answer, and one that can be given to the sidecar.
func FuzzReadInjection(f *testing.F) {
	keys := annotation.InjectionKeys()
	f.Add(uint8(0), "nginx", uint8(1), "x", true)
	f.Add(uint8(3), "HUP", uint8(5), "(", false)
	f.Add(uint8(8), "unix:/run/s:/x", uint8(12), "a=/b\nc", true)
	f.Fuzz(func(t *testing.T, first uint8, value string, second uint8, other string, onPod bool) {
		pod := map[string]string{annotation.InjectKey: "enabled"}
		namespace := map[string]string{keys[int(second)%len(keys)]: other}
		if onPod {
			pod[keys[int(second)%len(keys)]] = other
		}
		pod[keys[int(first)%len(keys)]] = value
		got, problems := annotation.ReadInjection(pod, namespace, false)
		for _, problem := range problems {
			if problem.Key == "" || problem.Fault == "" {
				t.Errorf("a problem that says nothing: %+v", problem)
			}
		}
		for _, argument := range got.Arguments {
			if !strings.HasPrefix(argument, "--") || !strings.Contains(argument, "=") {
				t.Errorf("argument %q", argument)
			}
		}
	})
}

func manyPaths() string {
	var paths []string
	for i := range 200 {
		paths = append(paths, fmt.Sprintf("/p%d", i))
	}
	return strings.Join(paths, ",")
}
