// Package forward carries TCP connections into the cluster's network namespace.
//
// A socket belongs to the namespace in which it was made, whoever uses it. So the listener is made outside, on the
// loopback device of the machine, and handed to a process that was started inside: what that process dials, it dials
// there. No thread ever changes its namespace.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Listen opens the outer side on the given port, or on any free port if that one is taken.
func Listen(ctx context.Context, port string) (*os.File, string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		listener, err = config.Listen(ctx, "tcp4", "127.0.0.1:0")
	}
	if err != nil {
		return nil, "", err
	}
	defer listener.Close()
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return nil, "", fmt.Errorf("%s is not a TCP address", listener.Addr())
	}
	file, err := tcp.File()
	if err != nil {
		return nil, "", err
	}
	_, port, err = net.SplitHostPort(listener.Addr().String())
	return file, port, err
}

// Serve forwards every connection that a listener accepts to a target, until the listener fails.
func Serve(listener net.Listener, target string) error {
	for {
		outer, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// Out of descriptors, for example: it will pass.
			fmt.Fprintln(os.Stderr, "accept:", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go connect(outer, target)
	}
}

func connect(outer net.Conn, target string) {
	defer outer.Close()
	inner, err := (&net.Dialer{Timeout: 30 * time.Second}).Dial("tcp", target)
	if err != nil {
		fmt.Fprintln(os.Stderr, "dial:", err)
		return
	}
	defer inner.Close()
	ended := make(chan struct{}, 2)
	go pipe(inner, outer, ended)
	go pipe(outer, inner, ended)
	<-ended
	<-ended
}

// pipe copies one direction and passes on its end, but not the end of the other direction: exec sends output after its
// input ended.
func pipe(to, from net.Conn, ended chan<- struct{}) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
	} else {
		_ = to.Close()
		_ = from.Close()
	}
	ended <- struct{}{}
}
