package process

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"inpod.dev/inpod/internal/reloadspec"
)

const sampleStatus = "Name:\tnginx\nUmask:\t0022\nState:\tS (sleeping)\nUid:\t101\t101\t101\t101\n" +
	"SigPnd:\t0000000000000000\nSigBlk:\t0000000000000000\nSigIgn:\t0000000040001000\nSigCgt:\t0000000018016a07\n"

func TestParseStatOddNames(t *testing.T) {
	t.Parallel()
	rest := " S 7 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 2"
	for name, comm := range map[string]string{
		"plain": "nginx", "with a space": "tmux: server", "with parentheses": "a) R 9 (b", "with a newline": "a\nb", "empty": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := parseStat([]byte("42 (" + comm + ")" + rest))
			if err != nil || p.Comm != comm || p.Parent != 7 || p.state != 'S' || p.Start != 123450*time.Millisecond {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	uid, masks, err := parseStatus([]byte(sampleStatus))
	if err != nil || uid != 101 || masks.Caught != 0x18016a07 || masks.Ignored != 0x40001000 {
		t.Errorf("got %d, %+v, %v", uid, masks, err)
	}
	if _, _, err := parseStatus([]byte("Name:\tx\n")); err == nil {
		t.Error("a status without signals gave no error")
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	const hup, winch = 1, 1 << 27
	cases := map[string]struct {
		threads     []Masks
		signal      syscall.Signal
		wantText    string
		wantBlocked bool
	}{
		"handled":                       {threads: []Masks{{Caught: hup}}, signal: syscall.SIGHUP},
		"unhandled":                     {threads: []Masks{{}}, signal: syscall.SIGHUP, wantText: "killed"},
		"ignored":                       {threads: []Masks{{Ignored: hup}}, signal: syscall.SIGHUP, wantText: "nothing"},
		"taken by sigwait in a thread":  {threads: []Masks{{}, {Blocked: hup}}, signal: syscall.SIGHUP, wantBlocked: true},
		"unhandled but harmless":        {threads: []Masks{{}}, signal: syscall.SIGWINCH, wantText: "nothing"},
		"the harmless one when handled": {threads: []Masks{{Caught: winch}}, signal: syscall.SIGWINCH},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blocked, err := verdict(Process{PID: 2, Comm: "x"}, tc.threads, tc.signal)
			if blocked != tc.wantBlocked {
				t.Errorf("blocked = %v, want %v", blocked, tc.wantBlocked)
			}
			if tc.wantText == "" {
				if err != nil {
					t.Errorf("error = %v, want none", err)
				}
				return
			}
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.wantText) {
				t.Errorf("error = %v, want a refusal with %q", err, tc.wantText)
			}
		})
	}
}

// A shell blocks everything while it forks. Where the machine is so busy that it is stopped in the middle of that, each
// check sees it blocking, and it dies of the signal once it may go on.
func TestWhatIsBlockedCountsOnlyAtRest(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		states  []string // of the threads, all of which block the signal
		wantErr error
	}{
		"a thread that waits":                     {states: []string{"R (running)", "S (sleeping)"}},
		"one that could not go on":                {states: []string{"R (running)"}, wantErr: ErrRefused},
		"one that waits for the child of a vfork": {states: []string{"D (disk sleep)"}, wantErr: ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for i, state := range tc.states {
				dir := filepath.Join(root, "7", "task", strconv.Itoa(7+i))
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				status := "State:\t" + state + "\nUid:\t0\t0\t0\t0\nSigBlk:\tfffffffffffffeff\nSigIgn:\t0\nSigCgt:\t0\n"
				if err := os.WriteFile(filepath.Join(dir, "status"), []byte(status), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := Table{Root: root}.Allowed(t.Context(), Process{PID: 7, Comm: "app"}, syscall.SIGUSR1, NoAssurance)
			if !errors.Is(err, tc.wantErr) {
				t.Errorf("error = %v, want %v", err, tc.wantErr)
			}
		})
	}
}

func TestHiddenBy(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		p    Process
		m    Masks
		want string
	}{
		"Go":             {m: Masks{Caught: 0xfffffffd7fc1feff}, want: "Go"},
		"Java by mask":   {m: Masks{Caught: 0x2000000181005ccf}, want: "Java"},
		"Java by name":   {p: Process{Comm: "java"}, want: "Java"},
		".NET by name":   {p: Process{Comm: "dotnet"}, want: ".NET"},
		"nginx is plain": {p: Process{Comm: "nginx"}, m: Masks{Caught: 0x18016a07}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := hiddenBy(tc.p, []Masks{tc.m, tc.m}); got != tc.want {
				t.Errorf("runtime = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestParseContainer(t *testing.T) {
	t.Parallel()
	line := "1300 1280 254:1 /var/lib/kubelet/pods/6c9f/containers/web/1f2e3d4c /dev/termination-log rw,relatime - ext4 /dev/vda rw\n"
	if got := parseContainer([]byte("22 1 0:20 / /proc rw - proc none rw\n" + line)); got != "web" {
		t.Errorf("container = %q, want web", got)
	}
	if got := parseContainer([]byte("22 1 0:20 / /proc rw - proc none rw\n")); got != "" {
		t.Errorf("container = %q, want none", got)
	}
}

func TestEverySignalHasANumber(t *testing.T) {
	t.Parallel()
	for _, name := range reloadspec.SignalNames() {
		if s, err := ParseSignal(name); err != nil || SignalName(s) != name {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func TestParseSignal(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"HUP", "SIGHUP", "sighup", " hup "} {
		if s, err := ParseSignal(name); err != nil || s != syscall.SIGHUP {
			t.Errorf("%q: %v, %v", name, s, err)
		}
	}
	for _, name := range []string{"", "KILL", "STOP", "1", "SIGNOPE"} {
		if _, err := ParseSignal(name); err == nil || !strings.Contains(err.Error(), "USR2") {
			t.Errorf("%q: error = %v, want one that lists the allowed signals", name, err)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) b) S 7 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 2"))
	f.Add([]byte("42 ()"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := parseStat(text); err == nil && p.Start < 0 {
			t.Errorf("negative start time %v", p.Start)
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte(sampleStatus))
	f.Add([]byte("Uid:\nSigCgt:\t\n"))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _, _ = parseStatus(text) })
}

func FuzzParseCmdline(f *testing.F) {
	f.Add([]byte("/usr/bin/python3\x00/usr/bin/gunicorn\x00"))
	f.Add([]byte("nginx: master process nginx\x00\x00\x00"))
	f.Fuzz(func(_ *testing.T, text []byte) { _ = Process{Args: parseCmdline(text)}.names() })
}
