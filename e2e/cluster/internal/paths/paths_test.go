package paths

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestEveryCheckoutHasItsOwnNames(t *testing.T) {
	t.Parallel()
	one, two := Of("/src/one", "/state", "/cache"), Of("/src/two", "/state", "/cache")
	if one == Of("/src/two", "/state", "/cache") || one.ID == two.ID || one.State == two.State || one.Netns() == two.Netns() {
		t.Errorf("two checkouts share a name: %+v and %+v", one, two)
	}
	if again := Of("/src/one", "/state", "/cache"); again != one {
		t.Errorf("the same checkout got %+v, then %+v", one, again)
	}
	if !regexp.MustCompile(`^inpod-[0-9a-f]{6}$`).MatchString(one.ID) {
		t.Errorf("ID is %q", one.ID)
	}
	if one.Cache != two.Cache {
		t.Errorf("caches differ: %s and %s", one.Cache, two.Cache)
	}
}

func TestCheckoutIsFoundFromFoldersInside(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(root, "e2e", "cluster", "kube")
	if err := os.MkdirAll(module, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := findCheckout(module); err == nil {
		t.Error("a folder without the module was taken for a checkout")
	}
	if err := os.WriteFile(filepath.Join(module, "go.mod"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{root, module, filepath.Dir(module), link} {
		if got, err := findCheckout(from); err != nil || got != root {
			t.Errorf("findCheckout(%s) = %q, %v; want %q", from, got, err, root)
		}
	}
}
