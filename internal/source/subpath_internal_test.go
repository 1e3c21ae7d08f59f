package source

import (
	"regexp"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	t.Parallel()
	values := map[string]string{"A": "x", "B": "y/z", "EMPTY": "", "LONG": strings.Repeat("a", longestPath)}
	for text, want := range map[string]string{
		"":                  "",
		"plain":             "plain",
		"$(A)":              "x",
		"$(A)/$(B)":         "x/y/z",
		"$(EMPTY)k":         "k",
		"$$(A)":             "$(A)",
		"$$$(A)":            "$x",
		"$$$$":              "$$",
		"a$":                "a$",
		"$A":                "$A",
		"$(A":               "$(A",
		"$($(A)":            "?", // the name is "$(A"
		"$()":               "?",
		"$(UNKNOWN)":        "?",
		"$(A)$(UNKNOWN)":    "?",
		"$(LONG)":           values["LONG"],
		"$(LONG)$(A)":       "?",
		"$$(UNKNOWN)":       "$(UNKNOWN)",
		"$( A)":             "?",
		"(A)$(A)(A)":        "(A)x(A)",
		"\xff$(A)\x00$\xff": "\xffx\x00$\xff",
	} {
		got, ok := expand(text, values)
		if !ok {
			got = "?"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestCleanPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"": "", ".": "", "/": "", "./": "", "a": "a", "a/": "a", "/a": "a", "a//b": "a/b", "a/./b": "a/b", "..": "", "../a": "a", "..data/a": "..data/a",
	} {
		if got := cleanPath(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// reference is the syntax of k8s.io/kubernetes/third_party/forked/golang/expansion, as an expression.
var reference = regexp.MustCompile(`\$\$|\$\([^)]*\)`)

func FuzzExpand(f *testing.F) {
	for _, text := range []string{"$(A)/$(B)", "$$(A)", "$($(A)", "$", "$(", "$(X)", "\xff$(A)", "$$$$$(A)"} {
		f.Add(text, "x", "$(B)")
	}
	f.Fuzz(func(t *testing.T, text, a, b string) {
		values := map[string]string{"A": a, "B": b}
		known := true
		want := reference.ReplaceAllStringFunc(text, func(match string) string {
			if match == "$$" {
				return "$"
			}
			value, ok := values[match[2:len(match)-1]]
			known = known && ok
			return value
		})
		got, ok := expand(text, values)
		if ok != known || (ok && got != want) {
			t.Errorf("%q: %q, %t, want %q, %t", text, got, ok, want, known)
		}
	})
}
