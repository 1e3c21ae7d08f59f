package process_test

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"inpod.dev/inpod/internal/patience"
	"inpod.dev/inpod/sidecar/internal/process"
)

func TestFind(t *testing.T) {
	t.Parallel()
	nginx := []process.Process{
		{PID: 10, Parent: 1, Comm: "nginx", Args: []string{"nginx: master process /usr/sbin/nginx -g daemon off;"}},
		{PID: 11, Parent: 10, Comm: "nginx", Args: []string{"nginx: worker process"}},
		{PID: 12, Parent: 10, Comm: "nginx", Args: []string{"nginx: worker process"}},
	}
	cases := map[string]struct {
		all     []process.Process
		s       process.Selector
		wantPID int
		wantErr error
	}{
		"the master among equals": {all: nginx, s: process.Selector{Names: []string{"nginx"}}, wantPID: 10},
		"nothing of that name":    {all: nginx, s: process.Selector{Names: []string{"httpd"}}, wantErr: process.ErrNotFound},
		"a prefix of a name is not the name": {
			all: nginx, s: process.Selector{Names: []string{"ngin"}}, wantErr: process.ErrNotFound,
		},
		"two masters are ambiguous": {
			all: append(nginx[:3:3], process.Process{PID: 20, Parent: 1, Comm: "nginx"}),
			s:   process.Selector{Names: []string{"nginx"}}, wantErr: process.ErrAmbiguous,
		},
		"two masters distinguished by container": {
			all: []process.Process{
				{PID: 10, Comm: "nginx", Container: "a"}, {PID: 20, Comm: "nginx", Container: "b"},
			},
			s: process.Selector{Names: []string{"nginx"}, Container: "b"}, wantPID: 20,
		},
		"two masters distinguished by command line": {
			all: []process.Process{
				{PID: 10, Comm: "nginx", Args: []string{"nginx", "-c", "/a"}},
				{PID: 20, Comm: "nginx", Args: []string{"nginx", "-c", "/b"}},
			},
			s: process.Selector{Cmdline: regexp.MustCompile(`-c /b$`)}, wantPID: 20,
		},
		"a container alone, whose first process is meant": {
			all: []process.Process{
				{PID: 10, Parent: 0, Comm: "sh", Container: "a"},
				{PID: 11, Parent: 10, Comm: "app", Container: "a"},
				{PID: 30, Parent: 0, Comm: "other", Container: "b"},
			},
			s: process.Selector{Container: "a"}, wantPID: 10,
		},
		"a name over 15 characters": {
			all: []process.Process{{PID: 10, Comm: "prometheus-aler", Args: []string{"/bin/prometheus-alertmanager", "--x"}}},
			s:   process.Selector{Names: []string{"prometheus-alertmanager"}}, wantPID: 10,
		},
		"another name that the kernel cuts to the same": {
			all: []process.Process{{PID: 10, Comm: "prometheus-aler", Args: []string{"/bin/prometheus-alerts"}}},
			s:   process.Selector{Names: []string{"prometheus-alertmanager"}}, wantErr: process.ErrNotFound,
		},
		"a script under its interpreter": {
			all: []process.Process{{PID: 10, Comm: "python3", Args: []string{"/usr/bin/python3", "/usr/bin/gunicorn", "app"}}},
			s:   process.Selector{Names: []string{"gunicorn"}}, wantPID: 10,
		},
		"a module under its interpreter": {
			all: []process.Process{{PID: 10, Comm: "python3", Args: []string{"python3.11", "-m", "gunicorn", "app"}}},
			s:   process.Selector{Names: []string{"gunicorn"}}, wantPID: 10,
		},
		"a script under another comm": {
			all: []process.Process{{PID: 10, Comm: "gunicorn", Args: []string{"/usr/bin/python3", "/usr/bin/gunicorn"}}},
			s:   process.Selector{Names: []string{"gunicorn"}}, wantPID: 10,
		},
		"an argument is not a name": {
			all: []process.Process{
				{PID: 10, Comm: "vim", Args: []string{"vim", "-R", "nginx"}},
				{PID: 11, Comm: "cat", Args: []string{"cat", "nginx"}},
				{PID: 12, Comm: "python3", Args: []string{"python3", "-c", "nginx"}},
			},
			s: process.Selector{Names: []string{"nginx"}}, wantErr: process.ErrNotFound,
		},
		"a program that only starts the one that is meant": {
			all: []process.Process{
				{PID: 10, Comm: "dumb-init", Args: []string{"/usr/bin/dumb-init", "nginx", "-g", "daemon off;"}},
				{PID: 11, Parent: 10, Comm: "nginx", Args: []string{"nginx: master process nginx -g daemon off;"}},
				{PID: 12, Parent: 11, Comm: "nginx", Args: []string{"nginx: worker process"}},
			},
			s: process.Selector{Names: []string{"nginx"}}, wantPID: 11,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := process.Find(tc.all, tc.s)
			if !errors.Is(err, tc.wantErr) || got.PID != tc.wantPID {
				t.Errorf("found PID %d, error %v; want PID %d, error %v", got.PID, err, tc.wantPID, tc.wantErr)
			}
		})
	}
	if _, err := process.Find(nginx, process.Selector{}); err == nil {
		t.Error("an empty selector found something")
	}
}

func table() process.Table { return process.Table{Root: "/proc", Self: os.Getpid()} }

// child starts a command and gives its process once it runs that program.
func child(t *testing.T, comm string, args ...string) process.Process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	if err := cmd.Start(); err != nil {
		t.Skipf("cannot run %s: %v", args[0], err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var p process.Process
	patience.Await(t, comm+" runs", func() bool {
		var err error
		p, err = table().Get(cmd.Process.Pid)
		// Between fork and exec the process is a copy of this one.
		return err == nil && p.Comm == comm && slices.Equal(p.Args, args)
	})
	return p
}

func TestSignalThatWouldKill(t *testing.T) {
	t.Parallel()
	p := child(t, "sleep", "sleep", "600")
	err := table().Allowed(t.Context(), p, syscall.SIGHUP, process.PresetAssurance)
	if !errors.Is(err, process.ErrRefused) {
		t.Errorf("error = %v, want a refusal: sleep dies of SIGHUP", err)
	}
}

// A shell blocks all signals while it forks, which must not be taken for sigwait.
func TestSignalThatIsBlockedForMoments(t *testing.T) {
	t.Parallel()
	p := child(t, "sh", "sh", "-c", `trap : HUP; while :; do /bin/true; done`)
	for range 20 {
		if err := table().Allowed(t.Context(), p, syscall.SIGUSR1, process.NoAssurance); !errors.Is(err, process.ErrRefused) {
			t.Fatalf("error = %v, want a refusal: it dies of SIGUSR1", err)
		}
	}
}

func TestSignalThatIsHandled(t *testing.T) {
	t.Parallel()
	p := child(t, "sh", "sh", "-c", `trap 'exit 7' HUP; while :; do sleep 0.05; done`)
	patience.Await(t, "the trap is set", func() bool {
		return table().Allowed(t.Context(), p, syscall.SIGHUP, process.NoAssurance) == nil
	})
	if err := table().Send(p, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

func TestSendNeverHitsAnother(t *testing.T) {
	t.Parallel()
	p := child(t, "sleep", "sleep", "600")
	p.Start += time.Second // as if the number had gone to another process
	if err := table().Send(p, syscall.SIGTERM); !process.Gone(err) {
		t.Errorf("error = %v, want gone", err)
	}
	if err := table().Send(process.Process{PID: 1}, syscall.SIGHUP); !errors.Is(err, process.ErrRefused) {
		t.Errorf("error = %v, want a refusal for PID 1", err)
	}
}

func TestGoProgramNeedsAWord(t *testing.T) {
	t.Parallel()
	self, err := table().Get(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := table().Allowed(t.Context(), self, syscall.SIGUSR1, process.NoAssurance); !errors.Is(err, process.ErrRefused) {
		t.Errorf("error = %v, want a refusal for a Go program", err)
	}
	if err := table().Allowed(t.Context(), self, syscall.SIGUSR1, process.PresetAssurance); err != nil {
		t.Errorf("error = %v, want none once assured", err)
	}
}

func TestStartTime(t *testing.T) {
	t.Parallel()
	const resolution = 100 * time.Millisecond
	before := time.Now().Add(-resolution)
	p := child(t, "sleep", "sleep", "600")
	after := time.Now().Add(resolution)
	// The time and the time since boot are read one after the other, with a pause where the machine is slow.
	patience.Await(t, "it started when it was started", func() bool {
		at, err := table().StartedAt(p, time.Now())
		return err == nil && at.After(before) && at.Before(after)
	})
}

func TestListHasNoPID1AndNotItself(t *testing.T) {
	t.Parallel()
	all, err := table().List()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.PID == 1 || p.PID == os.Getpid() {
			t.Errorf("%s is in the list", p)
		}
	}
}
