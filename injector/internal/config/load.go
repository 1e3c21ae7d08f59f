package config

import (
	"log/slog"

	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/version"
)

// intro is the top of the help text.
const intro = `inpod injector: adds the inpod sidecar to pods that ask for it.

It answers the API server when pods are created. A pod that asks by the annotation inpod.dev/inject, or whose namespace
asks by the label of that name, gets a sidecar that makes the application reload when its mounted files change.
`

// Load reads the command line (without the name of the program) and the environment ("NAME=value", as from
// os.Environ), and the configuration file that they name. The error is a [*settings.InfoError] when --help or
// --version was asked for, and a [*settings.UsageError] otherwise. The build is what --version answers.
func Load(args, environ []string, build version.Build) (Config, error) {
	config := Default()
	loaded, err := program(&config, build).Load(args, environ)
	if err != nil {
		return Config{}, err
	}
	config.File = loaded.File
	config.Pod = Pod{Name: settings.Lookup(environ, "POD_NAME"), Namespace: settings.Lookup(environ, "POD_NAMESPACE")}
	if err := validate(&config, loaded.Origin); err != nil {
		return Config{}, err
	}
	return config, nil
}

func program(config *Config, build version.Build) settings.Program {
	return settings.Program{Name: "injector", Intro: intro, Build: build, Table: table(config)}
}

// Effective returns the settings that differ from the default, for one line of the log at the start. There is nothing
// secret among them.
func Effective(c Config) []slog.Attr {
	initial := Default()
	var attrs []slog.Attr
	if c.File != "" {
		attrs = append(attrs, slog.String("config", c.File))
	}
	return append(attrs, settings.Effective(table(&c), table(&initial))...)
}
