package inplace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	wire "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/websocket"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"inpod.dev/inpod/controller/internal/observe"
)

const (
	// forwardTimeout bounds one question through the API server.
	forwardTimeout = 4 * time.Second
	// forwards is how many questions go through the API server at the same time. Each has a connection of its own there and
	// one at a kubelet; where every one of them hangs, a place is free every 60 ms.
	forwards = 64
)

// Forward reaches sidecars by port-forwards through the API server and the kubelets, which no NetworkPolicy and no mesh stops:
// what arrives comes from within the pod. It needs the right to get and create pods/portforward, and Kubernetes 1.31.
func Forward(config *rest.Config, api rest.Interface) Way {
	f := &forwarder{config: config, api: api}
	return Way{
		dial: f.dial, admit: newPlaces(forwards).admit,
		place:   placeForward,
		advice:  func(observe.Pod) string { return adviceForward },
		timeout: forwardTimeout,
	}
}

type forwarder struct {
	config *rest.Config
	api    rest.Interface
}

// dial opens a port-forward of its own for one connection. All of it ends with ctx or with the connection.
func (f *forwarder) dial(ctx context.Context, pod observe.Pod) (net.Conn, error) {
	url := f.api.Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	transport, holder, err := websocket.RoundTripperFor(f.config)
	if err != nil {
		return nil, fmt.Errorf("preparing a port-forward: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("preparing a port-forward: %w", err)
	}
	socket, err := websocket.Negotiate(transport, holder, request, wire.WebsocketsSPDYTunnelingPortForwardV1)
	if err != nil {
		return nil, refusal(err)
	}
	tunnel := portforward.NewTunnelingConnection("inpod", socket)
	stop := context.AfterFunc(ctx, func() { _ = tunnel.Close() })
	connection, err := spdy.NewClientConnection(tunnel)
	if err != nil {
		stop()
		_ = tunnel.Close()
		return nil, fmt.Errorf("opening a port-forward: %w", err)
	}
	forwarded, err := connect(connection, pod.Port)
	if err != nil {
		stop()
		_ = connection.Close()
		return nil, fmt.Errorf("opening a port-forward: %w", err)
	}
	forwarded.Conn, forwarded.stop = tunnel, stop
	return forwarded, nil
}

// saidError is what the API server or a kubelet says in the place of a port-forward, in its own words.
type saidError string

func (e saidError) Error() string { return string(e) }

// refusal is what the API server says instead of opening a port-forward.
func refusal(err error) error {
	upgrade, ok := errors.AsType[*httpstream.UpgradeFailureError](err)
	if !ok {
		return err
	}
	return saidError(ofAPIServer + upgrade.Cause.Error())
}

// connect has the kubelet connect to a port of the pod.
func connect(connection httpstream.Connection, port int32) (*forwarded, error) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(int(port)))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	faults, err := connection.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	if err := faults.Close(); err != nil { // nothing is written to it
		return nil, err
	}
	f := &forwarded{connection: connection, fault: make(chan string, 1)}
	go func() { // ends with the connection
		const enough = 1 << 10
		said, _ := io.ReadAll(io.LimitReader(faults, enough))
		f.fault <- string(bytes.TrimSpace(said))
	}()
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	if f.data, err = connection.CreateStream(headers); err != nil {
		return nil, f.because(err) // a kubelet that cannot connect may end the stream before it has answered it
	}
	return f, nil
}

// forwarded is a connection through a port-forward.
type forwarded struct {
	net.Conn // the tunnel: its addresses

	connection httpstream.Connection
	data       httpstream.Stream
	fault      chan string // what the kubelet says when it cannot connect
	heard      atomic.Bool
	stop       func() bool
}

// faultWait is how long the words of the kubelet may take after the end of the data.
const faultWait = time.Second

// Read reads what the sidecar sends.
func (f *forwarded) Read(p []byte) (int, error) {
	n, err := f.data.Read(p)
	if n > 0 {
		f.heard.Store(true)
	}
	return n, f.because(err)
}

func (f *forwarded) Write(p []byte) (int, error) {
	n, err := f.data.Write(p)
	return n, f.because(err)
}

// because returns the words of the kubelet for an error that came before anything was heard of the sidecar.
func (f *forwarded) because(err error) error {
	if err == nil || f.heard.Load() {
		return err
	}
	timer := time.NewTimer(faultWait)
	defer timer.Stop()
	select {
	case said := <-f.fault:
		f.fault <- said // for whoever else asks
		switch {
		case strings.Contains(said, "connection refused"):
			return saidError(refusedInPod)
		case said != "":
			return saidError(ofKubelet + said)
		}
	case <-timer.C:
	}
	return err
}

func (f *forwarded) Close() error {
	f.stop()
	return f.connection.Close()
}

// SetDeadline does nothing, as the two below: closing the connection ends what is under way.
func (f *forwarded) SetDeadline(time.Time) error      { return nil }
func (f *forwarded) SetReadDeadline(time.Time) error  { return nil }
func (f *forwarded) SetWriteDeadline(time.Time) error { return nil }
