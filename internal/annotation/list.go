package annotation

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// names is a list of names or patterns of objects.
type names struct {
	exact    map[string]struct{}
	patterns []*regexp.Regexp
}

func (n names) match(name string) bool {
	if _, ok := n.exact[name]; ok {
		return true
	}
	for _, p := range n.patterns {
		if p.MatchString(name) {
			return true
		}
	}
	return false
}

func (n names) isEmpty() bool { return len(n.exact) == 0 && len(n.patterns) == 0 }

// parseNames reads a list. An item that is not a regular expression is
// reported, and the other items count.
//
// An item that can be the name of an object is taken as it is where literal is
// set. Otherwise its dots match any character, as in Reloader.
func parseNames(text string, literal bool) (names, []string) {
	list := names{exact: map[string]struct{}{}}
	var faults []string
	for _, item := range splitList(text) {
		plain := len(validation.IsDNS1123Subdomain(item)) == 0
		if plain {
			list.exact[item] = struct{}{}
		}
		if plain && (literal || !strings.Contains(item, ".")) {
			continue
		}
		// Reloader writes ^item$, so that "a|b" means "begins with a or ends
		// with b"; the group makes it mean what it says.
		pattern, err := regexp.Compile("^(?:" + item + ")$")
		if err != nil {
			faults = append(faults, fmt.Sprintf("%q is not a regular expression: %s", item, regexpFault(err)))
			continue
		}
		list.patterns = append(list.patterns, pattern)
	}
	return list, faults
}

// regexpFault is the cause without the expression, which the caller names.
func regexpFault(err error) string {
	if fault, ok := err.(*syntax.Error); ok { //nolint:errorlint // regexp returns it unwrapped
		return fault.Code.String()
	}
	return err.Error()
}

// splitList splits at commas that are outside of brackets, so that "a{1,2}"
// is one item. Brackets that do not close are ordinary characters: what
// follows them is split. Blanks around an item and empty items are dropped.
func splitList(text string) []string {
	var items []string
	start, depth := 0, 0
	add := func(end int) {
		if item := strings.TrimSpace(text[start:end]); item != "" {
			items = append(items, item)
		}
		start = end + 1
	}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '[', '{', '(':
			if closes(text[i:]) {
				depth++
			}
		case ']', '}', ')':
			depth = max(0, depth-1)
		case ',':
			if depth == 0 {
				add(i)
			}
		}
	}
	add(len(text))
	return items
}

// closes tells whether the bracket at the start of the text has a counterpart.
func closes(text string) bool {
	want := map[byte]byte{'[': ']', '{': '}', '(': ')'}[text[0]]
	return strings.IndexByte(text, want) > 0
}
