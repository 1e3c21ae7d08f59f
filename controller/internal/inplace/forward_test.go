package inplace_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	wire "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"inpod.dev/inpod/controller/internal/inplace"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/sidecarapi"
)

// forwards is a way through an API server that forwards to the pod what it gets, as the real one does.
func forwards(t *testing.T, server http.Handler) inplace.Way {
	t.Helper()
	api := httptest.NewServer(server)
	t.Cleanup(api.Close)
	config := &rest.Config{Host: api.URL, BearerToken: "token-of-the-controller"}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return inplace.Forward(config, client.CoreV1().RESTClient())
}

// apiServer upgrades what is asked for as the real one does, and connects streams with the port of a pod. What the kubelet says
// of a port is sent on the stream for errors.
func apiServer(t *testing.T, address string, said string) http.Handler {
	t.Helper()
	return websocket.Server{
		Handshake: func(config *websocket.Config, r *http.Request) error {
			if r.URL.Path != "/api/v1/namespaces/shop/pods/web-0/portforward" || r.Header.Get("Authorization") != "Bearer token-of-the-controller" {
				t.Errorf("asked for %s as %q", r.URL.Path, r.Header.Get("Authorization"))
			}
			config.Protocol = []string{wire.WebsocketsSPDYTunnelingPortForwardV1}
			return nil
		},
		Handler: func(socket *websocket.Conn) {
			socket.PayloadType = websocket.BinaryFrame
			faults := make(chan httpstream.Stream, 1)
			connection, err := spdy.NewServerConnection(socket, func(stream httpstream.Stream, _ <-chan struct{}) error {
				if stream.Headers().Get(corev1.PortHeader) != "27467" {
					t.Errorf("port %q", stream.Headers().Get(corev1.PortHeader))
				}
				if stream.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
					faults <- stream
					return nil
				}
				go serveStream(stream, <-faults, address, said)
				return nil
			})
			if err != nil {
				t.Error(err)
				return
			}
			<-connection.CloseChan()
		},
	}
}

func serveStream(data, faults httpstream.Stream, address, said string) {
	defer func() { _ = data.Reset() }()
	defer func() { _ = faults.Close() }()
	if said != "" {
		_, _ = io.WriteString(faults, said)
		return
	}
	pod, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = pod.Close() }()
	go func() { _, _ = io.Copy(pod, data) }()
	_, _ = io.Copy(data, pod)
}

// forwardedPod is a pod whose address leads nowhere.
func forwardedPod() observe.Pod {
	return observe.Pod{Namespace: "shop", Name: "web-0", UID: "uid-0", Address: "192.0.2.1", Port: 27467}
}

func TestAskingThroughTheAPIServer(t *testing.T) {
	t.Parallel()
	there := podAt(t, sidecar(t, key(1), allNew))
	address := net.JoinHostPort(there.Address, strconv.Itoa(int(there.Port)))
	for name, n := range map[string]int{"one question": 1, "several": sidecarapi.MaxFiles + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asker := inplace.NewAsker(key(1), forwards(t, apiServer(t, address, "")))
			reply, err := asker.Status(t.Context(), forwardedPod(), files(n))
			if err != nil || reply.Result != sidecarapi.Applied || len(reply.Files) != n {
				t.Errorf("%s about %d files, %v; want applied about %d", reply.Result, len(reply.Files), err, n)
			}
		})
	}
	t.Run("directly first", func(t *testing.T) {
		t.Parallel()
		var forwarded atomic.Int32
		counting := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			forwarded.Add(1)
			apiServer(t, address, "").ServeHTTP(w, r)
		})
		asker := inplace.NewAsker(key(1), inplace.Direct("inpod-system"), forwards(t, counting))
		if reply, err := asker.Status(t.Context(), there, files(1)); err != nil || reply.Result != sidecarapi.Applied || forwarded.Load() > 0 {
			t.Errorf("%s, %v, %d port-forwards; want applied without one", reply.Result, err, forwarded.Load())
		}
		closed := forwardedPod()
		closed.Address = "127.0.0.1" // where nobody listens on that port
		if reply, err := asker.Status(t.Context(), closed, files(1)); err != nil || reply.Result != sidecarapi.Applied || forwarded.Load() != 1 {
			t.Errorf("%s, %v, %d port-forwards; want applied by one", reply.Result, err, forwarded.Load())
		}
	})
}

func TestAPortForwardThatDoesNotWork(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web-0",
		errors.New(`User "inpod" cannot create resource "pods/portforward" in API group "" in the namespace "shop"`))
	for name, c := range map[string]struct {
		server http.Handler
		want   string
	}{
		"the right is missing": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			status := forbidden.Status()
			status.Kind, status.APIVersion = "Status", "v1"
			_ = json.NewEncoder(w).Encode(status)
		}), `cannot create resource "pods/portforward"`},
		"the API server does not know it": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "you must use SPDY", http.StatusBadRequest)
		}), "400 Bad Request"},
		"nobody listens in the pod": {
			apiServer(t, "", `error forwarding port 27467 to pod x, uid : dial tcp4 127.0.0.1:27467: connect: connection refused`),
			"connection refused in the pod",
		},
		"the pod is gone":          {apiServer(t, "", "pod not found"), "the kubelet says: pod not found"},
		"the kubelet says nothing": {apiServer(t, "127.0.0.1:1", ""), "web-0"},
		"the API server hangs":     {http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), "no answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := inplace.NewAsker(key(1), forwards(t, c.server)).Status(t.Context(), forwardedPod(), files(1))
			t.Log(err)
			if !isUnreachable(err) || name != "the kubelet says nothing" && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error: %v, want that it is unreachable, with %q", err, c.want)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}
