package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestKeyChangesWithWhatIsBuilt(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		file       string
		wantChange bool
	}{
		"a source file":             {"main.go", true},
		"a source file in a folder": {"internal/x.go", true},
		"the module file":           {"go.mod", true},
		"the checksums":             {"go.sum", true},
		"a test":                    {"main_test.go", false},
		"a text":                    {"README.md", false},
		"a module file above it":    {"../go.mod", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "x")
			write(t, filepath.Join(dir, "go.mod"), "module x")
			before := key(t, dir)
			write(t, filepath.Join(dir, tc.file), "changed")
			if changed := key(t, dir) != before; changed != tc.wantChange {
				t.Errorf("key changed: %t, want %t", changed, tc.wantChange)
			}
		})
	}
}

func TestKeyOfAPackageChangesWithItsModule(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"go.mod", "go.sum"} {
		module := t.TempDir()
		write(t, filepath.Join(module, "go.mod"), "module x")
		write(t, filepath.Join(module, "program", "main.go"), "package main")
		before := key(t, filepath.Join(module, "program"))
		write(t, filepath.Join(module, file), "changed")
		if key(t, filepath.Join(module, "program")) == before {
			t.Errorf("the key of a package stays when %s of its module changes", file)
		}
	}
}

func TestKeyDependsOnSettingsAndNotOnTheFolder(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	write(t, filepath.Join(one, "main.go"), "package main")
	write(t, filepath.Join(two, "main.go"), "package main")
	if key(t, one) != key(t, two) {
		t.Error("equal sources in two checkouts have different keys")
	}
	if key(t, one, "ab", "c") == key(t, one, "a", "bc") {
		t.Error("different settings have the same key")
	}
}

func TestRequiredVersion(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "go.mod")
	write(t, file, "module x\n\nrequire example.com/one v1.2.3\n\nrequire (\n\texample.com/two v0.4.5 // indirect\n)\n\nreplace example.com/three => example.com/three v7.8.9\n")
	for module, want := range map[string]string{"example.com/one": "v1.2.3", "example.com/two": "v0.4.5"} {
		if got, err := RequiredVersion(file, module); err != nil || got != want {
			t.Errorf("RequiredVersion(%s) = %q, %v; want %q", module, got, err, want)
		}
	}
	if got, err := RequiredVersion(file, "example.com/three"); err == nil {
		t.Errorf("a replaced module that is not required has version %q", got)
	}
}

func TestFlagsCarryTheVersion(t *testing.T) {
	t.Parallel()
	flags := strings.Join(Program{LinkVersion: []string{"a/version"}}.flags("v1.37.2"), " ")
	for _, want := range []string{"-trimpath", "-X a/version.gitVersion=v1.37.2", "-X a/version.gitMajor=1", "-X a/version.gitMinor=37"} {
		if !strings.Contains(flags, want) {
			t.Errorf("flags are %q, without %q", flags, want)
		}
	}
}

func TestCompilerOutputIsCountedOrKept(t *testing.T) {
	t.Parallel()
	output := "internal/abi\ngolang.org/x/net/http2\ngo: downloading x v1\n# example.com/x\n./main.go:3:1: syntax error\n"
	var compiled atomic.Int64
	problems := collect(strings.NewReader(output), &compiled)
	if compiled.Load() != 2 {
		t.Errorf("counted %d packages, want 2", compiled.Load())
	}
	if want := []string{"go: downloading x v1", "# example.com/x", "./main.go:3:1: syntax error"}; !slices.Equal(problems, want) {
		t.Errorf("problems are %q, want %q", problems, want)
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "locks", "x")
	unlock, err := Lock(t.Context(), path, func() { t.Error("waited for a free lock") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	waited := false
	if _, err := Lock(ctx, path, func() { waited = true }); !errors.Is(err, context.DeadlineExceeded) || !waited {
		t.Errorf("second lock: %v, waited: %t; want a deadline and to have waited", err, waited)
	}
	unlock()
	again, err := Lock(t.Context(), path, func() {})
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func key(t *testing.T, dir string, settings ...string) string {
	t.Helper()
	key, err := Key(dir, settings...)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestKilledBuildsAreCleanedUp(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	abandoned, err := WorkDir(parent, "kube")
	if err != nil {
		t.Fatal(err)
	}
	other, err := WorkDir(parent, "dns")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := WorkDir(parent, "kube"); err != nil {
		t.Fatal(err)
	}
	if exists(abandoned) || !exists(other) {
		t.Errorf("abandoned exists: %t, want false; of another program: %t, want true", exists(abandoned), exists(other))
	}
}
