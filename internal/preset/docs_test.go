package preset_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"inpod.dev/inpod/internal/preset"
)

var update = flag.Bool("update", false, "write the table into docs/presets.md")

const docs = "../../docs/presets.md"

// TestDocs keeps the tables that users read equal to the table in the code, and to what was observed.
func TestDocs(t *testing.T) {
	t.Parallel()
	old, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	want := replaced(t, string(old), "table", table())
	want = replaced(t, want, "matrix", matrixTable(t))
	if want == string(old) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the code says; run go test ./internal/preset -update", docs)
	}
	if err := os.WriteFile(docs, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replaced puts text between the two comments of that name.
func replaced(t *testing.T, in, name, text string) string {
	t.Helper()
	begin, end := "<!-- "+name+": go test ./internal/preset -update -->\n", "<!-- end of "+name+" -->\n"
	before, rest, ok1 := strings.Cut(in, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the %s", docs, name)
	}
	return before + begin + text + end + after
}

func table() string {
	var b strings.Builder
	b.WriteString("\n| preset | triggered by | checked before | proof | a bad file, unchecked | not re-read |\n|---|---|---|---|---|---|\n")
	var refused strings.Builder
	for _, p := range preset.All() {
		if p.Refusal != "" {
			fmt.Fprintf(&refused, "| `%s` | %s |\n", p.Name, p.Refusal)
			continue
		}
		trigger := "SIG" + p.Signal + " to `" + strings.Join(p.Processes, "` or `") + "`"
		if p.URL != "" {
			trigger = "POST `" + p.URL + "`"
		}
		if p.BodyFrom != "" {
			trigger += " with the file `" + p.BodyFrom + "`"
		}
		checked := "–"
		if len(p.Validators) > 0 {
			checked = "`" + strings.Join(p.Validators[0], " ") + "`"
			if p.MustValidate {
				checked += ", always"
			}
		}
		if p.Guard {
			checked = strings.TrimPrefix(checked+"; ", "–; ") + "missing files"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", p.Name, trigger, checked, p.Proof.Kind, p.BadFile, p.NotReread)
	}
	return b.String() + "\nRefused, with the reason:\n\n| preset | why |\n|---|---|\n" + refused.String() + "\n"
}
