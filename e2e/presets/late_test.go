//go:build presets

package presets

import (
	"net"
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

// Without a word of the server, a bad file is distinguished from a slow reload by the master being done.
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

// A connection keeps the old worker of HAProxy. Versions before 3.1 start a new one only when they have read the files.
func TestANewHAProxyBesideTheOldOne(t *testing.T) {
	s := webServers()[1]
	need(t, s.program)
	e, files := newEnv(t), s.files
	s.files = func(e env, version string) map[string]string {
		all := files(e, version)
		for name, text := range all {
			all[name] = strings.ReplaceAll(text, "timeout client 5s", "timeout client 5m")
		}
		return all
	}
	swap(t, e.conf, s.files(e, "v1"))
	s.start(t, e)
	s.wantShown(t, e, "v1")
	afterTheStart()
	held, err := net.Dial("tcp", e.listen())
	must(t, err)
	defer func() { _ = held.Close() }()
	_, err = held.Write([]byte("GET / HTTP/1.1\r\n")) // and no more
	must(t, err)
	ended := s.watch(t, e)
	swap(t, e.conf, s.files(e, "v2"))
	if got := next(t, ended); got.Result != "applied" || !got.Proven {
		t.Errorf("%+v, want applied, proven", got)
	}
	s.wantShown(t, e, "v2")
	// After a reload its environment is one in which haproxy -c reads nothing.
	swap(t, e.conf, s.bad(e))
	if got := next(t, ended); got.Result != "rejected" || !strings.Contains(got.Message, "nonsense") {
		t.Errorf("%+v, want rejected, with the words of haproxy -c", got)
	}
	s.wantShown(t, e, "v2")
}
