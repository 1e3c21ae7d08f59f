//go:build e2e

package framework

import (
	"context"
	"net"
	"net/url"
	"sync/atomic"
)

// Silent is a port that accepts connections and says nothing: a webhook behind it takes as long as its timeout.
type Silent struct {
	// URL is where the API server reaches it.
	URL string

	listener net.Listener
	asked    atomic.Int32
	end      context.CancelFunc
}

// ListenSilently opens such a port on the address of this machine that the API server can reach.
func (c *Cluster) ListenSilently(ctx context.Context) (*Silent, error) {
	address, err := c.reachable(ctx)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return nil, err
	}
	open, end := context.WithCancel(ctx)
	s := &Silent{URL: "https://" + listener.Addr().String(), listener: listener, end: end}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			s.asked.Add(1)
			context.AfterFunc(open, func() { _ = connection.Close() })
		}
	}()
	return s, nil
}

// Asked is how many connections there were.
func (s *Silent) Asked() int { return int(s.asked.Load()) }

// Close ends it, and all connections.
func (s *Silent) Close() {
	_ = s.listener.Close()
	s.end()
}

// reachable is the address of this machine that the API server can reach, if any.
func (c *Cluster) reachable(ctx context.Context) (string, error) {
	host, err := url.Parse(c.Config.Host)
	if err != nil {
		return "", err
	}
	// Nothing is sent: the kernel only says from which address it would be.
	connection, err := (&net.Dialer{}).DialContext(ctx, "udp", net.JoinHostPort(host.Hostname(), "9"))
	if err != nil {
		return "", err
	}
	defer func() { _ = connection.Close() }()
	address, _, err := net.SplitHostPort(connection.LocalAddr().String())
	return address, err
}
