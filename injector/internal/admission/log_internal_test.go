package admission

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
)

// What net/http says has another text for each connection, and is limited all the same.
func TestConnectionsCannotFillTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		debug := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		log := slog.NewLogLogger(connectionLog(debug), slog.LevelDebug)
		for i := range 3000 {
			log.Printf("http: TLS handshake error from 10.0.0.9:%d: EOF", i)
		}
		if got := strings.Count(out.String(), "handshake error from 10.0.0.9"); got == 0 || got > 1000 {
			t.Errorf("%d lines", got)
		}
	})
}
