package reload

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/process"
)

// written writes files below a folder, whose path stands for DIR in them, and returns the folder.
func written(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// running is a process with these arguments, when some files of a folder changed.
func running(dir string, args []string, changed ...string) server {
	s := server{watched: []string{dir}, dir: filepath.Join(dir, "no-proc")}
	s.Process = process.Process{Comm: args[0]}
	for _, arg := range args {
		s.Args = append(s.Args, strings.ReplaceAll(arg, "DIR", dir))
	}
	for _, file := range changed {
		s.change.Files = append(s.change.Files, filepath.Join(dir, file))
	}
	return s
}

func TestDnsmasqReadsItsConfigurationAtTheStartOnly(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"main.conf": "# comment\naddn-hosts=DIR/hosts\nconf-dir=DIR/conf.d,*.conf\nconf-file=DIR/second.conf\n",
		"hosts":     "", "second.conf": "hostsdir=DIR/hosts.d\n", "conf.d/a.conf": "servers-file=DIR/servers\n", "servers": "", "hosts.d/x": "",
		"other": "", "tftp.conf": "enable-tftp\ntftp-root=DIR/tftp,eth0\ndhcp-script=DIR/bin/script\ntrust-anchors-file=anchors\naddress=/#/127.0.0.1\n",
		"volume.conf":               "conf-dir=DIR/volume\n",
		"tftp/pxelinux.cfg/default": "", "volume/..2026/a.conf": "", "volume/a.conf": "", "volume/.hidden/x": "",
	}
	for name, tc := range map[string]struct {
		args    []string
		changed string
		want    agent.Result
	}{
		"the file of -C":                          {args: []string{"-C", "DIR/main.conf"}, changed: "main.conf", want: agent.NeedsRestart},
		"the file of a joined -C":                 {args: []string{"-kCDIR/main.conf"}, changed: "main.conf", want: agent.NeedsRestart},
		"the file of --conf-file":                 {args: []string{"--conf-file=DIR/main.conf"}, changed: "main.conf", want: agent.NeedsRestart},
		"the file of a separate option":           {args: []string{"-p", "53", "--conf-file", "DIR/main.conf"}, changed: "main.conf", want: agent.NeedsRestart},
		"a file that the configuration includes":  {args: []string{"-C", "DIR/main.conf"}, changed: "second.conf", want: agent.NeedsRestart},
		"a file in conf-dir":                      {args: []string{"-C", "DIR/main.conf"}, changed: "conf.d/new.conf", want: agent.NeedsRestart},
		"a list of hosts":                         {args: []string{"-C", "DIR/main.conf"}, changed: "hosts", want: agent.Applied},
		"a folder of hosts":                       {args: []string{"-C", "DIR/main.conf"}, changed: "hosts.d/y", want: agent.Applied},
		"a list that conf-dir names":              {args: []string{"-C", "DIR/main.conf"}, changed: "servers", want: agent.Applied},
		"a list among the arguments":              {args: []string{"-C", "/dev/null", "-HDIR/other"}, changed: "other", want: agent.Applied},
		"a file that is served at use":            {args: []string{"-C", "DIR/tftp.conf"}, changed: "tftp/pxelinux.cfg/default", want: agent.Applied},
		"a script":                                {args: []string{"-C", "DIR/tftp.conf"}, changed: "bin/script", want: agent.Applied},
		"a relative file of another option":       {args: []string{"-C", "DIR/tftp.conf"}, changed: "anchors", want: agent.Applied},
		"a file of a short option":                {args: []string{"-C", "/dev/null", "-x", "DIR/other"}, changed: "other", want: agent.Applied},
		"a file of a long option":                 {args: []string{"-C", "/dev/null", "--tftp-root", "DIR/tftp"}, changed: "tftp/a", want: agent.Applied},
		"a volume as conf-dir is read as a whole": {args: []string{"-C", "DIR/volume.conf"}, changed: "other", want: agent.NeedsRestart},
		"a file that nothing names":               {args: []string{"-C", "DIR/main.conf"}, changed: "other", want: agent.NeedsRestart},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := written(t, files)
			d := &dnsmasq{server: running(dir, append([]string{"dnsmasq"}, tc.args...), tc.changed), workDir: dir}
			out, done := d.before(context.Background())
			got := out.Result
			if !done {
				found := d.after(context.Background())
				got = found.result
				if found.proven {
					t.Error("proven, and nothing proves it")
				}
			}
			if got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestABrokerIsGuardedFromListsThatShutPeopleOut(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"m.conf":    "password_file DIR/passwords\nacl_file DIR/acl\ninclude_dir DIR/conf.d\n",
		"passwords": "# one\nuser:$7$hash\n", "acl": "user a\ntopic read t\n", "conf.d/a.conf": "max_connections 7\n",
	}
	for name, tc := range map[string]struct {
		file, text string
		wantText   string
	}{
		"good files are sent":                  {file: "acl", text: "pattern read %u\n"},
		"a password without a name is refused": {file: "passwords", text: "user:x\nnonsense\n", wantText: "passwords line 2"},
		"what is no access rule is refused":    {file: "acl", text: "nonsense here\n", wantText: "acl line 1"},
		"the line itself is not shown":         {file: "passwords", text: "s3cret\n", wantText: "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := written(t, good)
			if err := os.WriteFile(filepath.Join(dir, tc.file), []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			m := &broker{server: running(dir, []string{"broker", "-c", "DIR/m.conf"}, tc.file)}
			out, done := m.before(context.Background())
			if done != (tc.wantText != "") || !strings.Contains(out.Message, tc.wantText) || strings.Contains(out.Message, "s3cret") {
				t.Errorf("done %v, %+v; want %q", done, out, tc.wantText)
			}
		})
	}
}

func TestAPathIsSeenBelowTheRootOfAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := written(t, map[string]string{"root/run/postgresql/socket": ""})
	if err := os.MkdirAll(filepath.Join(dir, "root", "var"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"var/run": "/run", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(dir, "root", link)); err != nil {
			t.Fatal(err)
		}
	}
	s := server{dir: dir}
	for name, tc := range map[string]struct{ path, want string }{
		"an absolute link is one of that root":    {"/var/run/postgresql/socket", filepath.Join(dir, "root", "run", "postgresql", "socket")},
		"a path that is not there stays as it is": {"/none/such", "/none/such"},
		"links that lead nowhere end":             {"/loop/x", "/loop/x"},
	} {
		if got := s.see(tc.path); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}
