package process_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"inpod.dev/inpod/internal/patience"
	"inpod.dev/inpod/sidecar/internal/process"
)

// fakeProcess is a process in a /proc made by a test.
type fakeProcess struct {
	pid, parent             int
	args                    string // separated by spaces
	blocked, ignored, catch uint64
	threads                 int
	group                   int
	start                   int // in ticks
}

// proc writes the processes below a directory and returns a table of them.
func proc(t *testing.T, all ...fakeProcess) process.Table {
	t.Helper()
	root := t.TempDir()
	put := func(path, text string) {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range all {
		dir := strconv.Itoa(p.pid)
		words := strings.Split(p.args, " ")
		put(dir+"/stat", fmt.Sprintf("%d (%.15s) S %d %d 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 %d 1 2",
			p.pid, filepath.Base(words[0]), p.parent, p.group, p.start))
		put(dir+"/cmdline", strings.Join(words, "\x00")+"\x00")
		status := fmt.Sprintf("Uid:\t%d\t0\t0\t0\nSigBlk:\t%016x\nSigIgn:\t%016x\nSigCgt:\t%016x\n", os.Getuid(), p.blocked, p.ignored, p.catch)
		put(dir+"/status", status)
		for thread := range max(1, p.threads) {
			put(fmt.Sprintf("%s/task/%d/status", dir, p.pid+thread), status)
		}
		put(dir+"/mountinfo", "1 1 0:1 /pods/u/containers/app/0a1b2c3d /dev/termination-log rw\n")
	}
	return process.Table{Root: root, Self: 999, Boot: func() (time.Duration, error) { return time.Hour, nil }}
}

func mask(signals ...syscall.Signal) (m uint64) {
	for _, s := range signals {
		m |= 1 << (s - 1)
	}
	return m
}

// everything is what dumb-init catches, the JVM's signals among them.
const everything = uint64(0x7ffbbeff)

func TestWrappersAreSeenThrough(t *testing.T) {
	t.Parallel()
	hup, usr1, quit, interrupt := syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGQUIT, syscall.SIGINT
	for name, tc := range map[string]struct {
		all     []fakeProcess
		names   []string
		signal  syscall.Signal
		wantPID int
	}{
		"tini waits for signals with sigtimedwait, and the kernel shows it as one that would die": {
			all: []fakeProcess{{pid: 7, args: "tini -- python3 /opt/app.py"}, {pid: 8, parent: 7, args: "python3 /opt/app.py", catch: mask(usr1)}}, signal: usr1, wantPID: 8,
		},
		"dumb-init starts a shell that starts the application": {
			all: []fakeProcess{
				{pid: 7, args: "/usr/bin/dumb-init bash -c x", catch: everything},
				{pid: 8, parent: 7, args: "bash -c x", catch: mask(interrupt)},
				{pid: 9, parent: 8, args: "python3 /opt/app.py", catch: mask(hup)},
			}, signal: hup, wantPID: 9,
		},
		"an init has collected an orphan beside its own child": {
			all: []fakeProcess{{pid: 7, args: "catatonit -- app"}, {pid: 30, parent: 7, args: "app", start: 10}, {pid: 20, parent: 7, args: "orphan", start: 90}}, signal: hup, wantPID: 30,
		},
		"an init without a child is what there is": {all: []fakeProcess{{pid: 7, args: "docker-init -- app"}}, signal: hup, wantPID: 7},
		"a shell traps the signal, which it handles only after its foreground child has ended": {
			all: []fakeProcess{{pid: 7, args: "bash -c x", catch: mask(hup)}, {pid: 8, parent: 7, args: "python3 /opt/app.py", catch: mask(hup, interrupt)}}, signal: hup, wantPID: 8,
		},
		"a shell traps the signal and waits for a background child": {
			all: []fakeProcess{{pid: 7, args: "bash -c x", catch: mask(hup)}, {pid: 8, parent: 7, args: "app", catch: mask(hup), ignored: mask(quit, interrupt)}}, signal: hup, wantPID: 7,
		},
		"a shell is the application, and calls others that do not handle the signal": {
			all: []fakeProcess{{pid: 7, args: "sh /app.sh", catch: mask(hup)}, {pid: 8, parent: 7, args: "sleep 1"}}, signal: hup, wantPID: 7,
		},
		"a shell traps the signal, and its child may be in the background": {
			all: []fakeProcess{{pid: 7, args: "sh /entrypoint.sh", catch: mask(hup)}, {pid: 8, parent: 7, args: "app", catch: mask(hup, quit)}}, signal: hup, wantPID: 7,
		},
		"a shell with job control puts background children into groups of their own": {
			all: []fakeProcess{{pid: 7, args: "bash -mc x", catch: mask(hup)}, {pid: 8, parent: 7, group: 8, args: "app", catch: mask(hup)}}, signal: hup, wantPID: 7,
		},
		"a shell with two children means neither": {
			all: []fakeProcess{{pid: 7, args: "sh -c x"}, {pid: 8, parent: 7, args: "a", catch: mask(hup)}, {pid: 9, parent: 7, args: "b", catch: mask(hup)}}, signal: hup, wantPID: 7,
		},
		"a shell without a trap runs commands of a moment": {
			all: []fakeProcess{{pid: 7, args: "sh /app.sh"}, {pid: 8, parent: 7, args: "sleep 1"}}, signal: hup, wantPID: 7,
		},
		"a shell starts a shell that starts the application": {
			all: []fakeProcess{
				{pid: 7, args: "sh /entrypoint.sh"}, {pid: 8, parent: 7, args: "sh -c x"}, {pid: 9, parent: 8, args: "app", catch: mask(hup)},
			}, signal: hup, wantPID: 9,
		},
		"a request needs no signal, and the shell is as old as its child, or older": {
			all: []fakeProcess{{pid: 7, args: "sh -c x"}, {pid: 8, parent: 7, args: "app", catch: mask(hup)}}, wantPID: 7,
		},
		"a shell that was named is meant itself": {
			all: []fakeProcess{{pid: 7, args: "bash -c x", catch: mask(hup)}, {pid: 8, parent: 7, args: "python3 a", catch: mask(hup)}}, names: []string{"bash"}, signal: hup, wantPID: 7,
		},
		"a server with workers is no shell": {
			all: []fakeProcess{{pid: 7, args: "app", catch: mask(hup)}, {pid: 8, parent: 7, args: "app", catch: mask(hup)}}, signal: hup, wantPID: 7,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := proc(t, tc.all...).Meant(process.Selector{Names: tc.names, Container: "app"}, tc.signal)
			if err != nil || got.PID != tc.wantPID {
				t.Errorf("PID %d, %v; want PID %d", got.PID, err, tc.wantPID)
			}
		})
	}
}

func TestTheUsersWordAboutASignalCounts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		p                                       fakeProcess
		wantAlone, wantByPreset, wantByUserSays string
	}{
		"a program that waits with sigtimedwait": {p: fakeProcess{}, wantAlone: "killed by it", wantByPreset: "killed by it"},
		"a program that ignores the signal":      {p: fakeProcess{ignored: mask(syscall.SIGHUP)}, wantAlone: "ignores", wantByPreset: "ignores"},
		"a Java program":                         {p: fakeProcess{catch: 0x1005ccf, threads: 20}, wantAlone: "Java program"},
		"a program of one thread is not Java":    {p: fakeProcess{catch: everything}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.p.pid, tc.p.args = 7, "app"
			table := proc(t, tc.p)
			p, err := table.Get(7)
			if err != nil {
				t.Fatal(err)
			}
			for assured, want := range map[process.Assurance]string{
				process.NoAssurance: tc.wantAlone, process.PresetAssurance: tc.wantByPreset, process.UserAssurance: tc.wantByUserSays,
			} {
				err := table.Allowed(t.Context(), p, syscall.SIGHUP, assured)
				if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
					t.Errorf("assurance %d: %v, want %q in it", assured, err, want)
				}
			}
		})
	}
}

func TestPID1IsNeverSignaledAndSaidToBe(t *testing.T) {
	t.Parallel()
	_, err := proc(t, fakeProcess{pid: 1, args: "nginx", catch: mask(syscall.SIGHUP)}).Meant(process.Selector{Names: []string{"nginx"}}, syscall.SIGHUP)
	if !errors.Is(err, process.ErrRefused) || !strings.Contains(err.Error(), "PID 1 is never signaled") {
		t.Errorf("error = %v, want that PID 1 is never signaled", err)
	}
	_, err = proc(t, fakeProcess{pid: 1, args: "pause"}).Meant(process.Selector{Names: []string{"nginx"}}, syscall.SIGHUP)
	if !errors.Is(err, process.ErrNotFound) {
		t.Errorf("error = %v, want that there is no such process", err)
	}
}

// The real ones, whose signal sets are what the tables above claim.
func TestRealInitsAreSeenThrough(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"tini", "-s", "--"}, {"dumb-init"}} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Skip(args[0], "is not installed here")
			}
			marker := filepath.Join(t.TempDir(), "m")
			cmd := exec.CommandContext(t.Context(), args[0], append(args[1:], "sh", "-c", `trap : USR1; sleep 60 & touch "$0"; while :; do wait; done`, marker)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
			patience.Await(t, "the trap is set", func() bool { _, err := os.Stat(marker); return err == nil })
			p, err := table().Meant(process.Selector{Cmdline: regexp.MustCompile(regexp.QuoteMeta(marker))}, syscall.SIGUSR1)
			if err != nil || p.Comm != "sh" {
				t.Fatalf("%s, %v; want the shell that it started", p, err)
			}
			if err := table().Allowed(t.Context(), p, syscall.SIGUSR1, process.NoAssurance); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStartTimesThatCannotBeAreUnknown(t *testing.T) {
	t.Parallel()
	table := proc(t)
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	if at, err := table.StartedAt(process.Process{Start: time.Hour + time.Minute}, now); !errors.Is(err, process.ErrClocks) {
		t.Errorf("started at %v, %v; want that the clocks do not fit", at, err)
	}
	if at, err := table.StartedAt(process.Process{Start: 59 * time.Minute}, now); err != nil || at != now.Add(-time.Minute) {
		t.Errorf("started at %v, %v; want a minute ago", at, err)
	}
	// LXCFS puts the age of the container there.
	if err := os.WriteFile(filepath.Join(table.Root, "uptime"), []byte("1.00 1.00\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	table.Boot = nil
	if up, err := table.SinceBoot(); err != nil || up < 2*time.Second {
		t.Errorf("up for %v, %v; want the kernel's word and not that of /proc/uptime", up, err)
	}
}

func TestScriptsAreFoundBehindTheOptionsOfInterpreters(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"python3 -u app.py":                          "app.py",
		"python3 -u -O -X dev -W ignore /opt/app.py": "app.py",
		"python3.12 -Wignore -Bum gunicorn x":        "gunicorn",
		"python3 -mgunicorn x":                       "gunicorn",
		"python3 -c app.py":                          "",
		"node --max-old-space-size=512 app.js":       "app.js",
		"node --max-old-space-size 512 app.js":       "app.js",
		"node -r ./trace.js --inspect app.js":        "app.js",
		"node -e app.js":                             "",
		"perl -w -I lib app.pl":                      "app.pl",
		"perl -Mstrict -0777 app.pl":                 "app.pl",
		"ruby -I lib -W0 app.rb":                     "app.rb",
		"php -d memory_limit=1G app.php":             "app.php",
		"php -d a=b -f app.php":                      "app.php",
		"bash -x entry.sh":                           "entry.sh",
		"bash -eo pipefail entry.sh":                 "entry.sh",
		"bash +x -- entry.sh":                        "entry.sh",
		"bash -c entry.sh":                           "",
		"java -Xmx1g -cp a:b -jar /srv/x.jar --port": "x.jar",
		"java -cp a.jar com.x.Main":                  "com.x.Main",
		"dotnet exec --depsfile d.json /srv/app.dll": "app.dll",
		"vim -R app.py":                              "",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			p := process.Process{Comm: "x", Args: strings.Split(args, " ")}
			for _, name := range []string{
				"app.py", "gunicorn", "app.js", "app.pl", "app.rb", "app.php", "entry.sh", "x.jar", "com.x.Main", "app.dll",
				"ignore", "512", "lib", "pipefail", "./trace.js", "a:b", "memory_limit=1G", "d.json",
			} {
				if got := (process.Selector{Names: []string{name}}).Matches(p); got != (name == want) {
					t.Errorf("known as %s: %v", name, got)
				}
			}
		})
	}
}
