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
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/redact"
)

// Endpoint is a URL that is called, and what is expected of it.
type Endpoint struct {
	// Method is POST when empty.
	Method string
	// URL is http, https, or unix:/path/to.sock:/path/in/request.
	URL string
	// Headers are sent as they are. HeaderFiles name files whose content is the value, and BodyFile one whose content
	// is the body; they are read at each call, since they may be what changed.
	Headers     map[string]string
	HeaderFiles map[string]string
	Body        string
	BodyFile    string
	// Status is the list of good answers, "200-299" when empty.
	Status Statuses
	// CAFile verifies an https server; without it the system's do. SkipVerify verifies nothing.
	CAFile     string
	SkipVerify bool
	// Timeout bounds each attempt, Attempts is their number.
	Timeout  time.Duration
	Attempts int
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 4 << 10

// String is for messages; it leaves out what may be a password.
func (e *Endpoint) String() string {
	shown := e.URL
	if u, err := url.Parse(e.URL); err == nil {
		u.RawQuery, u.User = "", nil
		shown = u.String()
	}
	return e.method() + " " + shown
}

func (e *Endpoint) method() string {
	if e.Method == "" {
		return http.MethodPost
	}
	return e.Method
}

// Call makes the request and reads the answer: a good status is Applied, a refusal of the content Rejected, and what
// did not reach the reload at all Failed.
func (e *Endpoint) Call(ctx context.Context) agent.Outcome {
	response, err := e.send(ctx)
	if err != nil {
		return agent.Outcome{Result: agent.Failed, Message: fmt.Sprintf("%s: %v", e, unwrapURL(err))}
	}
	defer func() { _ = response.Body.Close() }()
	text := readAnswer(response.Body)
	if e.Status.contains(response.StatusCode) {
		return agent.Outcome{Result: agent.Applied, Proof: "answer"}
	}
	// The text of the status line is the server's, which may say anything.
	message := fmt.Sprintf("%s: %d %s", e, response.StatusCode, http.StatusText(response.StatusCode))
	if said := quote(text); said != "" {
		message += ": " + said
	}
	switch response.StatusCode {
	case http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusInternalServerError:
		return agent.Outcome{Result: agent.Rejected, Proof: "answer", Message: message}
	}
	return agent.Outcome{Result: agent.Failed, Message: message}
}

// readAnswer reads the beginning of an answer, which ends with a cut where that is not all, or may not be.
func readAnswer(body io.Reader) string {
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil || len(text) == maxAnswer {
		return string(text) + redact.Cut
	}
	return string(text)
}

func (e *Endpoint) send(ctx context.Context) (*http.Response, error) {
	client, target, err := e.client()
	if err != nil {
		return nil, err
	}
	var body any
	switch {
	case e.BodyFile != "":
		text, err := os.ReadFile(e.BodyFile)
		if err != nil {
			return nil, fmt.Errorf("read the body: %w", err)
		}
		body = text
	case e.Body != "":
		body = []byte(e.Body)
	}
	request, err := retryablehttp.NewRequestWithContext(ctx, e.method(), target, body)
	if err != nil {
		return nil, err
	}
	for name, value := range e.Headers {
		request.Header.Set(name, value)
	}
	for name, file := range e.HeaderFiles {
		value, err := os.ReadFile(file) //nolint:gosec // the user names the file
		if err != nil {
			return nil, fmt.Errorf("read header %s: %w", name, err)
		}
		request.Header.Set(name, strings.TrimSpace(string(value)))
	}
	return client.Do(request)
}

// client makes a client of its own for each call: reloads are rare, and idle connections and their buffers are not
// free in a program of a few megabytes.
func (e *Endpoint) client() (client *retryablehttp.Client, target string, err error) {
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	target = e.URL
	if socket, path, ok := unixSocket(e.URL); ok {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
		target = "http://localhost" + path
	}
	transport.TLSClientConfig.InsecureSkipVerify = e.SkipVerify
	if e.CAFile != "" {
		pem, err := os.ReadFile(e.CAFile)
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
			Transport: transport, Timeout: e.Timeout,
			// A redirect is an answer to be judged: following it would send headers and body elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax: max(0, e.Attempts-1), RetryWaitMin: 250 * time.Millisecond, RetryWaitMax: maxPause,
		CheckRetry: worthRetry, Backoff: pause, ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}, target, nil
}

// maxPause is the longest time between two attempts.
const maxPause = 2 * time.Second

// pause is the time before the next attempt. A server may ask for more of it (Retry-After) than a reload can wait.
func pause(least, most time.Duration, attempt int, response *http.Response) time.Duration {
	return min(retryablehttp.DefaultBackoff(least, most, attempt, response), maxPause)
}

// worthRetry retries what may be better in a moment. A 500 is an answer: most servers give it for a bad file.
func worthRetry(ctx context.Context, response *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
		return !untrusted, nil
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, nil
	}
	return false, nil
}

// unixSocket splits unix:/path/to.sock:/path/in/request.
func unixSocket(text string) (socket, path string, ok bool) {
	rest, ok := strings.CutPrefix(text, "unix:")
	if !ok {
		return "", "", false
	}
	rest = "/" + strings.TrimLeft(rest, "/")
	socket, path, _ = strings.Cut(rest, ":")
	if path == "" {
		path = "/"
	}
	return socket, path, true
}

// CheckURL says what is wrong with the text of a URL, nil when nothing is.
func CheckURL(text string) error {
	if socket, path, ok := unixSocket(text); ok {
		if socket == "/" || !strings.HasPrefix(path, "/") {
			return errors.New("want unix:/path/to.sock:/path/in/request")
		}
		return nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return unwrapURL(err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("want http://…, https://… or unix:/path/to.sock:/path/in/request")
	}
	return nil
}

// unwrapURL takes the URL, which may hold a password, out of an error.
func unwrapURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// fetch reads a page of the application for a proof.
func fetch(ctx context.Context, text string) ([]byte, error) {
	const timeout, limit = 2 * time.Second, 8 << 20
	e := Endpoint{URL: text, Method: http.MethodGet, Timeout: timeout}
	response, err := e.send(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", &e, response.StatusCode)
	}
	return io.ReadAll(io.LimitReader(response.Body, limit))
}

// Statuses is a list of ranges of HTTP status codes, both ends included.
type Statuses [][2]int

// ParseStatuses understands "200", "200,204" and "200-299,304".
func ParseStatuses(text string) (Statuses, error) {
	var list Statuses
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err1 != nil || err2 != nil || from < 100 || to > 599 || from > to {
			return nil, fmt.Errorf("%q is no list of HTTP status codes such as 200,204 or 200-299", text)
		}
		list = append(list, [2]int{from, to})
	}
	return list, nil
}

func (s Statuses) contains(code int) bool {
	if len(s) == 0 {
		return code >= 200 && code < 300
	}
	for _, r := range s {
		if code >= r[0] && code <= r[1] {
			return true
		}
	}
	return false
}
