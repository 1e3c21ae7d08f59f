package reload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"inpod.dev/inpod/internal/reloadspec"
	"inpod.dev/inpod/sidecar/internal/file"
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
	Status reloadspec.Statuses
	// CAFile verifies an https server; without it the system's do. SkipVerify verifies nothing.
	CAFile     string
	SkipVerify bool
	// Timeout bounds the attempt to connect, and how long the answer is waited for. Attempts is the number of attempts to
	// reach the server: a request that was sent is not repeated, whatever came of it, unless the server is busy.
	Timeout  time.Duration
	Attempts int
	// Accepted remembers the headers that the server accepted last; nil to remember nothing.
	Accepted *Credentials
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 4 << 10

// String is for messages; it leaves out what may be a password.
func (e *Endpoint) String() string { return e.method() + " " + shownURL(e.URL) }

// shownURL is a URL without user, query and fragment, any of which may be a password.
func shownURL(text string) string {
	text, _, _ = strings.Cut(text, "#")
	text, _, _ = strings.Cut(text, "?")
	scheme, rest, ok := strings.Cut(text, "//")
	if !ok {
		return text
	}
	host, path, slash := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		host = host[at+1:]
	}
	if slash {
		path = "/" + path
	}
	return scheme + "//" + host + path
}

func (e *Endpoint) method() string {
	if e.Method == "" {
		return http.MethodPost
	}
	return e.Method
}

// readAnswer reads the beginning of an answer, which ends with a cut where that is not all, or may not be.
func readAnswer(body io.Reader) string {
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil || len(text) == maxAnswer {
		return string(text) + redact.Cut
	}
	return string(text)
}

// request is the request with the headers of now, or with those that were accepted last.
func (e *Endpoint) request(ctx context.Context, target string, headers map[string]string) (*retryablehttp.Request, error) {
	var body any
	switch {
	case e.BodyFile != "":
		text, err := file.Read(e.BodyFile)
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
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	return request, nil
}

// unwrapURL takes the URL, which may hold a password, out of an error.
func unwrapURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
