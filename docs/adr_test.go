package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every decision is in the index, under its own title and status, and has the headings that the index promises.
func TestDecisionsAreInTheIndex(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile("adr/README.md")
	if err != nil {
		t.Fatal(err)
	}
	records, err := filepath.Glob("adr/0*.md")
	if err != nil || len(records) == 0 {
		t.Fatalf("no records were found: %v", err)
	}
	head := regexp.MustCompile(`^# (\d{4})\. (.+)\n\nStatus: (.+)\n`)
	want := []string{"Context", "Decision", "Consequences", "Alternatives"}
	for _, path := range records {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := head.FindStringSubmatch(string(text))
		if found == nil {
			t.Errorf("%s begins with no number, title and status", path)
			continue
		}
		if row := fmt.Sprintf("| %s | [%s](%s) | %s |\n", found[1], found[2], filepath.Base(path), found[3]); !strings.Contains(string(index), row) {
			t.Errorf("adr/README.md lacks the row %s", row)
		}
		var headings []string
		for _, heading := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(text), -1) {
			headings = append(headings, heading[1])
		}
		if !slices.Equal(headings, want) {
			t.Errorf("%s has the headings %q, want %q", path, headings, want)
		}
	}
}
