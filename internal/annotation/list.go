package annotation

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"inpod.dev/inpod/internal/reloadspec"
)

// names is a list of names or patterns of objects.
type names struct {
	exact    map[string]struct{}
	patterns []*regexp.Regexp
	items    []listItem
}

// listItem is an item as the user wrote it, with its pattern, nil where it has none.
type listItem struct {
	text    string
	pattern *regexp.Regexp
	// left reports whether there was no room for its pattern.
	left bool
}

// isEmpty reports whether there is nothing in it.
func (n names) isEmpty() bool { return len(n.exact)+len(n.patterns)+len(n.items) == 0 }

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

// Bounds on the patterns of one object, which stay in memory and delay the reading of all other objects.
const (
	// longestPattern bounds the text of one, in bytes, and largestPattern its size, see [sizeOf].
	longestPattern = reloadspec.MaxPattern
	largestPattern = 1 << 12
	// allPatterns bounds the sum of their sizes, to which each adds a little of its own. Names with dots, which are names as well,
	// may have half of it.
	allPatterns, perPattern = 1 << 16, 1 << 6
)

// compiler makes patterns of the items of one object's lists, as far as the bounds go.
type compiler struct{ spent int }

// names reads a list. Of an item that is not a regular expression nothing counts, and the other items do; see [itemFault].
//
// An item that can be the name of an object is taken as it is where literal is set. Otherwise its dots match any character, as in
// Reloader.
func (c *compiler) names(text string, literal bool) names {
	var list names
	for _, text := range splitList(text) {
		item, plain := listItem{text: text}, isName(text)
		if plain {
			if list.exact == nil {
				list.exact = map[string]struct{}{}
			}
			list.exact[text] = struct{}{}
		}
		if !plain || !literal && strings.Contains(text, ".") && c.spent < allPatterns/2 {
			pattern, fits := c.compile(text)
			item.pattern, item.left = pattern, !fits && !plain
		}
		if item.pattern != nil {
			list.patterns = append(list.patterns, item.pattern)
		}
		list.items = append(list.items, item)
	}
	return list
}

// compile makes a pattern of an item, nil where it is none. fits is false where there is no room for it, and then there is none for
// any other.
func (c *compiler) compile(item string) (pattern *regexp.Regexp, fits bool) {
	if c.spent += perPattern; c.spent > allPatterns {
		return nil, false
	}
	parsed, err := parsePattern(item)
	if err != nil {
		return nil, true
	}
	if c.spent += sizeOf(parsed); c.spent > allPatterns {
		return nil, false
	}
	pattern, _ = compile(item)
	return pattern, true
}

// isName reports whether an item can be the name of an object (RFC 1123), as validation.IsDNS1123Subdomain has it, which makes a
// sentence for each that cannot.
func isName(item string) bool {
	if item == "" || len(item) > validation.DNS1123SubdomainMaxLength {
		return false
	}
	border := func(c byte) bool { return c == '-' || c == '.' }
	for i := range len(item) {
		switch c := item[i]; {
		case strings.IndexByte(lettersOfNames, c) < 0:
			return false
		case !border(c):
		case i == 0, i == len(item)-1, item[i] == '.' && border(item[i-1]), item[i] == '-' && item[i-1] == '.':
			return false
		}
	}
	return true
}

// parsePattern parses an item that stands alone, of a size that is allowed. One that ends the group in which [compile] puts it, such as
// "a)|(b", is no regular expression.
func parsePattern(item string) (*syntax.Regexp, error) {
	if len(item) > longestPattern {
		return nil, fmt.Errorf("it has %d bytes, and patterns have at most %d", len(item), longestPattern)
	}
	parsed, err := syntax.Parse(item, syntax.Perl)
	if err == nil && sizeOf(parsed) > largestPattern {
		return nil, errors.New("it repeats more than patterns may")
	}
	return parsed, err
}

// sizeOf is about how many instructions a regular expression is compiled to: a{1000} is a thousand times a.
func sizeOf(re *syntax.Regexp) int {
	size := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		size = min(size+sizeOf(sub), 2*largestPattern)
	}
	if re.Op == syntax.OpRepeat {
		size = min(size*max(1, re.Min, re.Max), 2*largestPattern)
	}
	return size
}

// compile makes an item a pattern for a whole name. Reloader writes ^item$, so that "a|b" means "begins with a or ends with b"; the
// group makes it mean what it says.
func compile(item string) (*regexp.Regexp, error) {
	if _, err := parsePattern(item); err != nil {
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
