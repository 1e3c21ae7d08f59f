package settings_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/settings/kubevalue"
	"inpod.dev/inpod/internal/version"
)

// The controller's tests go through every way to write every kind of value; here is what any program may rely on.

const general settings.Section = "General"

type config struct {
	Pause time.Duration
	Names []string
	Loud  bool
}

func programOf(c *config, more ...settings.Setting) settings.Program {
	return settings.Program{
		Name: "example", Intro: "inpod example: for tests.\n", Build: version.Build{Version: "1.2.3", GoVersion: "go1.26"},
		Table: append([]settings.Setting{
			general.Setting("pause", settings.Duration(&c.Pause), "how long to wait"),
			general.Setting("names", settings.Names(&c.Names, "NAME,…"), "who to greet"),
		}, more...),
	}
}

func TestAFlagGoesBeforeAVariableAndThatBeforeTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("pause: 3s\nnames: [file]\nloud: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config{Pause: time.Minute}
	program := programOf(&c, general.Setting("loud", settings.Boolean(&c.Loud), "in capitals"))
	loaded, err := program.Load([]string{"--pause=1s"}, []string{"INPOD_PAUSE=2s", "INPOD_NAMES=a, b", "INPOD_CONFIG=" + path, "OTHER=1"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config{Pause: time.Second, Names: []string{"a", "b"}, Loud: true}, c); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	got := []string{loaded.File, loaded.Origin("pause"), loaded.Origin("names"), loaded.Origin("loud"), loaded.Origin("other")}
	want := []string{path, "flag --pause", "environment variable INPOD_NAMES", "file " + path + ": key loud", "default of --other"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("origins (-want +got):\n%s", diff)
	}
}

func TestWrongUsageIsExplained(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args, environ []string
		want          []string // each in the message
	}{
		"a misspelled flag":                {args: []string{"--pauze=1s"}, want: []string{"flag --pauze is unknown; did you mean --pause?"}},
		"a misspelled variable":            {environ: []string{"INPOD_NAME=x"}, want: []string{"INPOD_NAME is unknown; did you mean INPOD_NAMES?"}},
		"an argument, without any boolean": {args: []string{"hello"}, want: []string{`unexpected argument "hello": there are only flags` + "\n"}},
		"every wrong value at once": {
			args: []string{"--pause=x"}, environ: []string{"INPOD_NONSENSE=1"},
			want: []string{`flag --pause: "x" is not a duration`, "INPOD_NONSENSE is unknown", "--help"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := programOf(&config{}).Load(tc.args, tc.environ)
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

func TestHelpAndVersionAreAnswersAndNotErrors(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string][]string{
		"--help":    {"inpod example: for tests.", "  example [flags]", "General:", "--pause DURATION  [INPOD_PAUSE]", "(default 1m0s)", "Exit codes"},
		"--version": {"inpod example 1.2.3 (go1.26)\n"},
	} {
		_, err := programOf(&config{Pause: time.Minute}).Load([]string{flag, "--pause=x"}, nil)
		info, ok := errors.AsType[*settings.InfoError](err)
		if !ok {
			t.Errorf("%s: %v", flag, err)
			continue
		}
		for _, text := range want {
			if !strings.Contains(info.Text, text) {
				t.Errorf("%s prints\n%s\nwithout %q", flag, info.Text, text)
			}
		}
	}
}

func TestCheckCollectsEverything(t *testing.T) {
	t.Parallel()
	check := settings.Check{Origin: func(name string) string { return "flag --" + name }}
	kubevalue.ObjectName(&check, "lease", "A_B")
	kubevalue.Namespace(&check, "namespace", "a.b")
	check.Address("listen", "nine")
	kubevalue.ObjectName(&check, "fine", "a.b")
	kubevalue.Namespace(&check, "fine", "a-b")
	check.Address("fine", ":9090")
	err := check.Err()
	usage, ok := errors.AsType[*settings.UsageError](err)
	if !ok || len(usage.Problems) != 3 {
		t.Fatalf("Err = %v; want three problems", err)
	}
	for _, want := range []string{`flag --lease: "A_B" cannot be the name of an object`, `flag --namespace: "a.b"`, `flag --listen: "nine" is not an address`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message is\n%s\nwant in it\n%s", err, want)
		}
	}
	if err := (&settings.Check{}).Err(); err != nil {
		t.Errorf("without problems: %v", err)
	}
}
