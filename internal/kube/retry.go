package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	firstDelay = time.Second
	// longestDelay bounds how late a recovered API server is noticed.
	longestDelay = 30 * time.Second
)

// retry asks until there is an answer. A [*MissingPermissionsError] is an answer. Outside a cluster the first error is returned,
// because a person is waiting; in a cluster an API server that is away comes back.
func (c *Connection) retry(ctx context.Context, ask func(context.Context) error) error {
	for attempt, delay := 1, firstDelay; ; attempt++ {
		err := withTimeout(ctx, ask)
		if _, denied := errors.AsType[*MissingPermissionsError](err); err == nil || denied || !c.InCluster {
			return err
		}
		if ctx.Err() != nil {
			return err
		}
		// Between half of the delay and the whole: replicas that started together do not come back together.
		pause := delay/2 + rand.N(delay/2) //nolint:gosec // a delay is no secret
		c.log.Warn("reaching the API server failed, will retry",
			"error", err, "attempt", attempt, "retryIn", pause.Round(time.Millisecond))
		if !sleep(ctx, pause) {
			return err
		}
		delay = min(2*delay, longestDelay)
	}
}

func withTimeout(ctx context.Context, ask func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return ask(bounded)
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// explain turns an error of the client into one line: the server, the cause without its wrappings, and what to look at.
func (c *Connection) explain(err error) error {
	host := c.Config.Host
	if apierrors.IsUnauthorized(err) {
		return fmt.Errorf("the API server at %s does not accept the credentials from %s (401 Unauthorized): "+
			"they have expired or belong to another cluster: %w", host, c.Origin, err)
	}
	if _, answered := errors.AsType[*apierrors.StatusError](err); answered {
		return fmt.Errorf("the API server at %s answered with an error: %w", host, err)
	}
	hint, cause := causeOf(err)
	return fmt.Errorf("cannot reach the API server at %s (credentials from %s): %w; %s", host, c.Origin, cause, hint)
}

// causeOf unwraps what carries the URL a second time and says what to look at.
func causeOf(err error) (hint string, cause error) {
	cause = err
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		cause = wrapped.Err
	}
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		return "is the host name right, and does DNS work here?", name
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "is the cluster running, and is the address right?", syscall.ECONNREFUSED
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return "does a firewall or NetworkPolicy drop the traffic?", fmt.Errorf("no answer within %s", attemptTimeout)
	}
	if isCertificateError(err) {
		return "the credentials must have the certificate authority of this cluster", cause
	}
	return "check the address and the network", cause
}

func isCertificateError(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.HostnameError](err)
	return ok
}
