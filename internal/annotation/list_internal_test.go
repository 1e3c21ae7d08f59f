package annotation

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/util/validation"

	"inpod.dev/inpod/internal/source"
)

func TestSplitList(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":            nil,
		" , ,, ":      nil,
		"a":           {"a"},
		"a,b":         {"a", "b"},
		" a ,\tb\n":   {"a", "b"},
		"a b":         {"a b"},
		"a,":          {"a"},
		"a{1,2},b":    {"a{1,2}", "b"},
		"[a,b],c":     {"[a,b]", "c"},
		"(a,b),c":     {"(a,b)", "c"},
		"((a,b),c),d": {"((a,b),c)", "d"},
		"([(,{],b),c": {"([(,{],b)", "c"},
		`a\,b`:        {`a\,b`},
		`a\`:          {`a\`},
		`(a\),b),c`:   {`(a\),b)`, "c"},
		`[\],a],b`:    {`[\],a]`, "b"},

		// a bracket that does not close is a character
		"[,a":      {"[", "a"},
		"(a,b":     {"(a", "b"},
		"a),b":     {"a)", "b"},
		"{,(a,b)":  {"{", "(a,b)"},
		"((a,b),c": {"((a,b)", "c"},
		"(a{,b),c": {"(a{,b)", "c"},
		`(a\),b`:   {`(a\)`, "b"},
		"[),],b":   {"[),]", "b"},
		"[(,a],b)": {"[(,a]", "b)"},
		"(a],b),c": {"(a],b)", "c"},
		"}{,a":     {"}{", "a"},
		"a],[b,c":  {"a]", "[b", "c"},
	} {
		if diff := cmp.Diff(want, splitList(text), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func FuzzParseNames(f *testing.F) {
	for _, text := range []string{"a,b", "a{1,2},b", "[,a", `\`, "((a,b),c", "(?i)A|b", `\Qa`, "a)|(b", "x.y, z-1", "true", "[]a,]", "(?:", "\xff,a", "a.-b,a-.b,a..b,.a,a-,-a,a--b,a.b-c", "((a{9}){9}){9}"} {
		f.Add(text, "a")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		items := splitList(text)
		for _, item := range items {
			if item == "" || strings.TrimSpace(item) != item {
				t.Errorf("%q has the item %q", text, item)
			}
		}
		// Items in a list again are the same items, unless something in one of them closes a bracket of another.
		if !strings.ContainsAny(text, `[](){}\`) {
			if diff := cmp.Diff(items, splitList(strings.Join(items, " , ")), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%q (-first +again):\n%s", text, diff)
			}
		}
		// Nothing but separators gets lost.
		if got, want := bare(strings.Join(items, "")), bare(text); got != want {
			t.Errorf("%q became %q", want, got)
		}
		for _, literal := range []bool{false, true} {
			list := new(compiler).names(text, literal)
			for exact := range list.exact {
				if !list.match(exact) {
					t.Errorf("%q does not match its own item %q", text, exact)
				}
			}
			list.match(name)
		}
		for _, item := range items {
			if isName(item) != (len(validation.IsDNS1123Subdomain(item)) == 0) {
				t.Errorf("%q: is a name: %t", item, isName(item))
			}
			itemFault(source.ConfigMap, item)
			if pattern, err := compile(item); err == nil && len(validation.IsDNS1123Subdomain(name)) == 0 && pattern.MatchString(name) && !canMatch(item, lettersOfNames) {
				t.Errorf("%q matches %q, and is said to match no name", item, name)
			}
		}
	})
}

// bare is a text without the characters that separate items.
func bare(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == ',' || strings.TrimSpace(string(r)) == "" }), "")
}
