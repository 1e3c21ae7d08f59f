package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// nsfs is the file system type of a namespace that is mounted on a file.
const nsfs = 0x6e736673

// Namespace is a network namespace that a file keeps alive.
type Namespace struct {
	File string
}

// Exists reports whether the file holds a namespace, and not only the empty file that is left after a reboot.
func (n Namespace) Exists() bool {
	var stat syscall.Statfs_t
	return syscall.Statfs(n.File, &stat) == nil && stat.Type == nsfs
}

// Create makes the namespace. Not by `ip netns add`, which turns /run/netns into a mount of its own that nobody removes.
func (n Namespace) Create(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(n.File), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(n.File, nil, 0o444); err != nil {
		return err
	}
	return run(exec.CommandContext(ctx, "unshare", "--net="+n.File, "true"))
}

// Enter returns the command line that runs args inside the namespace. The process keeps its id: nsenter becomes it.
// (`ip netns exec` would mount another /sys, which hides the control groups.)
func (n Namespace) Enter(args ...string) []string {
	return append([]string{"nsenter", "--net=" + n.File, "--"}, args...)
}

// Configure gives the namespace the node's address. There is no default route, so nothing can leave the machine. The
// service range needs a route, although nothing has such an address: the kernel wants to know a device before
// kube-proxy's rules replace the address.
func (n Namespace) Configure(ctx context.Context, bridge, address, services string) error {
	script := fmt.Sprintf(`set -e
sysctl_write() { echo "$2" > "/proc/sys/$1"; }
sysctl_write net/ipv4/ip_forward 1
ip link set lo up
ip link show %[1]s >/dev/null 2>&1 || ip link add %[1]s type bridge
ip address replace %[2]s dev %[1]s
ip link set %[1]s up
ip route replace %[3]s dev %[1]s
`, bridge, address, services)
	args := n.Enter("sh", "-c", script)
	return run(exec.CommandContext(ctx, args[0], args[1:]...))
}

// Remove lets go of the namespace. The kernel removes it, with its devices and rules, once no process is in it.
func (n Namespace) Remove() error {
	// Several mounts may lie on top of each other if starts were interrupted.
	for n.Exists() {
		if err := syscall.Unmount(n.File, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", n.File, err)
		}
	}
	if err := os.Remove(n.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(filepath.Dir(n.File)) // if it is empty: it did not exist before
	return nil
}

// Inode identifies the namespace in /proc/PID/ns/net.
func (n Namespace) Inode() (uint64, bool) {
	var stat syscall.Stat_t
	if !n.Exists() || syscall.Stat(n.File, &stat) != nil {
		return 0, false
	}
	return stat.Ino, true
}

func run(command *exec.Cmd) error {
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(command.Path), err, strings.TrimSpace(string(output)))
	}
	return nil
}
