package inplace

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/sidecarapi"
)

// Way is a way by which sidecars are reached.
type Way struct {
	// dial connects to the sidecar of a pod.
	dial func(ctx context.Context, pod observe.Pod) (net.Conn, error)
	// admit waits for a place where only so many may be under way, and returns what gives it back; nil for no limit.
	admit func(ctx context.Context, pod observe.Pod) (leave func(), err error)
	// place and advice are those of an [UnreachableError].
	place, advice func(pod observe.Pod) string
	// timeout bounds one question, the time in admit not included.
	timeout time.Duration
}

// directs is how many questions go to the addresses of pods at the same time. One that hangs takes some 50 KB for [askTimeout].
const directs = questionsAtOnce + nudgesAtOnce

// Direct connects to the address of the pod. home is the namespace of the controller, which an advice names.
func Direct(home string) Way {
	dialer := &net.Dialer{Timeout: askTimeout}
	return Way{
		admit: newPlaces(directs).admit,
		dial: func(ctx context.Context, pod observe.Pod) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address(pod))
		},
		place:   placeDirect,
		advice:  func(pod observe.Pod) string { return adviceDirect(pod, home) },
		timeout: askTimeout,
	}
}

func address(pod observe.Pod) string {
	return net.JoinHostPort(pod.Address, strconv.Itoa(int(pod.Port)))
}

// slowly returns the way with a function that is called once when it has not connected within [headStart].
func (w Way) slowly(late func()) Way {
	dial := w.dial
	w.dial = func(ctx context.Context, pod observe.Pod) (net.Conn, error) {
		timer := time.AfterFunc(headStart, late)
		defer timer.Stop()
		return dial(ctx, pod)
	}
	return w
}

func (w Way) enter(ctx context.Context, pod observe.Pod) (leave func(), err error) {
	if w.admit == nil {
		return func() {}, nil
	}
	return w.admit(ctx, pod)
}

// post sends a question on a connection of its own, which ends with ctx.
func (w Way) post(ctx context.Context, pod observe.Pod, body []byte) (*http.Response, error) {
	client := &http.Client{
		Transport: &http.Transport{ // without a proxy: pods are not reached by one
			// The context that a transport gives does not end with that of the request.
			DialContext:       func(context.Context, string, string) (net.Conn, error) { return w.dial(ctx, pod) },
			DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10, ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address(pod)+sidecarapi.Path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	request.Header.Set("Content-Type", "application/json")
	return client.Do(request)
}

func (w Way) unreachable(pod observe.Pod, why string) *UnreachableError {
	return &UnreachableError{Place: w.place(pod), Why: why, Advice: w.advice(pod)}
}

func (w Way) notUnderstood(pod observe.Pod, e NotUnderstoodError) *NotUnderstoodError {
	e.Place = w.place(pod)
	return &e
}
