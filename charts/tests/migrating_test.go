package tests

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Whoever comes from Reloader translates values with a table. Each of ours in it exists, and each of Reloader's is in it once.
func TestMigratingNamesValuesThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/migrating-from-reloader.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Chart values\n")
	section, _, _ = strings.Cut(section, "\n## ")
	values := readValues(t, chart+"/values.yaml")
	word := regexp.MustCompile("`[^`]+`")
	path := regexp.MustCompile(`^(?:controller|injector)\.[\w.]+$`)
	seen := map[string]bool{}
	named := 0
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], "-") || strings.HasPrefix(cells[1], " Reloader's") {
			continue
		}
		theirs, ours, note := cells[1], cells[2], cells[3]
		for _, name := range word.FindAllString(theirs, -1) {
			if !strings.HasPrefix(name, "`…") && seen[name] {
				t.Errorf("%s is in the table twice", name)
			}
			seen[name] = true
		}
		found := word.FindAllString(ours, -1)
		if len(found) == 0 && strings.TrimSpace(note) == "" {
			t.Errorf("nothing is said about%s", theirs)
		}
		for _, name := range word.FindAllString(note, -1) {
			if path.MatchString(strings.Trim(name, "`")) {
				found = append(found, name)
			}
		}
		for _, name := range found {
			named++
			if _, ok := at(values, strings.Trim(name, "`")); !ok {
				t.Errorf("the chart has no value %s, which takes the place of%s", name, theirs)
			}
		}
	}
	if named < 60 {
		t.Errorf("only %d values were found in the table: has its form changed?", named)
	}
}
