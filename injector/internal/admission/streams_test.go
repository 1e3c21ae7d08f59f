package admission_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"inpod.dev/inpod/injector/internal/admission"
)

// Connections that hold the largest header and the beginning of a body, from as many addresses as it takes to fill all places,
// stay within the limit of memory, and an address that has none of them is answered.
func TestRequestsThatDoNotEndTakeNoMemoryAndKeepNobodyOut(t *testing.T) {
	const perAddress, addresses = 128, 3
	server := startFlooded(t)
	body, err := json.Marshal(request(asks))
	if err != nil {
		t.Fatal(err)
	}
	beginning := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nX: %s\r\nContent-Length: 3000000\r\n\r\n%s",
		admission.PathPods, strings.Repeat("x", 4000), strings.Repeat(" ", 60<<10))
	for range 3 { // what the server gives up after a while is begun again
		var hogs []net.Conn
		for address := range addresses {
			dialer := tls.Dialer{NetDialer: dialerFrom(fmt.Sprintf("127.0.2.%d", address+1)), Config: &tls.Config{InsecureSkipVerify: true}}
			for range perAddress {
				c, err := dialer.DialContext(t.Context(), "tcp4", "127.0.0.1:"+server.port)
				if err != nil {
					continue // the server takes no more
				}
				hogs = append(hogs, c)
				_, _ = io.WriteString(c, beginning)
			}
		}
		for i := range 20 { // each from a new connection
			if status, answer := send(t.Context(), clientAt(t, "127.0.0.2"), server.port, body, false); status != http.StatusOK || !bytes.Contains(answer, []byte(`"patch"`)) {
				t.Errorf("question %d: %d %s", i, status, answer)
			}
		}
		t.Logf("%d connections, peak memory %.1f MiB", len(hogs), float64(server.peak(t))/(1<<20))
		for _, c := range hogs {
			_ = c.Close()
		}
	}
	if peak := server.peak(t); peak > memoryLimit && !isRace {
		t.Errorf("the server had %d bytes, and the limit of the chart is %d", peak, memoryLimit)
	}
}

// An API server makes a connection for each review that is under way (k8s.io/apiserver/pkg/util/webhook/client.go), and asks once.
func TestManyReviewsAtATimeFromOneAPIServer(t *testing.T) {
	t.Parallel()
	const atATime, rounds = 60, 5
	server := startFlooded(t)
	body, err := json.Marshal(request(asks))
	if err != nil {
		t.Fatal(err)
	}
	client := clientAt(t, "127.0.0.3")
	if transport, ok := client.Transport.(*http.Transport); ok {
		transport.ForceAttemptHTTP2, transport.MaxIdleConnsPerHost = false, 25
	}
	for range rounds {
		var asking sync.WaitGroup
		for range atATime {
			asking.Go(func() {
				if status, answer := send(t.Context(), client, server.port, body, false); status != http.StatusOK || !bytes.Contains(answer, []byte(`"patch"`)) {
					t.Errorf("%d %.200s", status, answer)
				}
			})
		}
		asking.Wait()
	}
}
