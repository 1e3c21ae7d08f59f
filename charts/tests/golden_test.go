package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGolden(t *testing.T) {
	t.Parallel()
	for set, values := range sets(t) {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			got, err := text(t, "--values="+values)
			if err != nil {
				t.Fatal(err)
			}
			parse(t, got) // what cannot be decoded must not become the golden file
			path := "testdata/golden/" + set + ".yaml"
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; make generate writes it", err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("the chart renders something else (-golden +now); make generate accepts it:\n%s", diff)
			}
		})
	}
}

func TestEveryGoldenFileHasItsValues(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/golden/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if set := strings.TrimSuffix(filepath.Base(path), ".yaml"); sets(t)[set] == "" {
			t.Errorf("%s is of a set of values that is gone: delete it", path)
		}
	}
}

// GitOps tools render without a cluster and compare: what depends on the cluster, on the time or on chance would be
// lost or would change all the time.
func TestTemplatesDependOnValuesOnly(t *testing.T) {
	t.Parallel()
	moody := regexp.MustCompile(`\b(lookup|rand[A-Z]\w+|gen(CA|SelfSigned|Signed|Private)\w*|uuidv4|now|htpasswd|bcrypt)\b|\.Capabilities|\.Release\.(Is|Revision)`)
	action := regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	comment := regexp.MustCompile(`(?s)\{\{-?\s*/\*.*?\*/\s*-?\}\}`)
	err := filepath.WalkDir(filepath.Join(chart, "templates"), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, code := range action.FindAllString(comment.ReplaceAllString(string(content), ""), -1) {
			if found := moody.FindString(code); found != "" {
				t.Errorf("%s: %s depends on more than the values: %s", path, found, code)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What make manifests writes is for kubectl apply: it brings its namespace, and the objects go there.
func TestManifests(t *testing.T) {
	t.Parallel()
	helmProgram := os.Getenv("HELM")
	if helmProgram == "" {
		t.Skip("HELM does not name a helm program: run make test-chart")
	}
	file := filepath.Join(t.TempDir(), "dist", "inpod.yaml")
	run(t, "../../tools/manifests.sh", helmProgram, "1.2.3-dev.gabc", "registry.example.com/team/inpod", file)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rendered := parse(t, string(content))
	if first := describe(rendered[0]); first != "Namespace inpod-system" {
		t.Errorf("the first object is %s, want the Namespace: kubectl applies in this order", first)
	}
	for _, object := range rendered {
		if got := object.GetNamespace(); got != "" && got != "inpod-system" {
			t.Errorf("%s is not in inpod-system", describe(object))
		}
	}
	deployment, err := rendered.Deployment("controller")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := deployment.Spec.Template.Spec.Containers[0].Image, "registry.example.com/team/inpod/controller:1.2.3-dev.gabc"; got != want {
		t.Errorf("image %s, want %s", got, want)
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args   []string
		want   []string
		wantNo string
	}{
		"everywhere": {
			want: []string{
				"watches all namespaces", "kubectl -n inpod-system rollout status deployment/inpod-controller",
				"kubectl annotate deployment NAME reloader.stakater.com/auto=true", "inpod.dev/inject=enabled",
			},
		},
		"in some namespaces": {
			args: []string{"--set", "namespaces={shop,blog}"},
			want: []string{"watches shop, blog"},
		},
		"in its own namespace": {
			args:   []string{"--set", "watchGlobally=false"},
			want:   []string{"watches inpod-system"},
			wantNo: "inpod.dev/inject", // no injector is installed
		},
		"with a key of one's own": {
			args: []string{"--set", "controller.config.autoAnnotation=example.com/auto,fullnameOverride=roller"},
			want: []string{"NAME example.com/auto=true", "deployment/roller-controller"},
		},
		"with the key left to the program": {
			args: []string{"--set", "controller.config.autoAnnotation=null"},
			want: []string{"NAME reloader.stakater.com/auto=true"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			printed, err := helm(t, append([]string{"install", release, chart, "--namespace", namespace, "--dry-run=client"}, tc.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			_, notes, found := strings.Cut(printed, "NOTES:")
			if !found {
				t.Fatalf("no notes in\n%s", printed)
			}
			for _, want := range tc.want {
				if !strings.Contains(notes, want) {
					t.Errorf("the notes do not say %q:\n%s", want, notes)
				}
			}
			if tc.wantNo != "" && strings.Contains(notes, tc.wantNo) {
				t.Errorf("the notes say %q:\n%s", tc.wantNo, notes)
			}
		})
	}
}
