package config

import (
	"fmt"
	"log/slog"
	"strings"
)

// intro is the top of the help text.
const intro = `inpod controller: makes running workloads use the current content of their ConfigMaps and Secrets.

It watches Deployments, StatefulSets and DaemonSets and the sources they use, and does a rolling upgrade of an
annotated workload when the content that it uses has changed.

Usage:
  controller [flags]

Every setting can be given as a flag, as the environment variable in brackets, or as a key of the --config file with
the name of the flag. A flag goes before a variable, a variable before the file.
`

// Help is the text of --help.
func Help() string {
	config := Default()
	table := settings(&config)
	var page strings.Builder
	page.WriteString(intro)
	for _, heading := range []section{reloaderSettings, ownSettings} {
		fmt.Fprintf(&page, "\n%s:\n", heading)
		for _, s := range table {
			if s.section == heading {
				page.WriteString(describe(s))
			}
		}
	}
	fmt.Fprintf(&page, "\n%s:\n", otherSettings)
	fmt.Fprintf(&page, "  --config FILE  [%s]\n%s", variableOf("config"), paragraph("read settings from this file; its name ends with "+fileKinds))
	fmt.Fprintf(&page, "  --version\n%s", paragraph("print the version and stop"))
	fmt.Fprintf(&page, "  --help, -h\n%s", paragraph("print this text and stop"))
	page.WriteString("\nExit codes: 0 stopped as asked, 1 could not do its work, 2 wrong usage.\n")
	return page.String()
}

func describe(s setting) string {
	head := "  --" + s.name
	if placeholder := s.value.Type(); placeholder != "" {
		head += " " + placeholder
	}
	usage := s.usage
	if initial := s.value.String(); initial != "" && initial != "false" {
		usage += " (default " + initial + ")"
	}
	return fmt.Sprintf("%s  [%s]\n%s", head, s.variable(), paragraph(usage))
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

// Effective returns the settings that differ from the default, for one line of the log at the start. There is nothing
// secret among them.
func Effective(c Config) []slog.Attr {
	initial := Default()
	defaults := settings(&initial)
	var attrs []slog.Attr
	if c.File != "" {
		attrs = append(attrs, slog.String("config", c.File))
	}
	for i, s := range settings(&c) {
		if text := s.value.String(); text != defaults[i].value.String() {
			attrs = append(attrs, slog.String(camel(s.name), text))
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
