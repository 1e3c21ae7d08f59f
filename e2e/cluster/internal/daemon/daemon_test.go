package daemon

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fakeProc is a process file system with the given stat files.
func fakeProc(t *testing.T, boot string, stats map[int]string) string {
	t.Helper()
	proc := t.TempDir()
	files := map[string]string{"sys/kernel/random/boot_id": boot + "\n"}
	for pid, stat := range stats {
		files[filepath.Join(strconv.Itoa(pid), "stat")] = stat
	}
	for name, content := range files {
		path := filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return proc
}

// stat renders a stat file; only the state and the start time matter.
func stat(name, state, started string) string {
	return "42 (" + name + ") " + state + " 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 " + started + " 1234 5\n"
}

func TestRecordMatchesOnlyItsOwnProcess(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		boot        string
		stats       map[int]string
		wantRunning bool
	}{
		"the same process":                           {"boot-1", map[int]string{42: stat("etcd", "S", "1000")}, true},
		"the same process with a name full of traps": {"boot-1", map[int]string{42: stat("a) Z (b", "S", "1000")}, true},
		"no such process":                            {"boot-1", nil, false},
		"another process with its id":                {"boot-1", map[int]string{42: stat("etcd", "S", "2000")}, false},
		"a process of another boot":                  {"boot-2", map[int]string{42: stat("etcd", "S", "1000")}, false},
		"a zombie":                                   {"boot-1", map[int]string{42: stat("etcd", "Z", "1000")}, false},
		"an unreadable process":                      {"boot-1", map[int]string{42: "nonsense"}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			before := Table{Dir: dir, Proc: fakeProc(t, "boot-1", map[int]string{42: stat("etcd", "S", "1000")})}
			if err := before.Remember("etcd", 42, "v1"); err != nil {
				t.Fatal(err)
			}
			record, running := Table{Dir: dir, Proc: fakeProc(t, tc.boot, tc.stats)}.Running("etcd")
			if running != tc.wantRunning {
				t.Errorf("running is %t, want %t", running, tc.wantRunning)
			}
			if running && (record.PID != 42 || record.Version != "v1") {
				t.Errorf("record is %+v", record)
			}
		})
	}
}

func TestDamagedRecordIsNoProcess(t *testing.T) {
	t.Parallel()
	table := Table{Dir: t.TempDir(), Proc: "/proc"}
	for _, content := range []string{"", "{", `{"name":"x"}`} {
		if err := os.WriteFile(filepath.Join(table.Dir, "x.json"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if record, running := table.Running("x"); running {
			t.Errorf("a record of %q is running: %+v", content, record)
		}
	}
}

func TestDaemonRunsInASessionOfItsOwnWithNothingOfTheCaller(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("needs Linux")
	}
	table := Table{Dir: t.TempDir(), Proc: "/proc"}
	log := filepath.Join(t.TempDir(), "log")
	err := table.Start(Daemon{
		Name: "sh", Log: log, Version: "v1", Env: []string{"EXTRA=1"},
		Args: []string{"sh", "-c", "echo session $(cut -d' ' -f6 /proc/$$/stat) of $$ with $EXTRA; exec sleep 600"},
	})
	if err != nil {
		t.Fatal(err)
	}
	record, running := table.Running("sh")
	if !running {
		t.Fatal("the daemon does not run")
	}
	process, err := os.FindProcess(record.PID)
	if err != nil {
		t.Fatal(err)
	}
	want := "session " + strconv.Itoa(record.PID) + " of " + strconv.Itoa(record.PID) + " with 1"
	eventually(t, func() bool { return strings.Contains(read(t, log), want) })
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { _, running := table.Running("sh"); return !running })
}

func eventually(t *testing.T, check func() bool) {
	t.Helper()
	const patience = 5 * time.Minute // it costs nothing where the check holds early
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(10 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("did not happen within %s", patience)
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestProcessesOfACommandLineAreFoundWithoutARecord(t *testing.T) {
	t.Parallel()
	daemon := []string{"nsenter", "--net=/run/netns/one", "--", "/cache/kube", "etcd", "--data-dir=/state/one/etcd"}
	cases := map[string]struct {
		commandLine, state string
		want               bool
	}{
		"the daemon":                         {"/cache/kube\x00etcd\x00--data-dir=/state/one/etcd\x00", "S", true},
		"the daemon before it is itself":     {"nsenter\x00--net=/run/netns/one\x00--\x00/cache/kube\x00etcd\x00--data-dir=/state/one/etcd\x00", "R", true},
		"a zombie":                           {"/cache/kube\x00etcd\x00--data-dir=/state/one/etcd\x00", "Z", false},
		"the daemon of another cluster":      {"/cache/kube\x00etcd\x00--data-dir=/state/two/etcd\x00", "S", false},
		"another daemon of this cluster":     {"/cache/kube\x00kubelet\x00--root-dir=/state/one/kubelet\x00", "S", false},
		"somebody who searches for its name": {"grep\x00etcd\x00--data-dir=/state/one/etcd\x00", "S", false},
		"a kernel thread":                    {"", "S", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// 3000000000 is more than any process id, so that this test is not it.
			proc := fakeProc(t, "boot-1", map[int]string{3000000000: stat("x", tc.state, "1000")})
			if err := os.WriteFile(filepath.Join(proc, "3000000000", "cmdline"), []byte(tc.commandLine), 0o644); err != nil {
				t.Fatal(err)
			}
			if got := len(Table{Proc: proc}.Find(daemon)) == 1; got != tc.want {
				t.Errorf("found is %t, want %t", got, tc.want)
			}
		})
	}
}
