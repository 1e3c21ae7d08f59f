// Package docs_test holds the documents to each other.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages are the documents that users and contributors read, from the root of the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "charts/inpod/*.md", "e2e/*/*.md"} {
		found, err := filepath.Glob("../" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			// What looks like a heading or a link in an example is none.
			all[path] = regexp.MustCompile("(?s)```.*?```").ReplaceAllString(string(content), "")
		}
	}
	if len(all) < 20 {
		t.Fatalf("only %d documents were found", len(all))
	}
	return all
}

// anchors are the headings of a page as they are linked to.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		text := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all[strings.ReplaceAll(strings.TrimSpace(text), " ", "-")] = true
	}
	return all
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for path, page := range all {
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(page, -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(link[1], "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link to %s leads nowhere: %v", path, link[1], err)
				continue
			}
			if there, ok := all[target]; ok && anchor != "" && !anchors(there)[anchor] {
				t.Errorf("%s: %s has no heading for #%s", path, target, anchor)
			}
		}
	}
}

func TestReadmeLinksEveryDocument(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for path := range all {
		if name, isDoc := strings.CutPrefix(path, "../docs/"); isDoc && !strings.Contains(name, "/") && !strings.Contains(all["../README.md"], "(docs/"+name) {
			t.Errorf("README.md does not link to docs/%s", name)
		}
	}
}

// What CONTRIBUTING.md sends people to is there.
func TestContributingNamesWhatExists(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:charts|controller|docs|e2e|injector|internal|sidecar|tools)/[a-z0-9_./-]*)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 20 {
		t.Fatalf("only %d paths were found", len(named))
	}
	for _, path := range named {
		if _, err := os.Stat("../" + path[1]); err != nil {
			t.Errorf("CONTRIBUTING.md names %s: %v", path[1], err)
		}
	}
	for _, name := range regexp.MustCompile("`(Test[A-Z][A-Za-z]+)`").FindAllStringSubmatch(string(text), -1) {
		if !testExists(t, name[1]) {
			t.Errorf("CONTRIBUTING.md names the test %s, which is not there", name[1])
		}
	}
}

// testExists reports whether a test file of the repository has a test of that name.
func testExists(t *testing.T, name string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || found:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != "..":
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		found = strings.Contains(string(text), "func "+name+"(")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
