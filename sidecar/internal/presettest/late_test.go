//go:build presets

package presettest

import (
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A master without processor time takes the signal when it gets some.
func TestAThrottledServerIsLateAndNotRejected(t *testing.T) {
	s, e := nginxCase(t)
	ended, stop := s.watchUntil(t, e, "--verify-timeout", "1s")
	defer stop()
	text, err := output("pgrep", "-f", "nginx: master .*"+regexp.QuoteMeta(e.conf))
	if err != nil {
		t.Fatal(err)
	}
	master, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(master, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	swap(t, e.conf, s.files(e, "v2"))
	if got := next(t, ended); got.Result != "late" {
		t.Errorf("%+v, want late", got)
	}
	if err := syscall.Kill(master, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := next(t, ended); got.Result != "applied" || !got.Proven || got.Proof != "workers renewed" {
		t.Errorf("%+v, want applied, proven", got)
	}
	s.wantShown(t, e, "v2")
}

// Without a word of the server, a bad file is told from a slow reload by the master being done.
func TestARefusalIsSeenWithoutTheServersWords(t *testing.T) {
	s, e := nginxCase(t)
	t.Setenv("PATH", t.TempDir()) // so that there is no nginx to be asked
	ended, stop := s.watchUntil(t, e, "--verify-timeout", "1s")
	defer stop()
	swap(t, e.conf, s.bad(e))
	if got := next(t, ended); got.Result != "rejected" {
		t.Errorf("%+v, want rejected", got)
	}
	s.wantShown(t, e, "v1")
}
