// Package config turns flags, environment and a config file into the settings of the sidecar, or says what is wrong
// with them.
//
// A flag wins over an environment variable (INPOD_ and the flag's name in capitals, "_" for "-"), that over the config
// file, that over the default.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"inpod.dev/inpod/internal/confirm"
	"inpod.dev/inpod/sidecar/internal/file"
	"inpod.dev/inpod/sidecar/internal/redact"
)

// EnvPrefix begins the names of environment variables.
const EnvPrefix = "INPOD"

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
	// Confirm is the controller's key, nil for none.
	Confirm      *confirm.Key
	JSONLog      bool
	LogLevel     slog.Level
	Once, DryRun bool
	// Install is where to copy the program; then nothing else is set.
	Install string
}

// ErrHelp and ErrVersion ask for a text in place of a run.
var (
	ErrHelp    = errors.New("help asked for")
	ErrVersion = errors.New("version asked for")
)

// Flags of which the name is used more than once.
const (
	flagWatch   = "watch"
	flagIgnore  = "ignore"
	flagAnchors = "trust-bundle"
	flagPreset  = "preset"
	flagSignal  = "reload-signal"
	flagURL     = "reload-url"
	flagCommand = "reload-command"
	flagHeaders = "reload-header-from"
	flagConfig  = "config"
	flagConfirm = "confirm-key"
	listSep     = ";"
)

func flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("sidecar", pflag.ContinueOnError)
	f.SortFlags = false
	f.StringArray(flagWatch, nil, "directory or file to watch, with the wanted keys if not all: `PATH[:KEY,...]`; repeatable")
	f.StringArray(flagAnchors, nil, "file below a watched directory with trust anchors in no particular order, as the kubelet writes those of a ClusterTrustBundle: it counts by its set of certificates: `PATH`; repeatable")
	f.StringArray(flagIgnore, nil, "file or folder below a watched directory whose changes count for nothing: `PATH`; repeatable")
	f.String(flagPreset, "", "known server to reload: `NAME`, see docs/presets.md")
	f.String(flagSignal, "", "signal to send, such as HUP: `SIGNAL`")
	f.String("reload-process", "", "`NAME` of the executable to signal; the master among several")
	f.String("reload-cmdline", "", "`REGEXP` that the command line of the process must match")
	f.String("reload-container", "", "`NAME` of the container that the process must be in")
	f.Bool("signal-handled", false, "the program handles the signal, whatever the kernel's tables say (Go, Java, .NET, sigwait)")
	f.String(flagURL, "", "`URL` to call: http, https, or unix:/path/to.sock:/path/in/request")
	f.String("reload-method", "POST", "HTTP `METHOD` for the URL")
	f.String("reload-status", "200-299", "HTTP status codes that mean success: `LIST`, such as 200,204 or 200-299")
	f.String("reload-body-from", "", "`FILE` to send as the body")
	f.StringArray(flagHeaders, nil, "header whose value is the content of a file: `NAME=FILE`; repeatable")
	f.String("reload-ca-file", "", "`FILE` with the CA certificates of an https URL")
	f.Bool("reload-skip-verify", false, "do not verify the certificate of an https URL")
	f.Duration("reload-timeout", 30*time.Second, "`DURATION` of one attempt to connect, and after which an answer is late; nothing is sent again")
	f.Int("reload-attempts", 3, "`NUMBER` of attempts to reach the URL before the reload counts as failed")
	f.String(flagCommand, "", "command to run, as a JSON array: `'[\"prog\",\"arg\"]'`")
	f.String("validate-command", "", "command that must succeed before anything is sent, as a JSON array: `'[\"prog\",\"arg\"]'`")
	f.String("verify-url", "", "`URL` that must answer 2xx after a reload, which proves it")
	f.String("probe-url", "", "`URL` at which the preset's proof is found, if not the usual one")
	f.Duration("verify-timeout", 5*time.Second, "`DURATION` after which a proof is late; it is asked for again, and nothing is sent again")
	f.Bool("require-proof", false, "a reload that nothing proves counts as failed")
	f.Duration("command-timeout", 30*time.Second, "`DURATION` after which a command is ended, with all that it started")
	f.Duration("settle", 500*time.Millisecond, "quiet `DURATION` after the last change before a reload")
	f.Duration("poll-interval", 3*time.Second, "`DURATION` between looks where inotify is not to be had")
	f.Duration("recheck-interval", 30*time.Second, "`DURATION` between looks beside inotify")
	f.String("state-file", "", "`FILE` that remembers over a restart what was applied")
	f.String("listen-address", ":"+strconv.Itoa(confirm.DefaultPort), "`ADDRESS` of /metrics, /healthz, /status and /confirm; off for none")
	f.String(flagConfirm, "", "`KEY` of the controller that may ask which content was applied (/confirm); the injector writes it")
	f.String("log-format", "json", "`FORMAT` of log lines: json or text")
	f.String("log-level", "info", "least `LEVEL` of log lines: debug, info, warn or error")
	f.String(flagConfig, "", "`FILE` with settings, keys named as flags (YAML, JSON or TOML)")
	f.Bool("once", false, "look once, reload unless the application is known to have the content, and exit")
	f.Bool("dry-run", false, "do everything but the reload itself")
	f.String("install", "", "copy this program to `FILE` and exit, for an init container: the image has no cp")
	f.Bool("version", false, "print the version and exit")
	f.BoolP("help", "h", false, "print this help and exit")
	return f
}

// Usage writes the help text.
func Usage(w io.Writer) error {
	_, err := fmt.Fprintf(w, "Watches mounted configuration and makes the application reload when it changes.\n\n"+
		"Usage:\n  sidecar --watch PATH[:KEY,...] (--preset NAME | --reload-signal ... | --reload-url ... | --reload-command ...)\n\n"+
		"Flags:\n%s\nEach flag may be given as an environment variable, such as %s_RELOAD_URL, or as a key of the config file.\n"+
		"In a variable, several values are separated by %q.\n", flags().FlagUsages(), EnvPrefix, listSep)
	return err
}

// Parse reads the settings. Any error but ErrHelp and ErrVersion says what to change.
func Parse(args []string) (Config, error) {
	f := flags()
	f.Usage = func() {}
	if err := f.Parse(args); err != nil {
		return Config{}, err
	}
	if help, _ := f.GetBool("help"); help {
		return Config{}, ErrHelp
	}
	if version, _ := f.GetBool("version"); version {
		return Config{}, ErrVersion
	}
	if install, _ := f.GetString("install"); install != "" {
		return Config{Install: install, JSONLog: true}, nil
	}
	if f.NArg() > 0 {
		return Config{}, fmt.Errorf("unexpected argument %q; all settings are flags", f.Arg(0))
	}
	v := viper.New()
	v.SetEnvPrefix(EnvPrefix)
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	v.AutomaticEnv()
	if err := v.BindPFlags(f); err != nil {
		return Config{}, err
	}
	if file := v.GetString(flagConfig); file != "" {
		if err := readFile(v, f, file); err != nil {
			return Config{}, err
		}
	}
	r := reader{v: v}
	c := r.config()
	if err := errors.Join(r.errs...); err != nil {
		return Config{}, err
	}
	if _, err := c.Plan(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// readFile refuses keys that are no flags. Unknown environment variables are not refused: Kubernetes itself makes
// INPOD_..._SERVICE_HOST for a service whose name begins so.
func readFile(v *viper.Viper, f *pflag.FlagSet, path string) error {
	if err := file.Check(path); err != nil {
		return fmt.Errorf("config file: %w", err)
	}
	alone := viper.New()
	for _, each := range []*viper.Viper{alone, v} {
		each.SetConfigFile(path)
		if err := each.ReadInConfig(); err != nil {
			return fmt.Errorf("config file %s: %s", path, withoutContent(path, err))
		}
	}
	keys := alone.AllKeys()
	slices.Sort(keys)
	for _, key := range keys {
		if f.Lookup(key) == nil || slices.Contains([]string{flagConfig, "help", "version"}, key) {
			return fmt.Errorf("config file %s: unknown key %q; allowed are the names of flags (--help)", path, key)
		}
	}
	return nil
}

// withoutContent is what a parser says of a file, without what it quotes of it: a URL there may have a password.
func withoutContent(path string, err error) string {
	if _, missing := errors.AsType[*fs.PathError](err); missing {
		return err.Error()
	}
	content, readErr := os.ReadFile(path) //nolint:gosec // the user names the file
	if readErr != nil {
		return readErr.Error()
	}
	r := redact.New(err.Error(), redact.Legible{Paths: []string{path}})
	r.Hide(string(content))
	return r.String()
}

// reader collects errors, so that the user sees all of them at once.
type reader struct {
	v    *viper.Viper
	errs []error
}

func (r *reader) fail(key string, err error) {
	r.errs = append(r.errs, fmt.Errorf("%s: %w", key, err))
}

func (r *reader) config() Config {
	c := Config{
		Preset: r.v.GetString(flagPreset), Signal: r.v.GetString(flagSignal),
		Process: r.v.GetString("reload-process"), Container: r.v.GetString("reload-container"),
		SignalHandled: r.boolean("signal-handled"),
		URL:           r.v.GetString(flagURL), Method: r.v.GetString("reload-method"), Status: r.v.GetString("reload-status"),
		BodyFrom: r.v.GetString("reload-body-from"), HeaderFrom: r.list(flagHeaders),
		CAFile: r.v.GetString("reload-ca-file"), SkipVerify: r.boolean("reload-skip-verify"),
		Timeout: r.duration("reload-timeout"), Attempts: r.integer("reload-attempts"),
		Command: r.command(flagCommand), Validate: r.command("validate-command"),
		VerifyURL: r.v.GetString("verify-url"), ProbeURL: r.v.GetString("probe-url"),
		VerifyTimeout: r.duration("verify-timeout"), RequireProof: r.boolean("require-proof"), CommandTimeout: r.duration("command-timeout"),
		Settle: r.duration("settle"), Poll: r.duration("poll-interval"), Recheck: r.duration("recheck-interval"),
		StateFile: r.v.GetString("state-file"), Listen: r.v.GetString("listen-address"),
		Once: r.boolean("once"), DryRun: r.boolean("dry-run"),
	}
	if text := r.v.GetString("reload-cmdline"); text != "" {
		var err error
		if c.Cmdline, err = regexp.Compile(text); err != nil {
			r.fail("reload-cmdline", err)
		}
	}
	c.JSONLog = r.oneOf("log-format", "json", "text") == "json"
	level := r.oneOf("log-level", "debug", "info", "warn", "error")
	_ = c.LogLevel.UnmarshalText([]byte(level)) // one of the four names, or an error is noted already
	r.listen(&c)
	r.confirmation(&c)
	if c.StateFile != "" && !filepath.IsAbs(c.StateFile) {
		r.fail("state-file", fmt.Errorf("%q is not absolute", c.StateFile))
	}
	r.regular(c)
	r.watches(&c)
	return c
}

// regular refuses files that are of another kind: a named pipe would be waited for, and is written by nobody.
func (r *reader) regular(c Config) {
	for key, path := range map[string]string{"state-file": c.StateFile, "reload-body-from": c.BodyFrom, "reload-ca-file": c.CAFile} {
		if err := file.Check(path); err != nil {
			r.fail(key, err)
		}
	}
	for _, pair := range c.HeaderFrom {
		_, path, _ := strings.Cut(pair, "=")
		if err := file.Check(path); err != nil {
			r.fail(flagHeaders, err)
		}
	}
}

// listen takes "off" for no address, and refuses what no server could listen on.
func (r *reader) listen(c *Config) {
	if c.Listen == "off" || c.Listen == "" {
		c.Listen = ""
		return
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		r.fail("listen-address", fmt.Errorf("%w; give HOST:PORT, :PORT, or off for none", err))
	}
}

func (r *reader) confirmation(c *Config) {
	text := r.v.GetString(flagConfirm)
	if text == "" {
		return
	}
	var err error
	if c.Confirm, err = confirm.ParseKey(text); err != nil {
		r.fail(flagConfirm, err)
	}
	switch {
	case c.Listen == "":
		r.fail(flagConfirm, errors.New("has no use with --listen-address off: nobody could ask"))
	case c.DryRun:
		r.fail(flagConfirm, errors.New("excludes --dry-run: nothing is applied that could be confirmed"))
	}
}

func (r *reader) watches(c *Config) {
	specs := r.list(flagWatch)
	if len(specs) == 0 {
		r.fail(flagWatch, errors.New("nothing to watch; give at least one directory or file"))
	}
	for _, spec := range specs {
		w, err := ParseWatch(spec)
		if err != nil {
			r.fail(flagWatch, err)
			continue
		}
		if w.Path, err = filepath.Abs(w.Path); err != nil {
			r.fail(flagWatch, err)
		}
		if info, err := os.Stat(w.Path); err == nil && !info.IsDir() && len(w.Keys) > 0 {
			r.fail(flagWatch, fmt.Errorf("%s is a file, and only a directory has keys", w.Path))
		}
		c.Watch = append(c.Watch, w)
	}
	for _, file := range r.list(flagIgnore) {
		r.below(c, flagIgnore, file, func(w *Watch, below string) {
			if slices.Contains(w.Keys, below) {
				r.fail(flagIgnore, fmt.Errorf("%s is a key of --%s, and a file is either wanted or ignored", file, flagWatch))
			}
			w.Ignored = append(w.Ignored, below)
		})
	}
	for _, file := range r.list(flagAnchors) {
		r.below(c, flagAnchors, file, func(w *Watch, below string) { w.Anchors = append(w.Anchors, below) })
	}
}

// below notes a file that a flag names with each watched directory that it lies below. Most likely a typing error is what
// lies below none.
func (r *reader) below(c *Config, flag, file string, note func(w *Watch, below string)) {
	at, err := filepath.Abs(file)
	if err != nil {
		r.fail(flag, err)
		return
	}
	found := false
	for i := range c.Watch {
		w := &c.Watch[i]
		below, err := filepath.Rel(w.Path, at)
		if err != nil || below == "." || !filepath.IsLocal(below) {
			continue
		}
		found = true
		note(w, below)
	}
	if !found {
		r.fail(flag, fmt.Errorf("%s is below no directory that --%s names", file, flagWatch))
	}
}
