// Package settings decides what a program was asked to do, as far as that is the same for every program: it reads a
// table of settings from flags, environment and a configuration file, or returns an error that says what to write
// instead.
//
//	flag  >  environment  >  --config file  >  default
//
// A row of the table is a flag, its environment variable and its key in the file, bound to a field of the program's own
// Config. Nothing is read from the process: arguments and environment come in as values. What the settings mean, and
// whether they fit together, is decided in the config package of each program.
package settings

import (
	"slices"
	"strings"

	"inpod.dev/inpod/internal/version"
)

// environmentPrefix is what the environment variables of all settings begin with.
const environmentPrefix = "INPOD_"

// Section is a heading of the help text.
type Section string

// Setting returns a row of the table under this heading.
func (s Section) Setting(name string, value Value, usage string) Setting {
	return Setting{Name: name, Section: s, Value: value, Usage: usage}
}

// Setting is one row of the table: a flag, an environment variable and a key in the file.
type Setting struct {
	Name    string
	Section Section
	Value   Value
	Usage   string
	// Alias is a variable of another tool that is read too, where ours is not set; "" for none.
	Alias string
	// Secret reports whether the value is not to be shown.
	Secret bool
}

// Known returns the setting with a variable of another tool that is read too.
func (s Setting) Known(as string) Setting {
	s.Alias = as
	return s
}

// Hidden returns the setting with its value never shown.
func (s Setting) Hidden() Setting {
	s.Secret = true
	return s
}

// Variable is the environment variable of the setting.
func (s Setting) Variable() string { return variableOf(s.Name) }

func variableOf(name string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// Program is a program that has settings. The name of the configuration file is not in the table: a file cannot name
// itself.
type Program struct {
	Name  string        // as in "inpod NAME"
	Intro string        // the top of the help text
	Build version.Build // what --version answers
	Table []Setting     // in the order of the help text
	// IgnoreEnvironment is the field of a boolean setting that a flag sets where the environment is not the program's own; nil
	// for none.
	IgnoreEnvironment *bool
}

// sections are the headings in the order in which the table first has them.
func (p Program) sections() []Section {
	var headings []Section
	for _, s := range p.Table {
		if !slices.Contains(headings, s.Section) {
			headings = append(headings, s.Section)
		}
	}
	return headings
}

// Lookup returns the value of a variable that is not one of our settings, such as POD_NAME, without blanks around it;
// "" when it is not set.
func Lookup(environ []string, name string) string {
	for _, variable := range environ {
		if found, text, _ := strings.Cut(variable, "="); found == name {
			return strings.TrimSpace(text)
		}
	}
	return ""
}
