package annotation

import (
	"errors"
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

// parseNames reads a list. Of an item that is not a regular expression nothing
// counts, and the other items do; see [itemFault].
//
// An item that can be the name of an object is taken as it is where literal is
// set. Otherwise its dots match any character, as in Reloader.
func parseNames(text string, literal bool) names {
	list := names{exact: map[string]struct{}{}}
	for _, item := range splitList(text) {
		plain := len(validation.IsDNS1123Subdomain(item)) == 0
		if plain {
			list.exact[item] = struct{}{}
		}
		if plain && (literal || !strings.Contains(item, ".")) {
			continue
		}
		pattern, err := compile(item)
		if err == nil {
			list.patterns = append(list.patterns, pattern)
		}
	}
	return list
}

// longestPattern bounds the memory of a regular expression, in bytes of its text: a hundred times a{1000} takes some megabytes.
const longestPattern = 1 << 10

// compile makes an item a pattern for a whole name. Reloader writes ^item$, so
// that "a|b" means "begins with a or ends with b"; the group makes it mean
// what it says. An item that ends that group itself, such as "a)|(b", is no
// regular expression when it stands alone.
func compile(item string) (*regexp.Regexp, error) {
	if len(item) > longestPattern {
		return nil, fmt.Errorf("it has %d bytes; at most %d are taken", len(item), longestPattern)
	}
	if _, err := syntax.Parse(item, syntax.Perl); err != nil {
		return nil, err
	}
	return regexp.Compile("^(?:" + item + ")$")
}

// regexpFault is the cause without the expression, which the caller names.
func regexpFault(err error) string {
	if fault, ok := errors.AsType[*syntax.Error](err); ok {
		return fault.Code.String()
	}
	return err.Error()
}

// splitList splits at commas that are outside of brackets, so that "a{1,2}"
// is one item. Brackets that do not close are ordinary characters: what
// follows them is split. Blanks around an item and empty items are dropped.
func splitList(text string) []string {
	var items []string
	start := 0
	add := func(end int) {
		if item := strings.TrimSpace(text[start:end]); item != "" {
			items = append(items, item)
		}
		start = end + 1
	}
	closedAt := brackets(text)
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case ',':
			add(i)
		default:
			i = max(i, closedAt[i])
		}
	}
	add(len(text))
	return items
}

// brackets returns where each bracket that closes is closed, as a regular
// expression has it: after a backslash, and in a class such as "[(,]", brackets
// are ordinary characters. It takes time in proportion to the text, whatever
// somebody writes there.
func brackets(text string) map[int]int {
	closedAt := map[int]int{}
	opening := map[byte]byte{')': '(', '}': '{', ']': '['}
	lastClass := lastUnescaped(text, ']')
	var open []int // positions of those that are not closed yet
	count := map[byte]int{}
	for i := 0; i < len(text); i++ {
		c := text[i]
		inClass := len(open) > 0 && text[open[len(open)-1]] == '['
		switch {
		case c == '\\':
			i++
		case inClass && c != ']':
		case c == '(', c == '{', c == '[' && i < lastClass:
			open = append(open, i)
			count[c]++
		case count[opening[c]] > 0:
			for found := false; !found; { // those in between are never closed
				last := open[len(open)-1]
				open = open[:len(open)-1]
				count[text[last]]--
				if found = text[last] == opening[c]; found {
					closedAt[last] = i
				}
			}
		}
	}
	return closedAt
}

// lastUnescaped returns the last position of a character that has no backslash before it, -1 for none.
func lastUnescaped(text string, c byte) int {
	last := -1
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case c:
			last = i
		}
	}
	return last
}
