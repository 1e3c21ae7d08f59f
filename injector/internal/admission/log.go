package admission

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"inpod.dev/inpod/internal/truncate"
)

const (
	// linesPerSecond is how many lines of each message there may be in a second, and linesAtOnce in a moment. Details, which nobody
	// sees who has not asked for them, may be so many times as many.
	linesPerSecond = 1
	linesAtOnce    = 20
	timesDetails   = 50
	// maxMessages bounds the messages that are distinguished. They are constants, and fewer.
	maxMessages = 64
	// longestText bounds each text of a line, in bytes: callers choose names, which may be as long as a review. The stack of a
	// panic has a few thousand.
	longestText = 8 << 10
)

// Limited returns a log that callers can fill only so far: each message has a limit of its own, so that no caller hides
// what matters behind nonsense. A line says how many of its kind were left out before it.
func Limited(log *slog.Logger) *slog.Logger {
	return slog.New(limitedHandler{log.Handler(), &lines{messages: newRows[string, *message](maxMessages)}})
}

// lines are the limits of a log.
type lines struct {
	mu       sync.Mutex
	messages *rows[string, *message]
}

type message struct {
	limiter *rate.Limiter
	leftOut int
}

// allow reports whether a line is written, and how many were left out before it.
func (l *lines) allow(text string, level slog.Level, now time.Time) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, isKnown := l.messages.get(text)
	if !isKnown {
		times := 1
		if level < slog.LevelInfo {
			times = timesDetails
		}
		m = &message{limiter: rate.NewLimiter(rate.Limit(linesPerSecond*times), linesAtOnce*times)}
		l.messages.put(share{}, text, m, 1)
	}
	if !m.limiter.AllowN(now, 1) {
		m.leftOut++
		return 0, false
	}
	leftOut, m.leftOut = m.leftOut, 0
	return leftOut, true
}

// limitedHandler writes what the limits allow.
type limitedHandler struct {
	slog.Handler

	lines *lines
}

// Handle implements [slog.Handler].
func (h limitedHandler) Handle(ctx context.Context, record slog.Record) error {
	leftOut, ok := h.lines.allow(record.Message, record.Level, time.Now())
	if !ok {
		return nil
	}
	record = short(record)
	if leftOut > 0 {
		record.AddAttrs(slog.Int("leftOut", leftOut))
	}
	return h.Handler.Handle(ctx, record)
}

// short returns a copy of a record, without what of its texts is too long.
func short(record slog.Record) slog.Record {
	line := slog.NewRecord(record.Time, record.Level, record.Message, record.PC)
	record.Attrs(func(attr slog.Attr) bool {
		text := ""
		switch value := attr.Value.Any().(type) {
		case string:
			text = value
		case error:
			text = value.Error()
		}
		if len(text) > longestText {
			attr.Value = slog.StringValue(truncate.Text(text, longestText))
		}
		line.AddAttrs(attr)
		return true
	})
	return line
}

// WithAttrs implements [slog.Handler].
func (h limitedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return limitedHandler{h.Handler.WithAttrs(attrs), h.lines}
}

// WithGroup implements [slog.Handler].
func (h limitedHandler) WithGroup(name string) slog.Handler {
	return limitedHandler{h.Handler.WithGroup(name), h.lines}
}

// connectionLog takes what net/http says of connections, one line each: a client that does not trust the certificate, or a probe of
// the port. It gets a constant message, by which it is limited.
func connectionLog(of *slog.Logger) slog.Handler { return asAttribute{Limited(of).Handler()} }

// asAttribute makes the message of each record its error.
type asAttribute struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h asAttribute) Handle(ctx context.Context, record slog.Record) error {
	constant := slog.NewRecord(record.Time, record.Level, "connection to the webhook failed", record.PC)
	constant.AddAttrs(slog.String("error", record.Message))
	return h.Handler.Handle(ctx, constant)
}
