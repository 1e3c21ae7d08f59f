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

var update = flag.Bool("update", false, "write the table into docs/annotations.md")

func TestTheTableOfKeysIsDocumented(t *testing.T) {
	t.Parallel()
	const path, begin, end = "../../docs/annotations.md", "<!-- begin: keys -->\n", "<!-- end: keys -->\n"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(page), begin)
	was, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	table := keysInMarkdown()
	if *update {
		if err := os.WriteFile(path, []byte(head+begin+table+end+tail), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table, was); diff != "" {
		t.Errorf("%s is not what the table says (-want +got); go test ./internal/annotation -update\n%s", path, diff)
	}
}

func keysInMarkdown() string {
	var b strings.Builder
	place := func(key annotation.Key, at annotation.Place) string {
		if key.At&at != 0 {
			return "yes"
		}
		return ""
	}
	b.WriteString("| key | workload | pod template | source | namespace | value | more |\n|---|---|---|---|---|---|---|\n")
	var written []annotation.Key
	for _, key := range annotation.DefaultKeys().Table() {
		if key.Written {
			written = append(written, key)
			continue
		}
		namespace := place(key, annotation.AtNamespace)
		if key.At&annotation.AsNamespaceLabel != 0 {
			namespace = "as a label"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | [more](%s) |\n", key.Name,
			place(key, annotation.AtWorkload), place(key, annotation.AtTemplate), place(key, annotation.AtSource), namespace, key.Value, key.Page)
	}
	b.WriteString("\ninpod or Reloader writes these itself:\n\n| key | on | value | more |\n|---|---|---|---|\n")
	for _, key := range written {
		fmt.Fprintf(&b, "| `%s` | %s | %s | [more](%s) |\n", key.Name, key.At, key.Value, key.Page)
	}
	return b.String()
}
