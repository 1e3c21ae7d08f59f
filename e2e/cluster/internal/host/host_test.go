package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"inpod.dev/inpod/e2e/cluster/internal/paths"
	"inpod.dev/inpod/e2e/cluster/internal/progress"
)

func TestHierarchiesOfBothVersionsAreFound(t *testing.T) {
	t.Parallel()
	mounts := `proc /proc proc rw 0 0
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
`
	want := []Hierarchy{
		{"/sys/fs/cgroup/cpuset", false, "rw,relatime,cpuset"},
		{"/sys/fs/cgroup/systemd", false, "rw,name=systemd"},
		{"/sys/fs/cgroup/unified", true, "rw"},
	}
	if got := hierarchies(mounts); !slices.Equal(got, want) {
		t.Errorf("hierarchies are %v, want %v", got, want)
	}
}

func TestMarkerIsOneHierarchy(t *testing.T) {
	t.Parallel()
	pids := Hierarchy{"/pids", false, "rw,pids"}
	systemd := Hierarchy{"/systemd", false, "rw,name=systemd"}
	unified := Hierarchy{"/unified", true, "rw"}
	cases := map[string]struct {
		roots []Hierarchy
		want  string
	}{
		"the first version, with systemd's":   {[]Hierarchy{pids, systemd, unified}, "/systemd"},
		"the first version, without it":       {[]Hierarchy{unified, pids}, "/pids"},
		"the second version":                  {[]Hierarchy{unified}, "/unified"},
		"no control groups: no marker at all": {nil, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, _ := (Groups{Roots: tc.roots}).marker(); got.Mount != tc.want {
				t.Errorf("marker is %q, want %q", got.Mount, tc.want)
			}
		})
	}
}

func TestOnlyProcessesOfThisClusterAreItsOwn(t *testing.T) {
	t.Parallel()
	mine := paths.Of("/src/one", "/var/lib/inpod", "/cache")
	other := paths.Of("/src/two", "/var/lib/inpod", "/cache")
	cases := map[string]struct {
		commandLine, cgroup string
		want                bool
	}{
		"a daemon":                               {"/cache/kube\x00kubelet\x00--root-dir=" + mine.State + "/kubelet\x00", "0::/user\n", true},
		"a daemon that is about to be":           {"nsenter\x00--net=" + mine.Netns() + "\x00--\x00/cache/kube\x00etcd\x00", "0::/user\n", true},
		"containerd":                             {"containerd\x00--config\x00" + mine.State + "/conf/containerd.toml\x00", "0::/user\n", true},
		"a shim":                                 {"/usr/bin/containerd-shim-runc-v2\x00-address\x00" + mine.Socket() + "\x00", "0::/user\n", true},
		"the forwarder":                          {mine.State + "/bin/cluster\x00forward-connections\x0010.89.0.10:6443\x00", "0::/user\n", true},
		"a container":                            {"nginx: master process\x00", "3:pids:/" + mine.ID + "/kubepods/pod1/c1\n", true},
		"a container of the second version":      {"nginx: master process\x00", "0::/" + mine.ID + "/kubepods/pod1/c1\n", true},
		"a container of another cluster":         {"nginx: master process\x00", "3:pids:/" + other.ID + "/kubepods/pod1/c1\n", false},
		"a group whose name only begins like it": {"sleep\x00", "0::/" + mine.ID + "0/x\n", false},
		"a daemon of another cluster":            {"/cache/kube\x00kubelet\x00--root-dir=" + other.State + "/kubelet\x00", "0::/\n", false},
		"a folder that only begins like it":      {"/cache/kube\x00kubelet\x00--root-dir=" + mine.State + "0/kubelet\x00", "0::/\n", false},
		"somebody who reads a log":               {"tail\x00-f\x00" + mine.State + "/logs/kubelet.log\x00", "0::/\n", false},
		"the machine's own containerd":           {"/usr/bin/containerd\x00", "0::/system.slice/containerd.service\n", false},
		"a kernel thread":                        {"", "0::/\n", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proc := t.TempDir()
			// 3000000000 is more than any process id, so that no caller of this test has it.
			dir := filepath.Join(proc, "3000000000")
			for file, content := range map[string]string{"cmdline": tc.commandLine, "cgroup": tc.cgroup, "stat": "3 (x) S 1 1"} {
				writeFile(t, filepath.Join(dir, file), content)
			}
			found, err := Traces{Place: mine, Groups: Groups{Name: mine.ID}, Proc: proc}.Processes()
			if err != nil {
				t.Fatal(err)
			}
			if got := len(found) == 1; got != tc.want {
				t.Errorf("found %v, want it: %t", found, tc.want)
			}
		})
	}
}

func TestCallersAreNotLeftovers(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	for pid, parent := range map[string]string{"30": "20", "20": "10", "10": "1"} {
		writeFile(t, filepath.Join(proc, pid, "stat"), pid+" (a b) S "+parent+" 1 1")
	}
	if got := (Traces{Proc: proc}).ancestors(30); !slices.Equal(got, []int{30, 20, 10}) {
		t.Errorf("ancestors are %v", got)
	}
}

func TestMountsBelowAFolderInnermostFirst(t *testing.T) {
	t.Parallel()
	mounts := `/dev/vda / ext4 rw 0 0
/dev/vda /state/a/kubelet ext4 rw 0 0
tmpfs /state/a/kubelet/pods/x\040y tmpfs rw 0 0
tmpfs /state/ab tmpfs rw 0 0
nsfs /state/a/run/netns/cni-1 nsfs rw 0 0
`
	want := []string{"/state/a/run/netns/cni-1", "/state/a/kubelet/pods/x y", "/state/a/kubelet"}
	if got := mountsBelow(mounts, "/state/a"); !slices.Equal(got, want) {
		t.Errorf("mounts are %q, want %q", got, want)
	}
}

func TestNetworkResultsOfThisClustersPods(t *testing.T) {
	t.Parallel()
	files := []string{
		"/r/cni-loopback-aaa-lo", "/r/inpod-1-aaa-eth0",
		"/r/cni-loopback-bbb-lo", "/r/inpod-2-bbb-eth0",
		"/r/cni-loopback-ccc-lo", "/r/unrelated",
	}
	want := []string{"/r/cni-loopback-aaa-lo", "/r/inpod-1-aaa-eth0"}
	if got := resultsOf("inpod-1", files); !slices.Equal(got, want) {
		t.Errorf("results are %q, want %q", got, want)
	}
}

func TestMissingPackages(t *testing.T) {
	t.Parallel()
	if got := missingPackages(func(string) bool { return true }); len(got) != 0 {
		t.Errorf("nothing is missing, but %q is to be installed", got)
	}
	got := missingPackages(func(tool string) bool { return tool != "ctr" && tool != "containerd" && tool != "nft" })
	if want := []string{"containerd", "nftables"}; !slices.Equal(got, want) {
		t.Errorf("packages are %q, want %q", got, want)
	}
}

func TestWithoutDebianTheMessageNamesWhatIsMissingAndTheWayOut(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // neither containerd nor apt-get
	err := Install(t.Context(), progress.New(os.Stderr))
	if err == nil {
		t.Fatal("nothing is missing on a machine without programs")
	}
	for _, want := range []string{"containerd", "mmdebstrap", "no apt-get", "set KUBECONFIG"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
}

func TestGroupsAreRemovedFromTheLeavesUp(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	groups := Groups{Name: "inpod-1", Roots: []Hierarchy{{Mount: root}}}
	if err := os.MkdirAll(filepath.Join(root, "inpod-1", "kubepods", "pod1", "c1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := groups.Remove(); err != nil {
		t.Fatal(err)
	}
	if left := groups.Existing(); len(left) != 0 {
		t.Errorf("left: %s", strings.Join(left, " "))
	}
}

func writeFile(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSecondClusterTakesOverWhatTheFirstNoted(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "inpod-1", "kernel-settings"), "the first note")
	second := filepath.Join(root, "inpod-2", "kernel-settings")
	if err := os.MkdirAll(filepath.Dir(second), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := SaveKernelSettings(second); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(second); err != nil || string(content) != "the first note" {
		t.Errorf("noted %q, %v", content, err)
	}
}
