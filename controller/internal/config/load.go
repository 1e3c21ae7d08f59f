package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"inpod.dev/inpod/internal/telemetry"
)

// Load reads the command line (without the name of the program) and the environment ("NAME=value", as from
// os.Environ), and the configuration file that they name. The error is an [*InfoError] when --help or --version was
// asked for, and a [*UsageError] otherwise. The build is what --version answers.
func Load(args, environ []string, build telemetry.Build) (Config, error) {
	config := Default()
	l := &loader{config: &config, environ: environ, build: build, table: settings(&config), origins: map[string]string{}}
	if err := l.load(args); err != nil {
		return Config{}, err
	}
	if problems := validate(&config, l.origin); len(problems) > 0 {
		return Config{}, &UsageError{Problems: problems}
	}
	return config, nil
}

// isServiceVariable tells what Kubernetes puts into every pod for each Service of its namespace. When a Service is called
// inpod or inpod-…, these variables begin with our prefix.
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
func isServiceVariable(name string) bool {
	return regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`).MatchString(name)
}

type loader struct {
	config   *Config
	environ  []string
	build    telemetry.Build
	table    []setting
	origins  map[string]string // name of a setting → where its value came from; absent: the default
	problems []error
}

func (l *loader) load(args []string) error {
	if err := l.readFlags(args); err != nil {
		return err
	}
	l.readEnvironmentAndFile()
	l.readPod()
	if len(l.problems) > 0 {
		return &UsageError{Problems: l.problems}
	}
	return nil
}

// origin says where the value of a setting came from.
func (l *loader) origin(name string) string {
	if origin, ok := l.origins[name]; ok {
		return origin
	}
	return "default of --" + name
}

// set gives a setting its value, or notes why that cannot be.
func (l *loader) set(s setting, origin, text string) {
	l.origins[s.name] = origin
	if err := s.value.Set(text); err != nil {
		l.problems = append(l.problems, fmt.Errorf("%s: %w", origin, err))
	}
}

// flagValue is a setting as pflag sees it. It never fails, so that a bad value does not hide the ones after it.
type flagValue struct {
	value
	set func(text string)
}

// Set implements [pflag.Value].
func (f flagValue) Set(text string) error { f.set(text); return nil }

func (l *loader) readFlags(args []string) error {
	flags := pflag.NewFlagSet("controller", pflag.ContinueOnError)
	for _, s := range l.table {
		flag := flags.VarPF(flagValue{s.value, func(text string) { l.set(s, "flag --"+s.name, text) }}, s.name, "", s.usage)
		if s.value.isBool() {
			flag.NoOptDefVal = "true"
		}
	}
	flags.StringVar(&l.config.File, "config", "", "")
	help := flags.BoolP("help", "h", false, "")
	version := flags.Bool("version", false, "")

	err := flags.Parse(l.joinBooleans(args))
	switch {
	case *help:
		return &InfoError{Text: Help()}
	case *version:
		return &InfoError{Text: "inpod controller " + l.build.String() + "\n"}
	case err != nil:
		return &UsageError{Problems: append(l.problems, l.explain(err))}
	case flags.NArg() > 0:
		problem := fmt.Errorf("unexpected argument %q: there are only flags, and the value of a boolean one follows an equals sign, as in --enable-ha=false", flags.Arg(0))
		return &UsageError{Problems: append(l.problems, problem)}
	}
	return nil
}

// joinBooleans writes "--reload-on-create true" as "--reload-on-create=true". In Reloader these two flags are strings,
// so the form with a blank works there and is found in manifests.
func (l *loader) joinBooleans(args []string) []string {
	joined := make([]string, 0, len(args))
	for _, arg := range args {
		last := len(joined) - 1
		if last >= 0 && (joined[last] == "--reload-on-create" || joined[last] == "--reload-on-delete") &&
			(arg == "true" || arg == "false") {
			joined[last] += "=" + arg
			continue
		}
		joined = append(joined, arg)
	}
	return joined
}

// explain turns an error of pflag into what the user should do.
func (l *loader) explain(err error) error {
	if missing, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if shorthand := missing.GetSpecifiedShortnames(); shorthand != "" {
			return fmt.Errorf("flag -%s is unknown: flags begin with two dashes", shorthand)
		}
		name := missing.GetSpecifiedName()
		return unknown("flag --"+name, name, l.table, func(name string) string { return "--" + name })
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("flag --%s needs a value", missing.GetFlag().Name)
	}
	return err
}

// readEnvironmentAndFile fills what no flag has set.
func (l *loader) readEnvironmentAndFile() {
	environment := l.readEnvironment()
	var file layer
	if l.config.File != "" {
		var problems []error
		file, problems = readFile(l.config.File, l.table)
		l.problems = append(l.problems, problems...)
	}
	for _, s := range l.table {
		if _, fromFlag := l.origins[s.name]; fromFlag {
			continue
		}
		for _, from := range []layer{environment, file} {
			if given, ok := from[s.name]; ok {
				l.set(s, given.origin, given.text)
				break
			}
		}
	}
}

// layer is what one place says, by the name of the setting.
type layer map[string]given

type given struct {
	text   string
	origin string
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
		switch i := slices.IndexFunc(l.table, func(s setting) bool { return s.variable() == name }); {
		case text == "" && i >= 0:
		case i >= 0:
			found[l.table[i].name] = given{text, origin}
		case name == variableOf("config"):
			if l.config.File == "" {
				l.config.File = text
			}
		case isServiceVariable(name):
		default:
			setting := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, environmentPrefix), "_", "-"))
			l.problems = append(l.problems, unknown(origin, setting, l.table, variableOf))
		}
	}
	return found
}

// readPod reads the variables that are Reloader's or Kubernetes' and not ours.
func (l *loader) readPod() {
	for _, variable := range l.environ {
		name, text, _ := strings.Cut(variable, "=")
		text = strings.TrimSpace(text)
		switch name {
		case "POD_NAME":
			l.config.Pod.Name = text
		case "POD_NAMESPACE":
			l.config.Pod.Namespace = text
		case "KUBERNETES_NAMESPACE":
			if len(l.config.Namespaces) == 0 && text != "" {
				l.config.Namespaces = []string{text}
				l.origins["namespaces"] = "environment variable " + name
			}
		}
	}
}
