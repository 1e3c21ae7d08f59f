package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	cases := map[string]struct {
		values string

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
			got, err := table([]byte(tc.values))
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

func TestUpdate(t *testing.T) {
	chart := t.TempDir()
	readme := filepath.Join(chart, "README.md")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(chart, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("values.yaml", "# How many.\nreplicas: 1\n")
	write("README.md", "before\n"+begin+end+"after\n")

	if code := run([]string{"-check", chart}, io.Discard); code != 1 {
		t.Errorf("check of an old table: exit code %d, want 1", code)
	}
	if code := run([]string{chart}, io.Discard); code != 0 {
		t.Errorf("update: exit code %d, want 0", code)
	}
	if code := run([]string{"-check", chart}, io.Discard); code != 0 {
		t.Errorf("check after an update: exit code %d, want 0", code)
	}
	got, err := os.ReadFile(readme)
	if err != nil || !strings.HasPrefix(string(got), "before\n") || !strings.HasSuffix(string(got), "after\n") ||
		!strings.Contains(string(got), "`replicas`") {
		t.Errorf("README.md is %q, %v", got, err)
	}
}
