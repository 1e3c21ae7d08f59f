package config

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"inpod.dev/inpod/internal/logging"
	"inpod.dev/inpod/internal/reloadspec"
	"inpod.dev/inpod/internal/settings"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/version"
)

// The headings of the help text.
const (
	watching   settings.Section = "What to watch"
	triggering settings.Section = "How to reload (one of --preset, --reload-signal, --reload-url, --reload-command)"
	proving    settings.Section = "Proof"
	general    settings.Section = "Program"
)

// Settings whose name is used more than once.
const (
	flagWatch         = "watch"
	flagIgnore        = "ignore"
	flagAnchors       = "trust-bundle"
	flagPreset        = "preset"
	flagSignal        = "reload-signal"
	flagURL           = "reload-url"
	flagCommand       = "reload-command"
	flagHeaders       = "reload-header-from"
	flagControllerKey = "controller-key"
)

// texts are the settings as they are written: a Config, and what of it is still text.
type texts struct {
	Config

	watch, ignored, anchors []string
	cmdline, controllerKey  string
	ignoreEnvironment       bool
}

func newTexts() *texts {
	return &texts{Config: Config{
		Method: "POST", Status: "200-299", Timeout: 30 * time.Second, Attempts: 3,
		VerifyTimeout: 5 * time.Second, CommandTimeout: 30 * time.Second,
		Settle: 500 * time.Millisecond, Poll: 3 * time.Second, Recheck: 30 * time.Second,
		Listen: ":" + strconv.Itoa(sidecarapi.DefaultPort), LogFormat: logging.FormatJSON,
	}}
}

// durations are those that must be above zero.
func (t *texts) durations() map[string]*time.Duration {
	return map[string]*time.Duration{
		"reload-timeout": &t.Timeout, "verify-timeout": &t.VerifyTimeout, "command-timeout": &t.CommandTimeout,
		"settle": &t.Settle, "poll-interval": &t.Poll, "recheck-interval": &t.Recheck,
	}
}

func (t *texts) program(build version.Build) settings.Program {
	return settings.Program{
		Name:  "sidecar",
		Intro: "inpod sidecar: watches mounted configuration and makes the application reload when it changes.\n",
		Build: build, Table: slices.Concat(t.watchTable(), t.triggerTable(), t.proofTable(), t.generalTable()),
		IgnoreEnvironment: &t.ignoreEnvironment,
	}
}

func (t *texts) watchTable() []settings.Setting {
	const s = watching
	return []settings.Setting{
		s.Setting(flagWatch, settings.Repeated(&t.watch, "PATH[:KEY,…]"), "directory or file to watch, with the wanted keys if not all; repeatable"),
		s.Setting(flagAnchors, settings.Repeated(&t.anchors, "PATH"), "file below a watched directory with trust anchors in no particular order, as the kubelet writes those of a ClusterTrustBundle: it is compared as a set of certificates; repeatable"),
		s.Setting(flagIgnore, settings.Repeated(&t.ignored, "PATH"), "file or folder below a watched directory whose changes are ignored; repeatable"),
		s.Setting("settle", settings.Duration(&t.Settle), "quiet time after the last change before a reload"),
		s.Setting("poll-interval", settings.Duration(&t.Poll), "time between scans if inotify is not available"),
		s.Setting("recheck-interval", settings.Duration(&t.Recheck), "time between scans in addition to inotify"),
		s.Setting("state-file", settings.Text(&t.StateFile, "FILE"), "file that keeps the applied content over a restart, as a digest"),
	}
}

func (t *texts) triggerTable() []settings.Setting {
	const s = triggering
	return []settings.Setting{
		s.Setting(flagPreset, settings.Text(&t.Preset, "NAME"), "known server to reload, see docs/presets.md"),
		s.Setting(flagSignal, settings.Text(&t.Signal, "SIGNAL"), "signal to send, such as HUP"),
		s.Setting("reload-process", settings.Text(&t.Process, "NAME"), "name of the executable to signal; among several processes the master"),
		s.Setting("reload-cmdline", settings.Text(&t.cmdline, "REGEXP"), "regular expression that the command line of the process must match"),
		s.Setting("reload-container", settings.Text(&t.Container, "NAME"), "name of the container of the process"),
		s.Setting("signal-handled", settings.Boolean(&t.SignalHandled), "the program handles the signal, whatever the kernel's tables say (Go, Java, .NET, sigwait)"),
		s.Setting(flagURL, settings.Text(&t.URL, "URL"), "URL to call: http, https, or unix:/path/to.sock:/path/in/request").Hidden(),
		s.Setting("reload-method", settings.Text(&t.Method, "METHOD"), "HTTP method for the URL"),
		s.Setting("reload-status", settings.Text(&t.Status, "LIST"), "HTTP status codes that mean success, such as 200,204 or 200-299"),
		s.Setting("reload-body-from", settings.Text(&t.BodyFrom, "FILE"), "file to send as the body"),
		s.Setting(flagHeaders, settings.Repeated(&t.HeaderFrom, "NAME=FILE"), "header whose value is the content of a file; repeatable"),
		s.Setting("reload-ca-file", settings.Text(&t.CAFile, "FILE"), "file with the CA certificates of an https URL"),
		s.Setting("reload-skip-verify", settings.Boolean(&t.SkipVerify), "do not verify the certificate of an https URL"),
		s.Setting("reload-timeout", settings.Duration(&t.Timeout), "time limit of one attempt to connect, and of an answer before it counts as late; nothing is sent again"),
		s.Setting("reload-attempts", settings.Integer(&t.Attempts, "a number"), "attempts to reach the URL before the reload counts as failed"),
		s.Setting(flagCommand, command{&t.Command}, "command to run, as a JSON array of strings; no shell runs it"),
		s.Setting("command-timeout", settings.Duration(&t.CommandTimeout), "time after which a command and all its processes are killed"),
	}
}

func (t *texts) proofTable() []settings.Setting {
	const s = proving
	return []settings.Setting{
		s.Setting("validate-command", command{&t.Validate}, "command that must succeed before anything is sent, as a JSON array of strings"),
		s.Setting("verify-url", settings.Text(&t.VerifyURL, "URL"), "URL that must return 2xx after a reload, as proof").Hidden(),
		s.Setting("probe-url", settings.Text(&t.ProbeURL, "URL"), "URL of the preset's proof, if not the usual one").Hidden(),
		s.Setting("verify-timeout", settings.Duration(&t.VerifyTimeout), "time after which a proof is late; it is requested again, and nothing is sent again"),
		s.Setting("require-proof", settings.Boolean(&t.RequireProof), "count a reload without proof as failed"),
	}
}

func (t *texts) generalTable() []settings.Setting {
	const s = general
	return []settings.Setting{
		s.Setting("once", settings.Boolean(&t.Once), "scan once, reload unless the application is known to have the content, and exit"),
		s.Setting("dry-run", settings.Boolean(&t.DryRun), "do everything but the reload itself"),
		s.Setting("listen-address", settings.Text(&t.Listen, "ADDRESS"), "address of /metrics, /healthz, /status and /query; off for none"),
		s.Setting(flagControllerKey, settings.Text(&t.controllerKey, "KEY"), "public key of the controller that can ask which content was applied (/query); the injector sets it"),
		s.Setting("log-format", settings.OneOf(&t.LogFormat, "FORMAT", nil, logging.Formats()...), "form of log lines: text or json"),
		s.Setting("log-level", settings.Level(&t.LogLevel), "lowest level to log: "+strings.Join(logging.LevelNames(), ", ")),
		s.Setting("ignore-environment", settings.Boolean(&t.ignoreEnvironment), "read no environment variables, which may be the application's; the injector sets it"),
		s.Setting("install", settings.Text(&t.Install, "FILE"), "copy this program to a file and exit; for an init container, because the image has no cp"),
	}
}

// command is a setting that [reloadspec.ParseCommand] reads. In the configuration file it may be a list, too.
type command struct{ field *[]string }

// Set implements [settings.Value].
func (c command) Set(text string) (err error) {
	if text == "" { // as templates produce it
		*c.field = nil
		return nil
	}
	*c.field, err = reloadspec.ParseCommand(text)
	return err
}

// SetList implements [settings.List].
func (c command) SetList(argv []string) error {
	text, err := json.Marshal(argv)
	if err != nil {
		return err
	}
	return c.Set(string(text))
}

func (c command) String() string {
	if len(*c.field) == 0 {
		return ""
	}
	text, _ := json.Marshal(*c.field) // strings have a form in JSON
	return string(text)
}

// Type implements [settings.Value].
func (c command) Type() string { return `'["PROGRAM","ARGUMENT"]'` }
