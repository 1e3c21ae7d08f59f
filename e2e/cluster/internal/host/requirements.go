// Package host is everything that touches the machine outside of the state folder: Debian packages, the network
// namespace, control groups, and what is left of a cluster after it stopped.
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"inpod.dev/inpod/e2e/cluster/internal/build"
	"inpod.dev/inpod/e2e/cluster/internal/progress"
)

// tools are the programs and files that have to be on the machine, with the Debian package that brings each.
func tools() map[string]string {
	return map[string]string{
		"containerd":              "containerd",
		"containerd-shim-runc-v2": "containerd",
		"ctr":                     "containerd",
		"runc":                    "runc",
		"/usr/lib/cni/ptp":        "containernetworking-plugins",
		"iptables":                "iptables", // for the CNI plugin that maps host ports
		"nft":                     "nftables", // for kube-proxy
		"ip":                      "iproute2",
		"nsenter":                 "util-linux",
		"unshare":                 "util-linux",
		"mount":                   "mount", // for the kubelet's volumes
		"mmdebstrap":              "mmdebstrap",
		"/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
	}
}

// alternative is the way out for everybody whose machine cannot run a cluster.
const alternative = `
The alternative is any cluster that you have: set KUBECONFIG to its file, and the other commands use it.
inpod's images then have to be in a registry that this cluster can pull from; the commands take its prefix.`

// Supported says in one message why this machine cannot run a cluster, if it cannot.
func Supported() error {
	switch {
	case runtime.GOOS != "linux":
		return fmt.Errorf("the local cluster needs Linux; this is %s\n%s", runtime.GOOS, alternative[1:])
	case os.Geteuid() != 0:
		return fmt.Errorf("the local cluster needs root, for network namespaces, mounts and control groups; this is user %d (try sudo)\n%s", os.Geteuid(), alternative[1:])
	}
	return nil
}

// Install installs the Debian packages that are missing, and says so.
func Install(ctx context.Context, printer *progress.Printer) error {
	missing := missingPackages(installed)
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("these Debian packages are missing and there is no apt-get to install them: %s\n%s", strings.Join(missing, " "), alternative[1:])
	}
	// One apt-get at a time: its own locks do not wait in all cases. The make targets use the same file.
	unlock, err := build.Lock(ctx, "/run/lock/inpod-apt", func() {
		printer.Step("waiting for somebody else to install Debian packages")
	})
	if err != nil {
		return err
	}
	defer unlock()
	if missing = missingPackages(installed); len(missing) == 0 {
		return nil
	}
	printer.Step("installing Debian packages: %s", strings.Join(missing, " "))
	guard, err := blockServices()
	if err != nil {
		return err
	}
	defer guard()
	install := append([]string{"install", "--yes", "--no-install-recommends"}, missing...)
	if err := aptGet(ctx, install...); err == nil {
		return nil
	}
	// The package lists are missing or older than the packages in the archive.
	printer.Step("that failed; updating the package lists and trying again")
	if err := aptGet(ctx, "update"); err != nil {
		return err
	}
	return aptGet(ctx, install...)
}

func missingPackages(installed func(tool string) bool) []string {
	var missing []string
	for tool, name := range tools() {
		if !installed(tool) && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return missing
}

func installed(tool string) bool {
	if filepath.IsAbs(tool) {
		_, err := os.Stat(tool)
		return err == nil
	}
	if _, err := exec.LookPath(tool); err == nil {
		return true
	}
	// A shell of root may lack the folders of administration programs in its path.
	_, err := os.Stat("/usr/sbin/" + tool)
	return err == nil
}

func aptGet(ctx context.Context, args ...string) error {
	// Another apt-get of the machine is waited for.
	command := exec.CommandContext(ctx, "apt-get", append([]string{"--option=DPkg::Lock::Timeout=300"}, args...)...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	output, err := command.CombinedOutput()
	if err != nil {
		lines := strings.Split(string(bytes.TrimSpace(output)), "\n")
		return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return nil
}

// blockServices keeps packages from starting their services (Debian's containerd would be a second one on the machine)
// by the script that Debian asks, unless the machine has its own.
func blockServices() (unblock func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	file, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	_, err = file.WriteString("#!/bin/sh\n# Made by inpod's test cluster while it installs packages.\nexit 101\n")
	return func() { _ = os.Remove(policy) }, err
}
