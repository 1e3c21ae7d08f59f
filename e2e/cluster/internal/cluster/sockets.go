package cluster

import (
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// shimSockets is a folder that all containerds of a machine share; no setting moves it.
	shimSockets = "/run/containerd/s"
	// devicePlugins is where every kubelet makes its socket for device plugins; no setting moves it either.
	devicePlugins = "/var/lib/kubelet/device-plugins/kubelet.sock"
)

// removeSockets removes what killed shims and the killed kubelet left in folders that others may use as well.
func (c *Cluster) removeSockets() error {
	problems := []error{removeDead(devicePlugins)}
	for _, socket := range c.recordedShimSockets() {
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	// Shims that died before this containerd was started are in no record any more. A socket without a listener is of
	// no use to anybody, unless its owner is about to listen.
	sockets, err := filepath.Glob(filepath.Join(shimSockets, "*"))
	problems = append(problems, err)
	for _, socket := range sockets {
		if info, err := os.Stat(socket); err == nil && time.Since(info.ModTime()) > 5*time.Second {
			problems = append(problems, removeDead(socket))
		}
	}
	return errors.Join(problems...)
}

// recordedShimSockets reads the names of the sockets from the containers' own folders. Those of one pod share a shim and
// name the same socket.
func (c *Cluster) recordedShimSockets() []string {
	files, _ := filepath.Glob(c.place.Path("run", "io.containerd.runtime.v2.task", "k8s.io", "*", "address"))
	var sockets []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		address, err := url.Parse(strings.TrimSpace(string(content)))
		if err == nil && filepath.Dir(address.Path) == shimSockets {
			sockets = append(sockets, address.Path)
		}
	}
	return sockets
}

// removeDead removes a socket to which nobody listens.
func removeDead(socket string) error {
	connection, err := net.Dial("unix", socket)
	if err == nil {
		return connection.Close()
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(socket)
	}
	return nil // it is not there, or not a socket
}
