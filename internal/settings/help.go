package settings

import (
	"fmt"
	"log/slog"
	"strings"
)

// usage follows the intro in the help text.
const usage = `
Usage:
  %s [flags]

Every setting can be given as a flag, as the environment variable in brackets, or as a key of the --config file with
the name of the flag. A flag overrides a variable, and a variable overrides the file.
`

// Help is the text of --help. The table has to be bound to the defaults.
func (p Program) Help() string {
	var page strings.Builder
	page.WriteString(p.Intro)
	fmt.Fprintf(&page, usage, p.Name)
	for _, heading := range p.sections() {
		fmt.Fprintf(&page, "\n%s:\n", heading)
		for _, s := range p.Table {
			if s.Section == heading {
				page.WriteString(describe(s))
			}
		}
	}
	fmt.Fprintf(&page, "\nOther:\n")
	fmt.Fprintf(&page, "  --config FILE  [%s]\n%s", variableOf("config"), paragraph("read settings from this file; its name ends with "+fileKinds))
	fmt.Fprintf(&page, "  --version\n%s", paragraph("print the version and exit"))
	fmt.Fprintf(&page, "  --help, -h\n%s", paragraph("print this text and exit"))
	page.WriteString("\nExit codes: 0 stopped on request, 1 failed, 2 wrong usage.\n")
	return page.String()
}

func describe(s Setting) string {
	head := "  --" + s.Name
	if placeholder := s.Value.Type(); placeholder != "" {
		head += " " + placeholder
	}
	about := s.Usage
	if initial := s.Value.String(); initial != "" && initial != "false" {
		about += " (default " + initial + ")"
	}
	return fmt.Sprintf("%s  [%s]\n%s", head, s.Variable(), paragraph(about))
}

// paragraph indents text and breaks it into lines that fit a terminal of 100 columns.
func paragraph(text string) string {
	const (
		indent = "        "
		width  = 100
	)
	var page strings.Builder
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > width {
			page.WriteString(strings.TrimRight(line, " ") + "\n")
			line = indent
		}
		line += word + " "
	}
	page.WriteString(strings.TrimRight(line, " ") + "\n")
	return page.String()
}

// Effective returns the settings of a table that differ from those of another one, which is bound to the defaults, for
// one line of the log at the start.
func Effective(table, defaults []Setting) []slog.Attr {
	var attrs []slog.Attr
	for i, s := range table {
		if text := s.Value.String(); text != defaults[i].Value.String() {
			if s.Secret {
				text = "(not shown)"
			}
			attrs = append(attrs, slog.String(camel(s.Name), text))
		}
	}
	return attrs
}

// camel writes the name of a flag as a key of the log.
func camel(name string) string {
	words := strings.Split(name, "-")
	for i, word := range words[1:] {
		words[i+1] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, "")
}
