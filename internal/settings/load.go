package settings

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/pflag"
)

// Loaded is what is known about where the values came from.
type Loaded struct {
	// File is the configuration file that was read, "" for none.
	File string

	origins map[string]string // name of a setting → where its value came from; absent: the default
}

// Origin says where the value of a setting came from.
func (l *Loaded) Origin(name string) string {
	if origin, ok := l.origins[name]; ok {
		return origin
	}
	return "default of --" + name
}

// Note records where a value came from that the program itself has filled in.
func (l *Loaded) Note(name, origin string) { l.origins[name] = origin }

// Load reads the command line (without the name of the program) and the environment ("NAME=value", as from
// os.Environ), and the configuration file that they name, into the fields that the table is bound to. The error is an
// [*InfoError] when --help or --version was asked for, and a [*UsageError] otherwise.
func (p Program) Load(args, environ []string) (*Loaded, error) {
	l := &loader{program: p, table: p.Table, environ: environ, loaded: &Loaded{origins: map[string]string{}}}
	if err := l.readFlags(args); err != nil {
		return nil, err
	}
	l.readEnvironmentAndFile()
	if len(l.problems) > 0 {
		return nil, &UsageError{Problems: l.problems}
	}
	return l.loaded, nil
}

// isServiceVariable reports whether Kubernetes puts a variable into every pod for each Service of its namespace. When a Service is called
// inpod or inpod-…, these variables begin with our prefix.
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
func isServiceVariable(name string) bool { return serviceVariable().MatchString(name) }

// serviceVariable is compiled at the first use: the sidecar hardly ever needs it, and has to stay small.
var serviceVariable = sync.OnceValue(func() *regexp.Regexp { //nolint:gochecknoglobals // a constant
	return regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)
})

type loader struct {
	program  Program
	table    []Setting
	environ  []string
	loaded   *Loaded
	problems []error
}

// set gives a setting its value, or notes why that cannot be.
func (l *loader) set(s Setting, origin, text string) {
	l.note(s, origin, s.Value.Set(text))
}

// note records where a setting came from, and what is wrong with it. The value of a secret is not repeated.
func (l *loader) note(s Setting, origin string, err error) {
	l.loaded.origins[s.Name] = origin
	if invalid, ok := errors.AsType[*invalidError](err); ok && s.Secret {
		err = errors.New("is not " + invalid.want)
	}
	if err != nil {
		l.problems = append(l.problems, fmt.Errorf("%s: %w", origin, err))
	}
}

// flagValue is a setting as pflag sees it. It never fails, so that a bad value does not hide the ones after it.
type flagValue struct {
	Value
	set func(text string)
}

// Set implements [pflag.Value].
func (f flagValue) Set(text string) error { f.set(text); return nil }

func (l *loader) readFlags(args []string) error {
	flags := pflag.NewFlagSet(l.program.Name, pflag.ContinueOnError)
	for _, s := range l.table {
		flag := flags.VarPF(flagValue{s.Value, func(text string) { l.set(s, "flag --"+s.Name, text) }}, s.Name, "", s.Usage)
		if isBool(s.Value) {
			flag.NoOptDefVal = "true"
		}
	}
	flags.StringVar(&l.loaded.File, "config", "", "")
	help := flags.BoolP("help", "h", false, "")
	version := flags.Bool("version", false, "")

	err := flags.Parse(args)
	switch {
	case *help:
		return &InfoError{Text: l.program.Help()}
	case *version:
		return &InfoError{Text: "inpod " + l.program.Name + " " + l.program.Build.String() + "\n"}
	case err != nil:
		return &UsageError{Problems: append(l.problems, l.explain(err))}
	case flags.NArg() > 0:
		return &UsageError{Problems: append(l.problems, l.unexpected(flags.Arg(0)))}
	}
	return nil
}

// unexpected is the problem of an argument that is no flag.
func (l *loader) unexpected(argument string) error {
	isBool := func(s Setting) bool { return isBool(s.Value) }
	if i := slices.IndexFunc(l.table, isBool); i >= 0 {
		return fmt.Errorf("unexpected argument %q: there are only flags, and the value of a boolean one follows an equals sign, as in --%s=false",
			argument, l.table[i].Name)
	}
	return fmt.Errorf("unexpected argument %q: there are only flags", argument)
}

// explain turns an error of pflag into what the user should do.
func (l *loader) explain(err error) error {
	if missing, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if shorthand := missing.GetSpecifiedShortnames(); shorthand != "" {
			return fmt.Errorf("flag -%s is unknown: flags begin with two dashes", shorthand)
		}
		name := missing.GetSpecifiedName()
		return l.program.unknown("flag --"+name, name, func(name string) string { return "--" + name })
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("flag --%s needs a value", missing.GetFlag().Name)
	}
	return err
}

// readEnvironmentAndFile fills what no flag has set.
func (l *loader) readEnvironmentAndFile() {
	if l.program.IgnoreEnvironment != nil && *l.program.IgnoreEnvironment {
		l.environ = nil
	}
	environment := l.readEnvironment()
	var file layer
	if l.loaded.File != "" {
		var problems []error
		file, problems = l.program.readFile(l.loaded.File)
		l.problems = append(l.problems, problems...)
	}
	for _, s := range l.table {
		if _, fromFlag := l.loaded.origins[s.Name]; fromFlag {
			continue
		}
		for _, from := range []layer{environment, file} {
			if given, ok := from[s.Name]; ok {
				l.note(s, given.origin, given.into(s.Value))
				break
			}
		}
	}
}

// layer is what one place says, by the name of the setting.
type layer map[string]given

type given struct {
	text    string
	entries []string // those of a list in the file; nil for one text
	origin  string
}

// into sets a value.
func (g given) into(v Value) error {
	if list, ok := v.(List); ok && g.entries != nil {
		return list.SetList(g.entries)
	}
	if one, ok := v.(inOneText); ok {
		one.setOne(g.text)
		return nil
	}
	return v.Set(g.text)
}

// readEnvironment collects the variables with our prefix. An empty variable counts as not set, because that is what a
// manifest template with an empty value produces.
func (l *loader) readEnvironment() layer {
	found := layer{}
	for _, variable := range slices.Sorted(slices.Values(l.environ)) {
		name, text, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, environmentPrefix) {
			continue
		}
		origin := "environment variable " + name
		switch i := slices.IndexFunc(l.table, func(s Setting) bool { return s.Variable() == name }); {
		case text == "" && i >= 0:
		case i >= 0:
			found[l.table[i].Name] = given{text: text, origin: origin}
		case name == variableOf("config"):
			if l.loaded.File == "" {
				l.loaded.File = text
			}
		case isServiceVariable(name):
		default:
			setting := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, environmentPrefix), "_", "-"))
			l.problems = append(l.problems, l.program.unknown(origin, setting, variableOf))
		}
	}
	for _, s := range l.table {
		_, ours := found[s.Name]
		if text := Lookup(l.environ, s.Alias); s.Alias != "" && !ours && text != "" {
			found[s.Name] = given{text: text, origin: "environment variable " + s.Alias}
		}
	}
	return found
}
