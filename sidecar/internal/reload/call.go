package reload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"inpod.dev/inpod/internal/reloadspec"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/file"
)

// call is a request in progress. Its end is awaited as long as a caller asks for it: a server that takes its time
// would break off a reload when nobody is there to hear the answer, or do it once more when asked again.
type call struct {
	done    chan struct{}
	outcome agent.Outcome // once done is closed
	// moved says that the request got further, and for how long to wait from there.
	moved chan time.Duration
}

// begin sends the request.
func (e *Endpoint) begin(ctx context.Context) *call {
	c := &call{done: make(chan struct{}), moved: make(chan time.Duration, 1)}
	go func() {
		defer close(c.done)
		ctx, cancel := context.WithTimeout(ctx, agent.LateEnd)
		defer cancel()
		c.outcome = e.exchange(ctx, c.progress)
	}()
	return c
}

func (c *call) progress(patience time.Duration) {
	select {
	case <-c.moved: // only the newest counts
	default:
	}
	c.moved <- patience
}

// wait waits for the answer, for patience from the moment at which the request got as far as it did.
func (c *call) wait(ctx context.Context, patience time.Duration) (outcome agent.Outcome, ended bool) {
	timer := time.NewTimer(patience + maxPause)
	defer timer.Stop()
	for {
		select {
		case <-c.done:
			return c.outcome, true
		case patience := <-c.moved:
			timer.Reset(patience)
		case <-timer.C:
			return agent.Outcome{}, false
		case <-ctx.Done():
			return agent.Outcome{}, false
		}
	}
}

// ended reports whether the answer has come.
func (c *call) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Call makes the request and waits for the answer: a good status is Applied, a refusal of the content Rejected, what
// did not reach the reload at all Failed, and Late a request without an answer, when it is not known what came of it.
func (e *Endpoint) Call(ctx context.Context) agent.Outcome {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if outcome, ended := e.begin(ctx).wait(ctx, e.Timeout); ended {
		return outcome
	}
	return e.unanswered()
}

func (e *Endpoint) unanswered() agent.Outcome {
	return agent.Outcome{Result: agent.Late, Triggered: true, Message: fmt.Sprintf("%s: no answer within %s; it is not sent again", e, e.Timeout)}
}

// exchange sends the request and judges the answer.
func (e *Endpoint) exchange(ctx context.Context, progress func(time.Duration)) agent.Outcome {
	out, _ := e.check(ctx, progress)
	return out
}

// check is exchange, and reports besides whether the server does not answer to this caller (401, 403).
func (e *Endpoint) check(ctx context.Context, progress func(time.Duration)) (out agent.Outcome, denied bool) {
	response, sent, err := e.send(ctx, progress)
	if err != nil {
		message := fmt.Sprintf("%s: %v", e, unwrapURL(err))
		if sent {
			return agent.Outcome{
				Result: agent.Late, Triggered: true, Message: message + ": the request was sent, and its result is not known",
			}, false
		}
		return agent.Outcome{Result: agent.Failed, Message: message}, false
	}
	defer func() { _ = response.Body.Close() }()
	out = e.judge(response)
	out.Triggered = true
	return out, refusedCaller(response)
}

func (e *Endpoint) judge(response *http.Response) agent.Outcome {
	text := readAnswer(response.Body)
	if e.Status.Contain(response.StatusCode) {
		return agent.Outcome{Result: agent.Applied, Proof: proofAnswer}
	}
	// The text of the status line is the server's, which may say anything.
	message := fmt.Sprintf("%s: %d %s", e, response.StatusCode, http.StatusText(response.StatusCode))
	if said := quote(text); said != "" {
		message += ": " + said
	}
	switch response.StatusCode {
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusInternalServerError:
		return agent.Outcome{Result: agent.Rejected, Proof: proofAnswer, Message: message}
	}
	return agent.Outcome{Result: agent.Failed, Message: message}
}

// send makes the request, and once more with the headers that were accepted last where the server does not accept those
// of now: a password and the file in which the server looks for it change together, and the server may not have read
// that yet. sent reports, of an error, whether the server may have seen the request.
func (e *Endpoint) send(ctx context.Context, progress func(time.Duration)) (response *http.Response, sent bool, err error) {
	headers, err := e.fromFiles()
	if err != nil {
		return nil, false, err
	}
	response, sent, err = e.once(ctx, headers, progress)
	if err != nil {
		return nil, sent, err
	}
	if former := e.Accepted.other(e.HeaderFiles, headers); former != nil && refusedCaller(response) {
		_ = response.Body.Close()
		headers = former
		if response, sent, err = e.once(ctx, headers, progress); err != nil {
			return nil, sent, err
		}
	}
	if !refusedCaller(response) {
		e.Accepted.remember(e.HeaderFiles, headers)
	}
	return response, false, nil
}

func refusedCaller(response *http.Response) bool {
	return response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden
}

func (e *Endpoint) once(ctx context.Context, headers map[string]string, progress func(time.Duration)) (*http.Response, bool, error) {
	var sent atomic.Bool
	client, target, err := e.client(&sent, progress)
	if err != nil {
		return nil, false, err
	}
	// From here on the server may see it.
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { sent.Store(false) }, // a further attempt
		GotConn:      func(httptrace.GotConnInfo) { progress(e.Timeout) },
		WroteHeaders: func() { sent.Store(true) },
	})
	request, err := e.request(ctx, target, headers)
	if err != nil {
		return nil, false, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, sent.Load(), notOurs(unwrapURL(err))
	}
	return response, false, nil
}

// notOurs encloses the words of an error that may quote what the other side sent, such as a line that is no HTTP.
func notOurs(err error) error {
	if known(err) || quote(err.Error()) == "" {
		return err
	}
	return foreign{err}
}

// foreign is an error whose text may come from another program.
type foreign struct{ error }

func (f foreign) Error() string { return quote(f.error.Error()) }
func (f foreign) Unwrap() error { return f.error }

// known reports whether an error is of the kernel, of TLS or of a clock, none of which quote content.
func known(err error) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if slow, ok := errors.AsType[net.Error](err); ok && slow.Timeout() {
		return true
	}
	for _, plain := range []error{context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, http.ErrSchemeMismatch} {
		if errors.Is(err, plain) {
			return true
		}
	}
	return false
}

// client makes a client of its own for each call: reloads are rare, and idle connections and their buffers are not
// free in a program of a few megabytes.
func (e *Endpoint) client(sent *atomic.Bool, progress func(time.Duration)) (client *retryablehttp.Client, target string, err error) {
	// A connection serves one request, whose time is bounded: probes would find nothing that the bound does not.
	dialer := &net.Dialer{Timeout: e.Timeout, KeepAlive: -1}
	transport := &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, DialContext: dialer.DialContext,
		TLSHandshakeTimeout: e.Timeout,
	}
	target = e.URL
	if socket, path, ok := reloadspec.SplitUnix(e.URL); ok {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
		target = "http://localhost" + path
	}
	transport.TLSClientConfig.InsecureSkipVerify = e.SkipVerify
	if e.CAFile != "" {
		pem, err := file.Read(e.CAFile)
		if err != nil {
			return nil, "", fmt.Errorf("read the CA: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, "", fmt.Errorf("no certificate in %s", e.CAFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport: transport,
			// A redirect is an answer to be judged: following it would send headers and body elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax: max(0, e.Attempts-1), RetryWaitMin: 250 * time.Millisecond, RetryWaitMax: maxPause,
		CheckRetry: func(ctx context.Context, response *http.Response, err error) (bool, error) {
			return worthRetry(ctx, response, err, sent.Load())
		},
		Backoff: func(least, most time.Duration, attempt int, response *http.Response) time.Duration {
			wait := pause(least, most, attempt, response)
			progress(wait + 2*e.Timeout) // to connect, and from then on for the answer
			return wait
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}, target, nil
}

// maxPause is the longest time between two attempts.
const maxPause = 2 * time.Second

// pause is the time before the next attempt. A server may ask for more of it (Retry-After) than a reload can wait.
func pause(least, most time.Duration, attempt int, response *http.Response) time.Duration {
	return min(retryablehttp.DefaultBackoff(least, most, attempt, response), maxPause)
}

// worthRetry retries what surely did not reach the server and may in a moment, and what a busy server did not take. A 500
// is an answer: most servers give it for a bad file.
func worthRetry(ctx context.Context, response *http.Response, err error, sent bool) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
		return !untrusted && !sent, nil
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, nil
	}
	return false, nil
}

// get reads a page, within Timeout.
func (e *Endpoint) get(ctx context.Context) (text []byte, status int, err error) {
	const limit = 8 << 20
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	response, _, err := e.send(ctx, func(time.Duration) {})
	if err != nil {
		return nil, 0, unwrapURL(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err = io.ReadAll(io.LimitReader(response.Body, limit))
	return text, response.StatusCode, err
}
