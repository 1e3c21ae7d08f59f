package reload

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"inpod.dev/inpod/internal/reloadspec"
	"inpod.dev/inpod/sidecar/internal/file"
)

// Access is what all requests about one application have in common: the one that reloads it, the verify URL, and those
// for a proof.
type Access struct {
	// Server is a URL of the server that gets the headers. No other server gets them, since they may hold a password.
	Server string
	// HeaderFiles, CAFile, SkipVerify, Timeout, Attempts and Accepted are as in Endpoint.
	HeaderFiles map[string]string
	CAFile      string
	SkipVerify  bool
	Timeout     time.Duration
	Attempts    int
	Accepted    *Credentials
}

// Page is the endpoint of a page of the application.
func (a Access) Page(url string) *Endpoint {
	e := &Endpoint{
		URL: url, Method: http.MethodGet, CAFile: a.CAFile, SkipVerify: a.SkipVerify, Timeout: a.Timeout, Attempts: a.Attempts,
	}
	if SameServer(a.Server, url) {
		e.HeaderFiles, e.Accepted = a.HeaderFiles, a.Accepted
	}
	return e
}

// SameServer reports whether two URLs lead to one server: the same scheme, host and port, or the same socket. All names
// of the loopback are one host.
func SameServer(a, b string) bool {
	if a == b {
		return a != "" // as in most calls, which then cost nothing
	}
	one, ok1 := serverOf(a)
	other, ok2 := serverOf(b)
	return ok1 && ok2 && one == other
}

func serverOf(text string) (name string, ok bool) {
	if socket, _, ok := reloadspec.SplitUnix(text); ok {
		return "unix:" + socket, true
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "", false
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		host = "localhost"
	}
	if port == "" {
		port = u.Scheme
		switch u.Scheme {
		case "http":
			port = "80"
		case "https":
			port = "443"
		}
	}
	return u.Scheme + "://" + net.JoinHostPort(host, port), true
}

// fetch reads a page of the application for a proof.
func (r *Reloader) fetch(ctx context.Context, url string) ([]byte, error) {
	const patience = 2 * time.Second // a scan that takes longer is one of many
	e := r.Plan.Access.Page(url)
	if e.Attempts = 1; e.Timeout == 0 || e.Timeout > patience {
		e.Timeout = patience
	}
	text, status, err := e.get(ctx)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", e, status)
	}
	return text, nil
}

// fromFiles reads the headers whose values are in files.
func (e *Endpoint) fromFiles() (map[string]string, error) {
	headers := map[string]string{}
	for name, from := range e.HeaderFiles {
		value, err := file.Read(from)
		if err != nil {
			return nil, fmt.Errorf("read header %s: %w", name, err)
		}
		headers[name] = strings.TrimSpace(string(value))
	}
	return headers, nil
}

// Credentials remembers the values of headers that the server accepted last.
type Credentials struct {
	mu     sync.Mutex
	values map[string]string
}

// Read reads the headers of now as the ones that the server accepts, before anything has changed.
func (c *Credentials) Read(files map[string]string) {
	e := Endpoint{HeaderFiles: files}
	if headers, err := e.fromFiles(); err == nil {
		c.remember(files, headers)
	}
}

func (c *Credentials) remember(files, headers map[string]string) {
	if c == nil || len(files) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values = headers
}

// other is what was accepted last, nil when that is nothing, or the same.
func (c *Credentials) other(files, headers map[string]string) map[string]string {
	if c == nil || len(files) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.values) == 0 || maps.Equal(c.values, headers) {
		return nil
	}
	return c.values
}

// each gives the values, which a server may quote.
func (c *Credentials) each(do func(value string)) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, value := range c.values {
		do(value)
	}
}
