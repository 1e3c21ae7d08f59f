package kube

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"
)

func connection(inCluster bool, log *slog.Logger) *Connection {
	return &Connection{Config: &rest.Config{Host: "https://10.0.0.1"}, Origin: "a test", InCluster: inCluster, log: log}
}

func TestInAClusterAnUnreachableServerIsRetriedAndEachErrorIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := connection(true, slog.New(slog.NewTextHandler(&log, nil)))
		begin := time.Now()
		var gaps []time.Duration
		last := begin
		err := c.retry(t.Context(), func(context.Context) error {
			gaps = append(gaps, time.Since(last))
			last = time.Now()
			if len(gaps) < 10 {
				return c.explain(errors.New("connection refused"))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		longest := time.Second
		for i, gap := range gaps[1:] {
			if gap < longest/2 || gap > longest {
				t.Errorf("pause %d took %s, want %s to %s", i+1, gap, longest/2, longest)
			}
			longest = min(2*longest, 30*time.Second)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 9 {
			t.Errorf("%d lines in the log, want one per failure:\n%s", len(lines), log.String())
		}
		for _, want := range []string{"level=WARN", "https://10.0.0.1", "connection refused", "attempt=1", "retryIn="} {
			if !strings.Contains(lines[0], want) {
				t.Errorf("no %s in %s", want, lines[0])
			}
		}
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		begin := time.Now()
		err := connection(true, quiet()).retry(ctx, func(context.Context) error { return errors.New("away") })
		if err == nil || time.Since(begin) != 45*time.Second {
			t.Errorf("await = %v after %s", err, time.Since(begin))
		}
	})
}

func TestEachAttemptHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		c := connection(false, quiet())
		err := c.retry(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return c.explain(ctx.Err())
		})
		if err == nil || !strings.Contains(err.Error(), "no answer within 10s") || time.Since(begin) != attemptTimeout {
			t.Errorf("await = %v after %s", err, time.Since(begin))
		}
	})
}

func TestTheCauseIsReportedWithWhatToCheck(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err       error
		wantHint  string
		wantCause string
	}{
		"no such host": {
			err:      &url.Error{Op: "Get", URL: "https://a/version", Err: &net.DNSError{Err: "no such host", Name: "a"}},
			wantHint: "DNS", wantCause: "lookup a: no such host",
		},
		"DNS does not answer": {
			err:      &url.Error{Op: "Get", URL: "https://a/version", Err: &net.DNSError{Err: "i/o timeout", Name: "a", IsTimeout: true}},
			wantHint: "DNS", wantCause: "lookup a: i/o timeout",
		},
		"the host of the certificate": {
			err:      &url.Error{Op: "Get", URL: "https://a/version", Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a"}},
			wantHint: "certificate authority", wantCause: "x509",
		},
		"anything else loses its URL": {
			err:      &url.Error{Op: "Get", URL: "https://a/version", Err: errors.New("no route to host")},
			wantHint: "network", wantCause: "no route to host",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hint, cause := causeOf(tc.err)
			if !strings.Contains(hint, tc.wantHint) || !strings.HasPrefix(cause.Error(), tc.wantCause) {
				t.Errorf("causeOf = %q, %q; want %q, %q", hint, cause, tc.wantHint, tc.wantCause)
			}
		})
	}
}

func TestARefusalIsAnAnswer(t *testing.T) {
	t.Parallel()
	asked := 0
	err := connection(true, quiet()).retry(t.Context(), func(context.Context) error {
		asked++
		return &MissingPermissionsError{Missing: []Requirement{{Verb: "list", Resource: "secrets"}}}
	})
	if _, denied := errors.AsType[*MissingPermissionsError](err); !denied || asked != 1 {
		t.Errorf("await = %v after %d tries", err, asked)
	}
}
