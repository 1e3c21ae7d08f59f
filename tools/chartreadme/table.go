package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// row is one line of the table.
type row struct {
	key, fallback, text string
}

// table renders the values as a Markdown table, in the order of the file.
func table(values []byte) (string, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(values, &document); err != nil {
		return "", fmt.Errorf("values.yaml: %w", err)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return "", errors.New("values.yaml: want one mapping at its top")
	}
	rows, err := walk(document.Content[0], "")
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

// walk returns the rows of a mapping. A described mapping whose keys are described themselves is a heading: only its
// keys become rows. A described mapping with undescribed keys is one row with the whole of it as the default.
func walk(mapping *yaml.Node, prefix string) ([]row, error) {
	var rows []row
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		name := prefix + key.Value
		text := comment(key)

		if value.Kind == yaml.MappingNode && hasDescriptions(value) {
			below, err := walk(value, name+".")
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
		rows = append(rows, row{key: name, fallback: fallback, text: text})
	}
	return rows, nil
}

// hasDescriptions tells whether a key of this mapping, at any depth, has a comment.
func hasDescriptions(mapping *yaml.Node) bool {
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		if comment(key) != "" || value.Kind == yaml.MappingNode && hasDescriptions(value) {
			return true
		}
	}
	return false
}

// comment is the text above a key as one line. Only the paragraph that touches the key counts, so that a heading
// followed by an empty line stays a heading.
func comment(key *yaml.Node) string {
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
