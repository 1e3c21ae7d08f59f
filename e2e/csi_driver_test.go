//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	wire "encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/patience"
)

// driver takes the place of the secrets-store CSI driver, without a vault: it gives each pod a volume with one file, and writes
// another version of it when it is asked to. It is served by the test itself, on sockets where the kubelet looks for drivers.
type driver struct {
	t *testing.T

	mu      sync.Mutex
	page    string            // what a pod that starts gets
	targets map[string]string // the folders of pods, by their names
	writes  int
}

const driverName = "secrets-store.csi.k8s.io"

// kubeletRoot is the folder of the kubelet that runs on this machine.
func kubeletRoot(t *testing.T) string {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		text, _ := os.ReadFile(line)
		args := strings.Split(string(text), "\x00")
		if len(args) < 2 || args[1] != "kubelet" && filepath.Base(args[0]) != "kubelet" {
			continue
		}
		for _, arg := range args {
			if root, ok := strings.CutPrefix(arg, "--root-dir="); ok && os.Geteuid() == 0 {
				return root
			}
		}
	}
	t.Skip("a driver can be served only where the kubelet runs on this machine, and by root")
	return ""
}

// startDriver registers the driver with the cluster and the kubelet. It comes before the space whose pods use it, so that it is
// there when their volumes are taken away.
func startDriver(t *testing.T, page string) *driver {
	t.Helper()
	root := kubeletRoot(t)
	d := &driver{t: t, page: page, targets: map[string]string{}}
	drivers := suite.cluster.Custom(schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "csidrivers"}, "")
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"attachRequired": false, "podInfoOnMount": true, "volumeLifecycleModes": []any{"Ephemeral"},
	}}}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "storage.k8s.io", Version: "v1", Kind: "CSIDriver"})
	u.SetName(driverName)
	_ = drivers.Delete(t.Context(), driverName, metav1.DeleteOptions{}) // that of a run which was killed
	if _, err := drivers.Create(t.Context(), u, metav1.CreateOptions{FieldManager: framework.FieldManager}); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(root, "plugins", driverName)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(drivers.Delete(context.WithoutCancel(t.Context()), driverName, metav1.DeleteOptions{}), os.RemoveAll(folder)); err != nil {
			t.Error(err)
		}
	})
	socket := filepath.Join(folder, "csi.sock")
	d.serve(socket)
	d.serveRegistration(filepath.Join(root, "plugins_registry", driverName+"-reg.sock"), socket)
	t.Cleanup(func() {
		ctx, cancel := patience.Context(context.WithoutCancel(t.Context()), cleanLimit)
		defer cancel()
		if !patience.Until(ctx, func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return len(d.targets) == 0
		}) {
			t.Errorf("waited for the kubelet to take all volumes away: %v", context.Cause(ctx))
		}
	})
	return d
}

// rpc answers one question; the reply is that of the service, as it is on the wire.
type rpc func(request []byte) (reply []byte, err error)

// listen serves gRPC on a socket until the test ends. It needs no more of it than one question and one answer at a time.
func (d *driver) listen(socket string, methods map[string]rpc) {
	d.t.Helper()
	_ = os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		d.t.Fatal(err)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: &protocols, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const prefix = 5
		status, message := "12", "not implemented"
		body, err := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		if method, ok := methods[r.URL.Path]; ok && err == nil && len(body) >= prefix {
			status, message = "0", ""
			reply, err := method(body[prefix:])
			if err != nil {
				status, message = "13", err.Error()
			}
			w.WriteHeader(http.StatusOK)
			head := wire.BigEndian.AppendUint32([]byte{0}, uint32(len(reply)))
			_, _ = w.Write(append(head, reply...))
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", message)
	})}
	go func() { _ = server.Serve(listener) }()
	d.t.Cleanup(func() { _ = server.Close(); _ = os.Remove(socket) })
}

func (d *driver) serve(socket string) {
	empty := func([]byte) ([]byte, error) { return nil, nil }
	d.listen(socket, map[string]rpc{
		"/csi.v1.Identity/GetPluginInfo":         func([]byte) ([]byte, error) { return field(2, "1", field(1, driverName, nil)), nil },
		"/csi.v1.Identity/GetPluginCapabilities": empty,
		"/csi.v1.Identity/Probe":                 empty,
		"/csi.v1.Node/NodeGetInfo":               func([]byte) ([]byte, error) { return field(1, "node", nil), nil },
		"/csi.v1.Node/NodeGetCapabilities":       empty,
		"/csi.v1.Node/NodePublishVolume": func(request []byte) ([]byte, error) {
			const target, context = 4, 8
			at, pod := "", ""
			each(request, func(number int, value []byte) {
				switch number {
				case target:
					at = string(value)
				case context:
					var pair [3]string
					each(value, func(number int, value []byte) { pair[number] = string(value) })
					if pair[1] == "csi.storage.k8s.io/pod.name" {
						pod = pair[2]
					}
				}
			})
			return nil, d.publish(pod, at)
		},
		"/csi.v1.Node/NodeUnpublishVolume": func(request []byte) ([]byte, error) {
			const target = 2
			at := ""
			each(request, func(number int, value []byte) {
				if number == target {
					at = string(value)
				}
			})
			if !strings.Contains(at, "/kubernetes.io~csi/") {
				return nil, fmt.Errorf("%q is no volume", at)
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			maps.DeleteFunc(d.targets, func(_, target string) bool { return target == at })
			return nil, os.RemoveAll(at)
		},
	})
}

func (d *driver) serveRegistration(socket, endpoint string) {
	d.listen(socket, map[string]rpc{
		"/pluginregistration.Registration/GetInfo": func([]byte) ([]byte, error) {
			return field(4, "1.0.0", field(3, endpoint, field(2, driverName, field(1, "CSIPlugin", nil)))), nil
		},
		"/pluginregistration.Registration/NotifyRegistrationStatus": func([]byte) ([]byte, error) { return nil, nil },
	})
}

// field is text as a field of a message, with what comes before it.
func field(number int, text string, before []byte) []byte {
	const bytesType = 2
	out := wire.AppendUvarint(before, uint64(number<<3|bytesType))
	return append(wire.AppendUvarint(out, uint64(len(text))), text...)
}

// each gives the fields of a message that are bytes.
func each(message []byte, do func(number int, value []byte)) {
	const varint, bytesType = 0, 2
	in := bytes.NewReader(message)
	for {
		tag, err := wire.ReadUvarint(in)
		if err != nil {
			return
		}
		size, err := wire.ReadUvarint(in)
		switch tag & 7 {
		case varint:
		case bytesType:
			value := make([]byte, size)
			if _, err := io.ReadFull(in, value); err != nil {
				return
			}
			do(int(tag>>3), value)
		default:
			return
		}
		if err != nil {
			return
		}
	}
}

// publish gives a pod its volume.
func (d *driver) publish(pod, at string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	d.targets[pod] = at
	return d.write(at, d.page)
}

// brings writes another version into the volume of a pod, as the driver does before it says so.
func (d *driver) brings(pod, page string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.page = page
	at, ok := d.targets[pod]
	if !ok {
		d.t.Fatalf("pod %s has no volume", pod)
	}
	if err := d.write(at, page); err != nil {
		d.t.Fatal(err)
	}
}

// write replaces the files as a whole, as the driver does.
func (d *driver) write(at, page string) error {
	d.writes++
	version := fmt.Sprintf("..%d", d.writes)
	if err := os.Mkdir(filepath.Join(at, version), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(at, version, "page.conf"), []byte(page), 0o644); err != nil {
		return err
	}
	next := filepath.Join(at, "..next")
	if err := os.Symlink(version, next); err != nil {
		return err
	}
	if err := os.Rename(next, filepath.Join(at, "..data")); err != nil {
		return err
	}
	err := os.Symlink(filepath.Join("..data", "page.conf"), filepath.Join(at, "page.conf"))
	if os.IsExist(err) {
		return nil
	}
	return err
}
