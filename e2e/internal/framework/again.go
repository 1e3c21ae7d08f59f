//go:build e2e

package framework

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"inpod.dev/inpod/internal/patience"
)

// againFor bounds how long a request is repeated that the machine, and not the cluster, has refused.
const againFor = patience.Usual

// again repeats what may be repeated: a GET that reached nobody. A busy API server closes connections, and its proxy
// refuses a request to a pod whose port does not listen yet, or to a node that answers late.
type again struct{ next http.RoundTripper }

func repeating(next http.RoundTripper) http.RoundTripper { return again{next} }

func (a again) RoundTrip(request *http.Request) (*http.Response, error) {
	// What upgrades the connection is no GET that could be sent twice.
	if request.Method != http.MethodGet || request.Header.Get("Upgrade") != "" {
		return a.next.RoundTrip(request)
	}
	var response *http.Response
	err := repeat(request.Context(), func() (bool, error) {
		if response != nil {
			_ = response.Body.Close()
		}
		var err error
		if response, err = a.next.RoundTrip(request); err != nil { //nolint:bodyclose // the caller closes the last one, the line above the others
			return unreached(err), err
		}
		return refusedByProxy(request.URL, response), nil
	})
	return response, err
}

// repeat does something until it need not be repeated, with pauses, or time is up. The error is the last one.
func repeat(ctx context.Context, try func() (repeat bool, err error)) error {
	ctx, cancel := patience.Context(ctx, againFor)
	defer cancel()
	pause := 100 * time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		more, err := try()
		if !more {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-timer.C:
			pause = min(2*pause, 2*time.Second)
			timer.Reset(pause)
		}
	}
}

// unreached reports whether an error is the network's.
func unreached(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if network, ok := errors.AsType[net.Error](err); ok && network.Timeout() {
		return true
	}
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "connection lost") || strings.Contains(err.Error(), "GOAWAY")
}

// refusedByProxy reports whether the API server itself says that it did not reach the pod or the node that it was to ask.
// What the pod says, with whatever status, is its answer.
func refusedByProxy(about *url.URL, response *http.Response) bool {
	if response.StatusCode < http.StatusInternalServerError || !strings.Contains(about.Path, "/pods/") {
		return false
	}
	const enough = 64 << 10
	text, err := io.ReadAll(io.LimitReader(response.Body, enough))
	rest := response.Body
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text), rest), rest}
	if err != nil {
		return false // the caller gets the error where the text ends
	}
	for _, words := range []string{"error trying to reach service", "dial tcp", "dialing backend", "connection refused", "i/o timeout", "TLS handshake timeout"} {
		if bytes.Contains(text, []byte(words)) {
			return true
		}
	}
	return false
}
