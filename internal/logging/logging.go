// Package logging makes the logger of a program: its levels, and its text and JSON forms.
package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// LevelTrace is one step below [slog.LevelDebug], as "trace" is below "debug" in Reloader.
const LevelTrace = slog.LevelDebug - 4

// Format is the text form of the log.
type Format string

// The forms of the log.
const (
	FormatText Format = "text" // key=value pairs, for people
	FormatJSON Format = "json" // one JSON object per line, for collectors
)

// Formats returns every valid form, the default first.
func Formats() []Format { return []Format{FormatText, FormatJSON} }

// LevelNames returns the names that [ParseLevel] understands, from most to least talkative.
func LevelNames() []string {
	return []string{"trace", "debug", "info", "warn", "error", "fatal", "panic"}
}

// ParseLevel reads a level by the names that Reloader (logrus) uses, in any case. inpod has nothing above "error", so
// "fatal" and "panic" mean "error": accepting them keeps an existing Reloader configuration valid.
func ParseLevel(name string) (slog.Level, error) {
	switch strings.ToLower(name) {
	case "trace":
		return LevelTrace, nil
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error", "fatal", "panic":
		return slog.LevelError, nil
	default:
		return 0, fmt.Errorf("unknown log level %q: use one of %s", name, strings.Join(LevelNames(), ", "))
	}
}

// LevelName is the inverse of [ParseLevel]. A level between two names, such as klog's verbosities, gets the name of
// the more talkative one.
func LevelName(level slog.Level) string {
	switch {
	case level < slog.LevelDebug:
		return "trace"
	case level < slog.LevelInfo:
		return "debug"
	case level < slog.LevelWarn:
		return "info"
	case level < slog.LevelError:
		return "warn"
	default:
		return "error"
	}
}

// NewLogger returns a logger that writes to w. An empty or unknown format means text; the configuration refuses an
// unknown one before it gets here.
func NewLogger(w io.Writer, format Format, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
			if attr.Value.Kind() == slog.KindDuration {
				// JSON would have nanoseconds without a unit.
				return slog.String(attr.Key, attr.Value.Duration().String())
			}
			if len(groups) > 0 || attr.Key != slog.LevelKey {
				return attr
			}
			if level, ok := attr.Value.Any().(slog.Level); ok {
				return slog.String(slog.LevelKey, strings.ToUpper(LevelName(level)))
			}
			return attr
		},
	}
	if format == FormatJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// AtLeast wraps a handler and drops every record below the level, whatever the wrapped handler would accept.
func AtLeast(level slog.Level, handler slog.Handler) slog.Handler {
	return &floor{level: level, next: handler}
}

type floor struct {
	level slog.Level
	next  slog.Handler
}

func (f *floor) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= f.level && f.next.Enabled(ctx, level)
}

func (f *floor) Handle(ctx context.Context, record slog.Record) error {
	if record.Level < f.level {
		return nil
	}
	return f.next.Handle(ctx, record)
}

func (f *floor) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &floor{level: f.level, next: f.next.WithAttrs(attrs)}
}

func (f *floor) WithGroup(name string) slog.Handler {
	return &floor{level: f.level, next: f.next.WithGroup(name)}
}
