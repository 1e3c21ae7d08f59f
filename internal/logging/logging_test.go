package logging_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"inpod.dev/inpod/internal/logging"
)

func TestParseLevel(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text    string
		want    slog.Level
		wantErr bool
	}{
		"trace is below debug":                  {text: "trace", want: slog.LevelDebug - 4},
		"debug":                                 {text: "debug", want: slog.LevelDebug},
		"the case does not matter":              {text: "INFO", want: slog.LevelInfo},
		"logrus also knows warning":             {text: "warning", want: slog.LevelWarn},
		"fatal is as quiet as it gets":          {text: "fatal", want: slog.LevelError},
		"panic is as quiet as it gets":          {text: "panic", want: slog.LevelError},
		"an unknown level is not replaced":      {text: "loud", wantErr: true},
		"an empty level is not replaced either": {text: "", wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := logging.ParseLevel(tc.text)
			if (err != nil) != tc.wantErr || got != tc.want {
				t.Errorf("ParseLevel(%q) = %v, %v; want %v, error %t", tc.text, got, err, tc.want, tc.wantErr)
			}
			if err != nil && !strings.Contains(err.Error(), "trace, debug, info, warn, error, fatal, panic") {
				t.Errorf("the error does not list the levels: %v", err)
			}
		})
	}
}

func TestLevelNameIsTheInverseOfParseLevel(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"trace", "debug", "info", "warn", "error"} {
		level, err := logging.ParseLevel(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := logging.LevelName(level); got != name {
			t.Errorf("LevelName(ParseLevel(%q)) = %q", name, got)
		}
	}
}

func TestLoggerForms(t *testing.T) {
	t.Parallel()
	var text, objects bytes.Buffer
	logging.NewLogger(&text, logging.FormatText, logging.LevelTrace).Log(t.Context(), slog.Level(-6), "asked", "verb", "GET")
	if got := text.String(); !strings.Contains(got, `level=TRACE msg=asked verb=GET`) {
		t.Errorf("text log is %q", got)
	}
	logging.NewLogger(&objects, logging.FormatJSON, slog.LevelInfo).Warn("late", "level", "mine", "took", 1500*time.Millisecond)
	var line map[string]any
	if err := json.Unmarshal(objects.Bytes(), &line); err != nil {
		t.Fatalf("JSON log is %q: %v", objects.String(), err)
	}
	if line["msg"] != "late" || line["took"] != "1.5s" {
		t.Errorf("JSON log is %v", line)
	}
}

func TestLevelHidesWhatIsBelow(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := logging.NewLogger(&log, "", slog.LevelWarn)
	logger.Info("hidden")
	logger.Warn("shown")
	if got := log.String(); strings.Contains(got, "hidden") || !strings.Contains(got, "shown") {
		t.Errorf("log is %q", got)
	}
}

func TestAtLeastCannotBeTalkedDown(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	inner := logging.NewLogger(&log, logging.FormatText, logging.LevelTrace)
	logger := slog.New(logging.AtLeast(slog.LevelInfo, inner.Handler())).With("part", "a").WithGroup("g")
	logger.Debug("hidden")
	if err := logger.Handler().Handle(t.Context(), slog.Record{Level: slog.LevelDebug, Message: "hidden"}); err != nil {
		t.Error(err)
	}
	logger.Info("shown", "key", "value")
	if got := log.String(); strings.Contains(got, "hidden") || !strings.Contains(got, "part=a g.key=value") {
		t.Errorf("log is %q", got)
	}
}

// The sidecar imports this package and runs once per pod.
func TestPackageStaysSmall(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "inpod.dev/inpod/internal/logging").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for dependency := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(dependency, "k8s.io/") || dependency == "net/http/pprof" || dependency == "html/template" {
			t.Errorf("telemetry pulls in %s", dependency)
		}
	}
}
