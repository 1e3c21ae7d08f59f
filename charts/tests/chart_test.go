package tests

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	chart     = "../inpod"
	release   = "inpod"
	namespace = "inpod-system"
)

var update = flag.Bool("update", false, "write the golden files")

// helm runs helm and returns what it wrote; the error has what it wrote to standard error. It sees no cluster.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := os.Getenv("HELM")
	if program == "" {
		t.Skip("HELM does not name a helm program: run make test-chart")
	}
	command := exec.CommandContext(t.Context(), program, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+os.DevNull)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), fmt.Errorf("helm %s: %w\n%s", args[0], err, stderr.String())
	}
	return stdout.String(), nil
}

// text renders the chart as the release that the golden files are made with.
func text(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return helm(t, append([]string{"template", release, chart, "--namespace", namespace}, args...)...)
}

// render is text as objects, and ends the test when there are none.
func render(t *testing.T, args ...string) Rendered {
	t.Helper()
	rendered, err := text(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, rendered)
}

func parse(t *testing.T, text string) Rendered {
	t.Helper()
	rendered, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(rendered) == 0 {
		t.Fatal("nothing was rendered")
	}
	return rendered
}

// valuesFlag writes values to a file and returns the flag that names it.
func valuesFlag(t *testing.T, values map[string]any) string {
	t.Helper()
	content, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return "--values=" + path
}

// sets are the files in testdata/values by name.
func sets(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no sets of values in testdata/values: %v", err)
	}
	found := map[string]string{}
	for _, path := range paths {
		found[strings.TrimSuffix(filepath.Base(path), ".yaml")] = path
	}
	return found
}

// readValues reads a file of values.
func readValues(t *testing.T, path string) map[string]any {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	if err := yaml.UnmarshalStrict(content, &values); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return values
}

// at returns the value at a path such as controller.config.workers.
func at(values map[string]any, path string) (any, bool) {
	var current any = values
	for key := range strings.SplitSeq(path, ".") {
		mapping, ok := current.(map[string]any)
		if !ok {
			return nil, false
		}
		if current, ok = mapping[key]; !ok {
			return nil, false
		}
	}
	return current, true
}

// put sets the value at a path and makes the mappings on the way to it.
func put(values map[string]any, path string, value any) {
	above, key, nested := strings.Cut(path, ".")
	if !nested {
		values[path] = value
		return
	}
	mapping, ok := values[above].(map[string]any)
	if !ok {
		mapping = map[string]any{}
		values[above] = mapping
	}
	put(mapping, key, value)
}

// run runs a program that has to succeed.
func run(t *testing.T, program string, args ...string) {
	t.Helper()
	if output, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, output)
	}
}

// remove takes the value at a path away.
func remove(values map[string]any, path string) {
	above, key, nested := strings.Cut(path, ".")
	if !nested {
		delete(values, path)
		return
	}
	if mapping, ok := values[above].(map[string]any); ok {
		remove(mapping, key)
	}
}
