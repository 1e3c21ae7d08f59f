package preset_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"inpod.dev/inpod/internal/preset"
)

// observed is what "make test-presets" saw of one server; see e2e/presets.
type observed struct {
	Preset, Variant, Version string
	Kinds                    []struct {
		Name  string
		Files []string
		Cells map[string]struct{ Result, Proof, Serves, Main, Not string }
	}
}

const matrixData = "../../e2e/presets/testdata/matrix"

func allObserved(t *testing.T) []observed {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(matrixData, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no servers were observed: %v", err)
	}
	var all []observed
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var o observed
		if err := json.Unmarshal(text, &o); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, o)
	}
	return all
}

// TestRulesAgreeWithWhatWasObserved holds the rules of each preset against what the real servers did.
func TestRulesAgreeWithWhatWasObserved(t *testing.T) {
	t.Parallel()
	for _, o := range allObserved(t) {
		row, err := preset.ByName(o.Preset)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range o.Kinds {
			restarts := kind.Cells["good"].Result == "needs restart"
			for _, rule := range row.Files {
				if rule.With != "" && !strings.Contains(o.Variant, rule.With) {
					continue
				}
				if rule.Name == kind.Name && restarts != (rule.Effect == preset.AtStart) {
					t.Errorf("%s, %s: the preset says %q, the real server %q", o.Preset, kind.Name, rule.Effect, kind.Cells["good"].Result)
				}
			}
			for _, file := range kind.Files {
				if rule, ok := row.RuleFor("/conf/" + file); ok && rule.Name != kind.Name {
					t.Errorf("%s: %s is taken for %s, and is %s", o.Preset, file, rule.Name, kind.Name)
				}
			}
		}
	}
}

// TestAProofOfAReloadIsOneForWhatAReloadReads holds what was proven by a server's word that a reload went well against what
// the preset says that a reload reads.
func TestAProofOfAReloadIsOneForWhatAReloadReads(t *testing.T) {
	t.Parallel()
	for _, o := range allObserved(t) {
		row, err := preset.ByName(o.Preset)
		if err != nil {
			t.Fatal(err)
		}
		if !row.Proof.OfReload() {
			continue
		}
		for _, kind := range o.Kinds {
			reread := kind.Name == "main" || strings.HasPrefix(kind.Name, "include")
			for _, rule := range row.Files {
				reread = reread || rule.Name == kind.Name && rule.Effect == preset.Reread
			}
			for edit, cell := range kind.Cells {
				if cell.Result == "applied, proven" && !reread {
					t.Errorf("%s, %s, %s: proven, and the preset does not say that a reload reads it", o.Preset, kind.Name, edit)
				}
			}
		}
	}
	for _, p := range preset.All() {
		if p.Proof.OfReload() && p.Configuration == nil {
			t.Errorf("%s: nothing says which files its proof is about", p.Name)
		}
	}
}

// matrixTable is the table of what was observed.
func matrixTable(t *testing.T) string {
	t.Helper()
	edits := []string{"good", "bad", "restart-only", "deleted", "mixed"}
	var b, reasons strings.Builder
	b.WriteString("\n| preset | kind of file | " + strings.Join(edits, " | ") + " |\n|---|---|---|---|---|---|---|\n")
	var why []string
	for _, o := range allObserved(t) {
		title := "`" + o.Preset + "`"
		if o.Variant != "" {
			title += " " + o.Variant
		}
		for _, kind := range o.Kinds {
			fmt.Fprintf(&b, "| %s | %s |", title, kind.Name)
			for _, edit := range edits {
				c := kind.Cells[edit]
				if c.Not != "" {
					at := 0
					for at < len(why) && why[at] != c.Not {
						at++
					}
					if at == len(why) {
						why = append(why, c.Not)
						fmt.Fprintf(&reasons, "%d. %s\n", at+1, c.Not)
					}
					fmt.Fprintf(&b, " – (%d) |", at+1)
					continue
				}
				text := c.Result + ": " + c.Serves
				if c.Main != "" {
					text += ", main file " + c.Main
				}
				fmt.Fprintf(&b, " %s |", text)
			}
			b.WriteString("\n")
		}
	}
	if len(why) > 0 {
		b.WriteString("\nNot tried, with the reason:\n\n" + reasons.String())
	}
	b.WriteString("\nSeen with: ")
	for i, o := range allObserved(t) {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(o.Preset + " (" + o.Version + ")")
	}
	return b.String() + ".\n\n"
}
