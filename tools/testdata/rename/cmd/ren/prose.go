package main

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

// A table of prose has blocks: a line "@ GLOB,GLOB…" begins those for some files; then pairs
//
//	- old text, in one line
//	+ new text
//
// A line "~ REGEXP" in place of "-" takes a regular expression ("+ $1" refers to groups). "-" without "+" is an error.
type sub struct {
	at    string
	globs []string
	old   string
	re    *regexp.Regexp
	new   string
	used  int
}

func readProse(pattern string) ([]*sub, error) {
	files, _ := filepath.Glob(pattern)
	sort.Strings(files)
	var subs []*sub
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		globs := []string{"**"}
		var open *sub
		for i, line := range strings.Split(string(data), "\n") {
			at := fmt.Sprintf("%s:%d", filepath.Base(file), i+1)
			switch {
			case strings.HasPrefix(line, "@ "):
				globs = strings.Split(strings.TrimSpace(line[2:]), ",")
			case strings.HasPrefix(line, "- "), strings.HasPrefix(line, "~ "):
				if open != nil {
					return nil, fmt.Errorf("%s: the line before has no +", at)
				}
				open = &sub{at: at, globs: globs, old: line[2:]}
				if line[0] == '~' {
					if open.re, err = regexp.Compile(line[2:]); err != nil {
						return nil, fmt.Errorf("%s: %w", at, err)
					}
				}
			case strings.HasPrefix(line, "+ "), line == "+":
				if open == nil {
					return nil, fmt.Errorf("%s: + without -", at)
				}
				open.new = strings.TrimPrefix(strings.TrimPrefix(line, "+"), " ")
				if open.re != nil {
					open.new = strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(open.new)
				}
				subs = append(subs, open)
				open = nil
			}
		}
		if open != nil {
			return nil, fmt.Errorf("%s: - without +", open.at)
		}
	}
	return subs, nil
}

// globMatches knows ** (anything), a leading ! and plain path globs; a glob without / is for the base name.
func globMatches(globs []string, rel string) bool {
	ok := false
	for _, g := range globs {
		neg := strings.HasPrefix(g, "!")
		g = strings.TrimPrefix(g, "!")
		if globMatch(g, rel) {
			ok = !neg
		}
	}
	return ok
}

var globCache = map[string]*regexp.Regexp{}

func globMatch(g, rel string) bool {
	re := globCache[g]
	if re == nil {
		q := regexp.QuoteMeta(g)
		q = strings.ReplaceAll(q, `\*\*`, `.*`)
		q = strings.ReplaceAll(q, `\*`, `[^/]*`)
		re = regexp.MustCompile("^" + q + "$")
		globCache[g] = re
	}
	if !strings.Contains(g, "/") && re.MatchString(path.Base(rel)) {
		return true
	}
	return re.MatchString(rel)
}

func skipped(rel string) bool {
	return strings.HasSuffix(rel, "go.sum") || strings.Contains(rel, "/vocabulary")
}

// stems are in every old text of a table of prose; a paragraph without one is left alone.
var stems = regexp.MustCompile(`(?i)pictur|world|look|turn|lend|lent|borrow|make|made|seal|mark|stand|adopt|campaign|town|tell|told|put|anew|heed|which|none|hurry|pursue`)

func substitute(subs []*sub, text string) string {
	if !stems.MatchString(text) {
		return text
	}
	for _, s := range subs {
		if s.re != nil {
			if s.re.MatchString(text) {
				s.used++
				text = s.re.ReplaceAllString(text, s.new)
			}
			continue
		}
		if strings.Contains(text, s.old) {
			s.used++
			text = strings.ReplaceAll(text, s.old, s.new)
		}
	}
	return text
}

// prose applies the tables to comments and pages, by paragraph, and to everything else by line.
func prose(tree, tables string) error {
	subs, err := readProse(filepath.Join(tables, "prose", "*.txt"))
	if err != nil {
		return err
	}
	err = eachFile(tree, func(rel string, data []byte) []byte {
		if skipped(rel) {
			return data
		}
		var mine []*sub
		for _, s := range subs {
			if globMatches(s.globs, rel) {
				mine = append(mine, s)
			}
		}
		if len(mine) == 0 {
			return data
		}
		return proseFile(rel, data, mine)
	})
	for _, s := range subs {
		if s.used == 0 {
			fmt.Printf("not there: %s: %s\n", s.at, s.old)
		}
	}
	return err
}

func proseFile(rel string, data []byte, subs []*sub) []byte {
	text := string(data)
	nl := strings.HasSuffix(text, "\n")
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var out []string
	prefixRe, width, sentences := regexp.MustCompile(`^(\s*)(//|#)( )`), 120, false
	markdown := strings.HasSuffix(rel, ".md")
	switch {
	case strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "go.mod"):
		prefixRe = regexp.MustCompile(`^(\s*)(//)( )`)
	case markdown:
		prefixRe, sentences = regexp.MustCompile(`^()()()`), true
	default:
		prefixRe = regexp.MustCompile(`^(\s*)(#)( )`)
	}
	fence := false
	for i := 0; i < len(lines); {
		line := lines[i]
		if markdown {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fence = !fence
				out = append(out, substitute(subs, line))
				i++
				continue
			}
			if fence || strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(strings.TrimSpace(line), "|") {
				out = append(out, substitute(subs, line))
				i++
				continue
			}
		}
		m := prefixRe.FindStringSubmatch(line)
		if m == nil {
			out = append(out, substitute(subs, line))
			i++
			continue
		}
		prefix := m[0]
		body := line[len(prefix):]
		if !paragraphText(body, markdown) {
			out = append(out, substitute(subs, line))
			i++
			continue
		}
		// A paragraph: the lines that go on with the same prefix.
		hang := ""
		if l := listRe.FindString(body); l != "" {
			hang = strings.Repeat(" ", len(l))
		}
		lead := ""
		if markdown && hang == "" {
			lead = leadRe.FindString(body)
			hang = lead
		}
		j := i + 1
		joined := body
		for ; j < len(lines); j++ {
			if !strings.HasPrefix(lines[j], prefix) {
				break
			}
			next := lines[j][len(prefix):]
			trimmed := strings.TrimLeft(next, " ")
			if trimmed == "" || strings.HasPrefix(next, "\t") || listRe.MatchString(next) || !markdown && hang == "" && next != trimmed {
				break
			}
			if markdown && (strings.HasPrefix(trimmed, "|") || strings.HasPrefix(trimmed, "```") || strings.HasPrefix(next, "#")) {
				break
			}
			if hang != "" && !markdown && next == trimmed {
				break
			}
			if markdown && strings.HasSuffix(lines[j-1], "  ") {
				break
			}
			joined += " " + trimmed
		}
		changed := substitute(subs, joined)
		if changed == joined {
			out = append(out, lines[i:j]...)
		} else {
			out = append(out, wrap(prefix, hang, changed, width, sentences)...)
		}
		i = j
	}
	result := strings.Join(out, "\n")
	if nl {
		result += "\n"
	}
	return []byte(result)
}

var (
	listRe = regexp.MustCompile(`^\s*([-*]|\d+\.)\s+`)
	leadRe = regexp.MustCompile(`^\s*`)
)

// paragraphText reports whether a comment line is running text rather than a drawing, a table or a directive.
func paragraphText(body string, markdown bool) bool {
	if strings.TrimSpace(body) == "" || strings.HasPrefix(body, "\t") {
		return false
	}
	if !markdown && strings.HasPrefix(body, "  ") {
		return false
	}
	return true
}

var sentenceEnd = regexp.MustCompile("([^.][.!?][)\"*`]?) ([A-Z`\"*\\[(])")

func wrap(prefix, hang, text string, width int, sentences bool) []string {
	if sentences {
		text = sentenceEnd.ReplaceAllString(text, "$1\n$2")
		var out []string
		for i, s := range strings.Split(text, "\n") {
			if i > 0 {
				s = hang + strings.TrimLeft(s, " ")
			}
			out = append(out, s)
		}
		return out
	}
	indent := utf8.RuneCountInString(strings.ReplaceAll(prefix, "\t", "    "))
	var out []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && indent+utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			out = append(out, prefix+line)
			line = hang + word
			continue
		}
		if line == "" {
			line = word
			if len(out) > 0 {
				line = hang + word
			}
			continue
		}
		line += " " + word
	}
	return append(out, prefix+line)
}

// text applies the tables of tables/text line by line, literally, to every file; "- OLD", "+ NEW", "~ REGEXP".
func text(tree, tables string) error {
	subs, err := readProse(filepath.Join(tables, "text", "*.txt"))
	if err != nil {
		return err
	}
	err = eachFile(tree, func(rel string, data []byte) []byte {
		if skipped(rel) {
			return data
		}
		for _, s := range subs {
			if !globMatches(s.globs, rel) {
				continue
			}
			if s.re != nil {
				if s.re.Match(data) {
					s.used++
					data = s.re.ReplaceAll(data, []byte(s.new))
				}
				continue
			}
			if bytes.Contains(data, []byte(s.old)) {
				s.used++
				data = bytes.ReplaceAll(data, []byte(s.old), []byte(s.new))
			}
		}
		return data
	})
	for _, s := range subs {
		if s.used == 0 {
			fmt.Printf("not there: %s: %s\n", s.at, s.old)
		}
	}
	return err
}
