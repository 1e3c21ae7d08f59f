package annotation

import (
	"fmt"
	"regexp/syntax"
	"strings"

	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/truncate"
)

// itemFault says why an item of a list can match no object, or hardly the ones that its author has in mind, and what to write
// instead; "" if it can.
func itemFault(kind source.Kind, item string) string {
	if isName(item) {
		return ""
	}
	said := shortened(item)
	switch meant := strings.Trim(item, "\"'`"); {
	case isListInJSON(item):
		return fmt.Sprintf("%s is read as one pattern; write %s", said, shortened(strings.Join(namesIn(item), ",")))
	case meant != item:
		return instead(said+" is in quotes, and no name has them", meant)
	case strings.ContainsAny(item, " \t\r\n;"):
		return instead(said+" is read as one name, since names are separated by commas", strings.Join(namesIn(item), ","))
	case strings.Contains(item, "/") && kind.ClusterScoped():
		return instead(fmt.Sprintf("%s matches no %s: names of objects have colons in place of slashes", said, kind), strings.ReplaceAll(item, "/", ":"))
	case strings.Contains(item, "/"):
		return instead(fmt.Sprintf("%s matches no %s: a workload follows those of its own namespace, by their names alone", said, kind), item[strings.LastIndex(item, "/")+1:])
	}
	if pattern := fromGlob(item); pattern != item {
		return instead(said+" is read as a regular expression, in which * repeats what is before it", pattern)
	}
	if _, err := compile(item); err != nil {
		return fmt.Sprintf("%s is not a regular expression: %s; write names or patterns, separated by commas", said, regexpFault(err))
	}
	if canMatch(item, lettersOf(kind)) {
		return ""
	}
	return instead(fmt.Sprintf("%s can be the name of no %s, and as a regular expression it matches none", said, kind), strings.ToLower(item))
}

// instead adds what to write, where that is possible.
func instead(fault, meant string) string {
	for _, item := range splitList(meant) {
		if fromGlob(item) != item || !isName(item) && (!isPattern(item) || !canMatch(item, lettersOfNames)) {
			return fault + "; write names or patterns, separated by commas"
		}
	}
	return fault + "; write " + shortened(meant)
}

func isPattern(item string) bool {
	_, err := compile(item)
	return err == nil
}

// shortened quotes a value of a user, and cuts what is too long for a message.
func shortened(text string) string {
	const enough = 100
	return quoted(truncate.Text(text, enough))
}

// isListInJSON reports whether a text is a list as JSON or YAML has it. As a regular expression it is a class of
// letters.
func isListInJSON(item string) bool {
	return strings.HasPrefix(item, "[") && strings.HasSuffix(item, "]") && strings.ContainsAny(item, "\"' ")
}

// namesIn returns what is between separators of any kind.
func namesIn(text string) []string {
	fields := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n;,[]\"'", r) })
	var names []string
	for _, field := range fields {
		if field != "-" { // of a list in YAML
			names = append(names, field)
		}
	}
	return names
}

// fromGlob returns the pattern that was meant by an item in which * stands for any text, and the item itself where it is not
// such a one: who writes anything else that only patterns have knows what * means in them.
func fromGlob(item string) string {
	if strings.Contains(item, ".*") || strings.ContainsFunc(item, func(r rune) bool { return !strings.ContainsRune(lettersOfNames+"*", r) }) {
		return item
	}
	return strings.ReplaceAll(item, "*", ".*")
}

// canMatch reports whether a pattern matches any text of some letters, those that names are made of. It takes time in proportion to the
// pattern: states are visited once. What a pattern says of ends and borders is taken to hold.
func canMatch(item, letters string) bool {
	parsed, err := parsePattern(item)
	if err != nil {
		return false
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return false
	}
	seen := make([]bool, len(program.Inst))
	next := []uint32{uint32(program.Start)} //nolint:gosec // a position in the program
	visit := func(at uint32) {
		if !seen[at] {
			seen[at] = true
			next = append(next, at)
		}
	}
	for len(next) > 0 {
		at := next[len(next)-1]
		next = next[:len(next)-1]
		switch inst := &program.Inst[at]; inst.Op {
		case syntax.InstMatch:
			return true
		case syntax.InstFail:
		case syntax.InstAlt, syntax.InstAltMatch:
			visit(inst.Out)
			visit(inst.Arg)
		case syntax.InstCapture, syntax.InstEmptyWidth, syntax.InstNop:
			visit(inst.Out)
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if strings.ContainsFunc(letters, inst.MatchRune) {
				visit(inst.Out)
			}
		}
	}
	return false
}

// lettersOf are those of the names of a kind. A ClusterTrustBundle that belongs to a signer begins with its name, in which a
// colon stands for the slash.
func lettersOf(kind source.Kind) string {
	if kind.ClusterScoped() {
		return lettersOfNames + ":"
	}
	return lettersOfNames
}

// lettersOfNames are those of the names of objects (RFC 1123).
const lettersOfNames = "abcdefghijklmnopqrstuvwxyz0123456789-."
