package reload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secretDir is a directory such as the kubelet keeps a Secret in; so is /dev/shm.
func secretDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "scrub") //nolint:usetesting // a tmpfs is what is tested
	if err != nil {
		t.Skip("no tmpfs at /dev/shm")
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestScrub(t *testing.T) {
	t.Parallel()
	write := func(dir, name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	secret, disk, large := secretDir(t), t.TempDir(), secretDir(t)
	password := write(secret, "password", "hunter2hunter2")
	write(disk, "nginx.conf", "nonsense")
	header := write(disk, "authorization", "Bearer t0ken-of-mine")
	write(large, "blob", strings.Repeat("x", maxSecret+1))
	plan := Plan{URL: &Endpoint{HeaderFiles: map[string]string{"Authorization": header, "X-Gone": filepath.Join(disk, "gone")}}}
	for name, tc := range map[string]struct {
		r             Reloader
		message, want string
	}{
		"a watched directory":     {Reloader{Secrets: []string{secret}}, "rejected: " + quote("no hunter2hunter2!"), "rejected: no [redacted]!"},
		"a watched file":          {Reloader{Secrets: []string{password}}, quote("no hunter2hunter2!") + " and more", "no [redacted]! and more"},
		"twice":                   {Reloader{Secrets: []string{secret}}, quote("hunter2hunter2") + "; " + quote("hunter2hunter2"), "[redacted]; [redacted]"},
		"a ConfigMap's content":   {Reloader{Secrets: []string{disk}}, quote(`unknown directive "nonsense"`), `unknown directive "nonsense"`},
		"what a header is":        {Reloader{Plan: plan}, quote("not for Bearer t0ken-of-mine"), "not for [redacted]"},
		"our own words":           {Reloader{Secrets: []string{secret}}, "send SIGHUP to hunter2hunter2 (PID 7)", "send SIGHUP to hunter2hunter2 (PID 7)"},
		"what cannot be read":     {Reloader{Secrets: []string{secret, large}}, "rejected: " + quote("no hunter2hunter2!"), "rejected: " + withheld},
		"delimiters of their own": {Reloader{}, quote("a\x03b\x02c"), "a; b; c"},
		"nothing said":            {Reloader{Secrets: []string{secret}}, "failed" + quote(" \n"), "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.r.scrub(tc.message); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
