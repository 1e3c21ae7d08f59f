// Package config turns flags, environment and a configuration file into the settings of the sidecar, or into an error that says
// what to write instead.
//
// Each setting is one row of the table in settings.go, which package settings reads.
package config

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"inpod.dev/inpod/internal/logging"
	"inpod.dev/inpod/internal/reloadspec"
	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/version"
	"inpod.dev/inpod/sidecar/internal/file"
)

// Config is what the user asked for, checked.
type Config struct {
	Watch []Watch

	Preset        string
	Signal        string
	Process       string
	Cmdline       *regexp.Regexp
	Container     string
	SignalHandled bool

	URL        string
	Method     string
	Status     string
	BodyFrom   string
	HeaderFrom []string
	CAFile     string
	SkipVerify bool
	Timeout    time.Duration
	Attempts   int

	Command, Validate             []string
	VerifyURL, ProbeURL           string
	VerifyTimeout, CommandTimeout time.Duration
	RequireProof                  bool

	Settle, Poll, Recheck time.Duration
	StateFile             string
	Listen                string
	// ControllerKey is the public key of the controller, nil for none.
	ControllerKey *sidecarapi.Key
	LogFormat     logging.Format
	LogLevel      slog.Level
	Once, DryRun  bool
	// Install is where to copy the program; then nothing else is set.
	Install string
}

// Load reads the command line and the environment, and the configuration file that they name. The error is a
// [*settings.InfoError] when --help or --version was asked for, and a [*settings.UsageError] otherwise.
func Load(args, environ []string, build version.Build) (Config, error) {
	t := newTexts()
	program := t.program(build)
	loaded, err := program.Load(args, environ)
	if err != nil {
		return Config{}, err
	}
	if t.Install != "" {
		if origin := loaded.Origin("install"); origin != "flag --install" { // it would be done at each start, and nothing else
			return Config{}, &settings.UsageError{Problems: []error{fmt.Errorf("%s: is taken as the flag --install alone", origin)}}
		}
		return t.Config, nil
	}
	r := reader{Check: settings.Check{Origin: loaded.Origin}, texts: t}
	r.read()
	if err := r.Err(); err != nil {
		return Config{}, err
	}
	if _, err := t.Plan(); err != nil {
		return Config{}, &settings.UsageError{Problems: []error{err}}
	}
	return t.Config, nil
}

// reader turns texts into settings. It collects what is wrong, so that the user sees all of it at once.
type reader struct {
	settings.Check
	*texts
}

func (r *reader) fail(name string, err error) { r.Wrong(name, "%v", err) }

func (r *reader) read() {
	for name, d := range r.durations() {
		if *d <= 0 {
			r.Wrong(name, "%s is not above zero; use such as 500ms or 3s", *d)
		}
	}
	if r.Attempts < 1 {
		r.Wrong("reload-attempts", "%d is not at least 1", r.Attempts)
	}
	if r.cmdline != "" {
		var err error
		if r.Cmdline, err = reloadspec.ParsePattern(r.cmdline); err != nil {
			r.fail("reload-cmdline", err)
		}
	}
	r.listen()
	r.checkControllerKey()
	if r.StateFile != "" && !filepath.IsAbs(r.StateFile) {
		r.Wrong("state-file", "%q is not absolute", r.StateFile)
	}
	r.regular()
	r.watches()
}

// regular refuses files that are not regular: reading a named pipe may never return.
func (r *reader) regular() {
	for key, path := range map[string]string{"state-file": r.StateFile, "reload-body-from": r.BodyFrom, "reload-ca-file": r.CAFile} {
		if err := file.Check(path); err != nil {
			r.fail(key, err)
		}
	}
	for _, pair := range r.HeaderFrom {
		_, path, _ := strings.Cut(pair, "=")
		if err := file.Check(path); err != nil {
			r.fail(flagHeaders, err)
		}
	}
}

// listen takes "off" for no address, and refuses what no server could listen on.
func (r *reader) listen() {
	if r.Listen == "off" || r.Listen == "" {
		r.Listen = ""
		return
	}
	if _, _, err := net.SplitHostPort(r.Listen); err != nil {
		r.fail("listen-address", fmt.Errorf("%w; use HOST:PORT, :PORT, or off for none", err))
	}
}

func (r *reader) checkControllerKey() {
	if r.controllerKey == "" {
		return
	}
	var err error
	if r.ControllerKey, err = sidecarapi.ParseKey(r.controllerKey); err != nil {
		r.fail(flagControllerKey, err)
	}
	switch {
	case r.Listen == "":
		r.Wrong(flagControllerKey, "has no effect with --listen-address=off: no controller can ask")
	case r.DryRun:
		r.Wrong(flagControllerKey, "excludes --dry-run: nothing is applied, so there is nothing to confirm")
	}
}

func (r *reader) watches() {
	if len(r.watch) == 0 {
		r.Wrong(flagWatch, "nothing to watch; give at least one directory or file")
	}
	for _, spec := range r.watch {
		w, err := ParseWatch(spec)
		if err != nil {
			r.fail(flagWatch, err)
			continue
		}
		if w.Path, err = filepath.Abs(w.Path); err != nil {
			r.fail(flagWatch, err)
		}
		if info, err := os.Stat(w.Path); err == nil && !info.IsDir() && len(w.Keys) > 0 {
			r.Wrong(flagWatch, "%s is a file, and only a directory has keys", w.Path)
		}
		r.Watch = append(r.Watch, w)
	}
	for _, file := range r.ignored {
		r.below(flagIgnore, file, func(w *Watch, below string) {
			if slices.Contains(w.Keys, below) {
				r.Wrong(flagIgnore, "%s is a key of --%s, and a file is either wanted or ignored", file, flagWatch)
			}
			w.Ignored = append(w.Ignored, below)
		})
	}
	for _, file := range r.anchors {
		r.below(flagAnchors, file, func(w *Watch, below string) { w.Anchors = append(w.Anchors, below) })
	}
}

// below notes a file that a flag names with each watched directory that it lies below. Most likely a typing error is what
// lies below none.
func (r *reader) below(flag, file string, note func(w *Watch, below string)) {
	at, err := filepath.Abs(file)
	if err != nil {
		r.fail(flag, err)
		return
	}
	found := false
	for i := range r.Watch {
		w := &r.Watch[i]
		below, err := filepath.Rel(w.Path, at)
		if err != nil || below == "." || !filepath.IsLocal(below) {
			continue
		}
		found = true
		note(w, below)
	}
	if !found {
		r.Wrong(flag, "%s is below no directory that --%s names", file, flagWatch)
	}
}
