package config

import (
	"log/slog"
	"strings"

	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/version"
)

// intro is the top of the help text.
const intro = `inpod controller: makes running workloads use the current content of their ConfigMaps and Secrets.

It watches Deployments, StatefulSets, DaemonSets, CronJobs, Jobs and the kinds in its settings, with the sources they
use. When content that an annotated workload uses has changed, it has the pods reload it, or rolls the workload.
`

// Load reads the command line (without the name of the program) and the environment ("NAME=value", as from
// os.Environ), and the configuration file that they name. The error is a [*settings.InfoError] when --help or
// --version was asked for, and a [*settings.UsageError] otherwise. The build is what --version answers.
func Load(args, environ []string, build version.Build) (Config, error) {
	config := Default()
	loaded, err := program(&config, build).Load(joinBooleans(args), environ)
	if err != nil {
		return Config{}, err
	}
	config.File = loaded.File
	readPod(&config, environ, loaded)
	if err := validate(&config, loaded.Origin); err != nil {
		return Config{}, err
	}
	return config, nil
}

// Help is the text of --help.
func Help() string {
	config := Default()
	return program(&config, version.Build{}).Help()
}

func program(config *Config, build version.Build) settings.Program {
	return settings.Program{Name: "controller", Intro: intro, Build: build, Table: table(config)}
}

// joinBooleans writes "--reload-on-create true" as "--reload-on-create=true". In Reloader these two flags are strings,
// so the form with a blank works there and is found in manifests. The same holds for "--is-Argo-Rollouts", whose capitals
// are written small.
func joinBooleans(args []string) []string {
	joined := make([]string, 0, len(args))
	for _, arg := range args {
		if rest, is := strings.CutPrefix(arg, "--is-Argo-Rollouts"); is && (rest == "" || rest[0] == '=') {
			arg = "--is-argo-rollouts" + rest
		}
		last := len(joined) - 1
		if last >= 0 && (joined[last] == "--reload-on-create" || joined[last] == "--reload-on-delete" || joined[last] == "--is-argo-rollouts") &&
			(arg == "true" || arg == "false") {
			joined[last] += "=" + arg
			continue
		}
		joined = append(joined, arg)
	}
	return joined
}

// readPod reads the variables that are Reloader's or Kubernetes' and not ours.
func readPod(config *Config, environ []string, loaded *settings.Loaded) {
	config.Pod.Name = settings.Lookup(environ, "POD_NAME")
	config.Pod.Namespace = settings.Lookup(environ, "POD_NAMESPACE")
	if settings.Lookup(environ, "METRICS_COUNT_BY_NAMESPACE") == "enabled" {
		config.MetricsByNamespace = true
	}
	config.Pod.ReloaderNamespace = settings.Lookup(environ, "RELOADER_NAMESPACE")
	config.Pod.ReloaderDeployment = settings.Lookup(environ, "RELOADER_DEPLOYMENT_NAME")
	config.MetaInfo = config.MetaInfo || config.Pod.ReloaderNamespace != ""
	const single = "KUBERNETES_NAMESPACE"
	if namespace := settings.Lookup(environ, single); namespace != "" && len(config.Namespaces) == 0 {
		config.Namespaces = []string{namespace}
		loaded.Note("namespaces", "environment variable "+single)
	}
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
