package annotation_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/annotation"
)

var update = flag.Bool("update", false, "write the tables into docs/annotations.md")

// The tables of docs/annotations.md are those of the code.
func TestTheTableOfKeysIsDocumented(t *testing.T) {
	t.Parallel()
	const path = "../../docs/annotations.md"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := string(old)
	for name, table := range map[string]string{"keys": keysOfUsers(), "written": keysOfInpod()} {
		begin, end := "<!-- begin: "+name+" -->\n", "<!-- end: "+name+" -->\n"
		head, rest, ok1 := strings.Cut(want, begin)
		_, tail, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("%s has no place for the table %q", path, name)
		}
		want = head + begin + table + end + tail
	}
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(old)); diff != "" {
		t.Errorf("%s is not what the table says (-want +got); go test ./internal/annotation -update\n%s", path, diff)
	}
}

// keysOfUsers is the table of the keys that users write.
func keysOfUsers() string {
	var b strings.Builder
	b.WriteString("| key | workload | pod template | source | namespace | value | meaning |\n|---|---|---|---|---|---|---|\n")
	for _, key := range annotation.DefaultKeys().Table() {
		if key.Written {
			continue
		}
		place := func(at annotation.Place) string {
			if key.At&at != 0 {
				return "yes"
			}
			return ""
		}
		namespace := place(annotation.AtNamespace)
		if key.At&annotation.AsNamespaceLabel != 0 {
			namespace = "as a label"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", key.Name,
			place(annotation.AtWorkload), place(annotation.AtTemplate), place(annotation.AtSource), namespace, key.Value, meaning(key))
	}
	return b.String()
}

// keysOfInpod is the table of the keys that inpod writes.
func keysOfInpod() string {
	var b strings.Builder
	b.WriteString("| key | on | value | more |\n|---|---|---|---|\n")
	for _, key := range annotation.DefaultKeys().Table() {
		if key.Written {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", key.Name, key.At, key.Value, meaning(key))
		}
	}
	return b.String()
}

// meaning is the last cell: what a key means, and where the documentation has more.
func meaning(key annotation.Key) string {
	switch {
	case key.Page == "":
		return key.Meaning
	case key.Meaning == "":
		return "[more](" + key.Page + ")"
	default:
		return key.Meaning + " ([more](" + key.Page + "))"
	}
}
