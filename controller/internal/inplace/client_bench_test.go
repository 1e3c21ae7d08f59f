package inplace_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"inpod.dev/inpod/controller/internal/inplace"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/sidecarapi"
)

// BenchmarkStatus asks one sidecar after the other, over TCP; what the sidecar itself takes is in the figure.
func BenchmarkStatus(b *testing.B) {
	digestKey := make([]byte, 32)
	public, err := sidecarapi.PublicKey(digestKey)
	if err != nil {
		b.Fatal(err)
	}
	key, err := sidecarapi.ParseKey(public)
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		request, err := sidecarapi.ParseRequest(body)
		if err != nil {
			b.Error(err)
		}
		reply, err := key.Encrypt(request.Nonce, sidecarapi.Response{Result: sidecarapi.Applied, Files: map[string]string{"/etc/app/key": ""}, At: time.Now()})
		if err != nil {
			b.Error(err)
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(reply)
	}))
	defer server.Close()
	host, text, _ := net.SplitHostPort(server.Listener.Addr().String())
	port, _ := strconv.ParseInt(text, 10, 32)
	client := inplace.NewAsker(digestKey, inplace.Direct("inpod"))
	pod := observe.Pod{Namespace: "shop", Name: "web-1", Address: host, Port: int32(port)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Status(b.Context(), pod, inplace.Question{Files: map[string]string{"/etc/app/key": ""}}); err != nil {
			b.Fatal(err)
		}
	}
}
