// Package paths decides where everything of one cluster lies: the names and folders that belong to one checkout, and
// none of it can be another checkout's.
//
// Every path of a running cluster starts with Place.State, every name carries Place.ID. That is what makes it possible
// to find what a crashed cluster left behind without any record of it.
package paths

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Place holds the names and folders of one checkout's cluster.
type Place struct {
	// Checkout is the root folder of the repository.
	Checkout string
	// ID names the network namespace, the control groups and the CNI network; for example inpod-1a2b3c.
	ID string
	// State is the folder with everything that runs: certificates, data, logs, records, containers.
	State string
	// Cache is the folder with what was built: programs and images. All checkouts share it.
	Cache string
}

// stateRoot is a fixed folder on a disk: containerd's layers need a file system that can be the lower part of an
// overlay, and /run or /tmp may be in memory.
const stateRoot = "/var/lib/inpod"

// Find returns the place of the checkout that holds the folder from.
func Find(from string) (Place, error) {
	checkout, err := findCheckout(from)
	if err != nil {
		return Place{}, err
	}
	cache, err := cacheRoot()
	if err != nil {
		return Place{}, err
	}
	return Of(checkout, stateRoot, cache), nil
}

// Of returns the place of a checkout, with the given folders for state and cache.
func Of(checkout, stateRoot, cacheRoot string) Place {
	sum := sha256.Sum256([]byte(checkout))
	id := "inpod-" + hex.EncodeToString(sum[:3])
	return Place{
		Checkout: checkout,
		ID:       id,
		State:    filepath.Join(stateRoot, id),
		Cache:    filepath.Join(cacheRoot, "inpod", "cluster"),
	}
}

// findCheckout walks up to the folder that contains this module, because `go run -C` and a built program start in
// different folders.
func findCheckout(from string) (string, error) {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return "", err
	}
	for dir := from; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "e2e", "cluster", "kube", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside a checkout of inpod (no folder above it has e2e/cluster)", from)
		}
	}
}

func cacheRoot() (string, error) {
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("no folder to keep built programs in: set HOME or XDG_CACHE_HOME")
	}
	return filepath.Join(home, ".cache"), nil
}

// Source returns a folder of this module in the checkout.
func (p Place) Source(name string) string { return filepath.Join(p.Checkout, "e2e", "cluster", name) }

// Path returns a path inside the state folder.
func (p Place) Path(elements ...string) string {
	return filepath.Join(append([]string{p.State}, elements...)...)
}

// Log returns the log file of a component.
func (p Place) Log(component string) string { return p.Path("logs", component+".log") }

// Netns is the file that keeps the cluster's network namespace alive. It lies where `ip netns` looks.
func (p Place) Netns() string { return "/run/netns/" + p.ID }

// Socket is the address of containerd.
func (p Place) Socket() string { return p.Path("containerd.sock") }

// Kubeconfig is the file for people, tests and Helm. It works from outside of the cluster's network namespace.
func (p Place) Kubeconfig() string { return filepath.Join(p.Checkout, ".cluster", "kubeconfig") }

// BinDir is the folder with kubectl for those who have none.
func (p Place) BinDir() string { return filepath.Join(p.Checkout, ".cluster", "bin") }
