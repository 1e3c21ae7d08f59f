package tests

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// A comment directly above a key of values.yaml describes it and everything below it down to the next key with a comment.
// A key that nothing describes is an error: a value that nobody explained is not ready to be used.
func TestReadmeHasEveryValue(t *testing.T) {
	t.Parallel()
	const (
		file  = "../inpod/README.md"
		begin = "<!-- values: written by make generate from values.yaml -->\n"
		end   = "<!-- end of values -->\n"
	)
	values, err := os.ReadFile("../inpod/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	table, err := valuesTable(values)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(readme), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no table of values; it needs the two lines\n%s%s", file, begin, end)
	}
	want := before + begin + "\n" + table + "\n" + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(string(readme), "\n")); diff != "" {
		t.Errorf("%s does not match values.yaml; make generate writes it (-values.yaml +README.md):\n%s", file, diff)
	}
}

func TestValuesTable(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		values  string
		want    []string
		wantErr string
	}{
		"the comment over several lines becomes the meaning": {
			values: "# How many\n# of them.\nreplicas: 1\n",
			want:   []string{"| `replicas` | `1` | How many of them. |"},
		},
		"a mapping with described keys gives a row per key, in the file's order": {
			values: "# Heading of the image.\nimage:\n  # The tag.\n  tag: \"\"\n  # The policy.\n  policy: Always\n",
			want:   []string{"| `image.tag` | `\"\"` | The tag. |", "| `image.policy` | `\"Always\"` | The policy. |"},
		},
		"a described mapping without described keys is one row": {
			values: "# What it may use.\nresources:\n  limits:\n    memory: 1Gi\n",
			want:   []string{"| `resources` | `{\"limits\":{\"memory\":\"1Gi\"}}` | What it may use. |"},
		},
		"a heading with an empty line below it describes nothing": {
			values:  "# Section\n\na: 1\n",
			wantErr: "line 3: a has no comment above it",
		},
		"a pipe does not end the cell": {
			values: "# a|b\nformat: x\n",
			want:   []string{"| `format` | `\"x\"` | a\\|b |"},
		},
		"an undescribed key next to described ones is an error": {
			values:  "image:\n  # The tag.\n  tag: \"\"\n  policy: Always\n",
			wantErr: "image.policy has no comment above it",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := valuesTable([]byte(tc.values))
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error %v, want one with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := "| value | default | meaning |\n|---|---|---|\n" + strings.Join(tc.want, "\n") + "\n"
			if got != want {
				t.Errorf("table\n%swant\n%s", got, want)
			}
		})
	}
}

// valuesRow is one line of the table.
type valuesRow struct {
	key, fallback, text string
}

// valuesTable renders the values as a Markdown table, in the order of the file.
func valuesTable(values []byte) (string, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(values, &document); err != nil {
		return "", fmt.Errorf("values.yaml: %w", err)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return "", errors.New("values.yaml: want one mapping at its top")
	}
	rows, err := valuesRows(document.Content[0], "")
	if err != nil {
		return "", err
	}

	var b strings.Builder
	b.WriteString("| value | default | meaning |\n|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", r.key, escape(r.fallback), escape(r.text))
	}
	return b.String(), nil
}

// valuesRows returns the rows of a mapping. A described mapping whose keys are described themselves is a heading: only its
// keys become rows. A described mapping with undescribed keys is one row with the whole of it as the default.
func valuesRows(mapping *yaml.Node, prefix string) ([]valuesRow, error) {
	var rows []valuesRow
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		name := prefix + key.Value
		text := commentAbove(key)

		if value.Kind == yaml.MappingNode && hasDescriptions(value) {
			below, err := valuesRows(value, name+".")
			if err != nil {
				return nil, err
			}
			rows = append(rows, below...)
			continue
		}
		if text == "" {
			return nil, fmt.Errorf("values.yaml line %d: %s has no comment above it", key.Line, name)
		}
		fallback, err := compact(value)
		if err != nil {
			return nil, fmt.Errorf("values.yaml line %d: %s: %w", key.Line, name, err)
		}
		rows = append(rows, valuesRow{key: name, fallback: fallback, text: text})
	}
	return rows, nil
}

// hasDescriptions reports whether a key of this mapping, at any depth, has a comment.
func hasDescriptions(mapping *yaml.Node) bool {
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		if commentAbove(key) != "" || value.Kind == yaml.MappingNode && hasDescriptions(value) {
			return true
		}
	}
	return false
}

// commentAbove is the text above a key as one line. Only the paragraph that touches the key counts, so that a heading
// followed by an empty line stays a heading.
func commentAbove(key *yaml.Node) string {
	paragraphs := strings.Split(key.HeadComment, "\n\n")
	var words []string
	for line := range strings.SplitSeq(paragraphs[len(paragraphs)-1], "\n") {
		words = append(words, strings.Fields(strings.TrimLeft(line, "#"))...)
	}
	return strings.Join(words, " ")
}

// compact renders a default on one line.
func compact(value *yaml.Node) (string, error) {
	var v any
	if err := value.Decode(&v); err != nil {
		return "", err
	}
	text, err := json.Marshal(v)
	return string(text), err
}

func escape(text string) string {
	return strings.ReplaceAll(text, "|", `\|`)
}
