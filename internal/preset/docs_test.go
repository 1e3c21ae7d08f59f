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

const (
	docs  = "../../docs/presets.md"
	begin = "<!-- table: go test ./internal/preset -update -->\n"
	end   = "<!-- end of table -->\n"
)

// TestDocs keeps the table that users read equal to the table in the code.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", docs)
	}
	want := before + begin + table() + end + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the code says; run go test ./internal/preset -update", docs)
	}
	if err := os.WriteFile(docs, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
}

func table() string {
	var b strings.Builder
	b.WriteString("\n| preset | told by | asked before | proof | a bad file, unasked | not re-read |\n|---|---|---|---|---|---|\n")
	var refused strings.Builder
	for _, p := range preset.All() {
		if p.Refusal != "" {
			fmt.Fprintf(&refused, "| `%s` | %s |\n", p.Name, p.Refusal)
			continue
		}
		told := "SIG" + p.Signal + " to `" + strings.Join(p.Processes, "` or `") + "`"
		if p.URL != "" {
			told = "POST `" + p.URL + "`"
		}
		if p.BodyFrom != "" {
			told += " with the file `" + p.BodyFrom + "`"
		}
		asked := "–"
		if len(p.Validators) > 0 {
			asked = "`" + strings.Join(p.Validators[0], " ") + "`"
			if p.MustValidate {
				asked += ", always"
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", p.Name, told, asked, p.Proof.Kind, p.BadFile, p.NotReread)
	}
	return b.String() + "\nRefused, with the reason:\n\n| preset | why |\n|---|---|\n" + refused.String() + "\n"
}
