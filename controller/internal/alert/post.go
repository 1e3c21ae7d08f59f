package alert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	attemptTimeout = 10 * time.Second
	retries        = 4
	firstPause     = time.Second
	lastPause      = 30 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 4 << 10
	// maxPosts is how many posts to one address may be under way.
	maxPosts = 8
)

// Body is what is posted.
type Body struct {
	Type  string
	Bytes []byte
}

// Poster posts to one address, with retries. While the receiver does not answer it refuses posts at once.
type Poster struct {
	target  *url.URL
	client  *retryablehttp.Client
	slots   chan struct{}
	breaker breaker
}

// NewPoster returns a poster for an address, through a proxy if there is one. Errors name neither.
func NewPoster(address, proxy string) (*Poster, error) {
	target, err := parse(address)
	if err != nil {
		return nil, fmt.Errorf("the address of the webhook: %w", err)
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: attemptTimeout}).DialContext,
		TLSHandshakeTimeout: attemptTimeout,
		IdleConnTimeout:     time.Minute,
		ForceAttemptHTTP2:   true,
	}
	if proxy != "" {
		through, err := parse(proxy)
		if err != nil {
			return nil, fmt.Errorf("the address of the proxy: %w", err)
		}
		transport.Proxy = http.ProxyURL(through)
	}
	return &Poster{target: target, slots: make(chan struct{}, maxPosts), client: &retryablehttp.Client{
		HTTPClient: &http.Client{
			Timeout: attemptTimeout, Transport: transport,
			// A redirect would turn the POST into a GET, and may lead anywhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax: retries, RetryWaitMin: firstPause, RetryWaitMax: lastPause,
		CheckRetry: retryablehttp.DefaultRetryPolicy, Backoff: retryablehttp.DefaultBackoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}}, nil
}

// parse refuses what cannot be posted to, without saying what it was.
func parse(address string) (*url.URL, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return nil, errors.New("want http://… or https://…")
	}
	return parsed, nil
}

// Post sends a body until it is taken with a 2xx status, an answer says that trying again has no sense, or the attempts
// are used up. The error names the host and no other part of the address; it is an [*AwayError] if nothing was sent because the
// receiver is away.
func (p *Poster) Post(ctx context.Context, body Body) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return fmt.Errorf("posting to %s: %w", p.target.Host, ctx.Err())
	}
	err := p.breaker.allow(time.Now())
	if err == nil {
		var result outcome
		result, err = p.post(ctx, body)
		p.breaker.done(result, time.Now())
	}
	if err != nil {
		return fmt.Errorf("posting to %s: %w", p.target.Host, err)
	}
	return nil
}

func (p *Poster) post(ctx context.Context, body Body) (outcome, error) {
	request, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, p.target.String(), body.Bytes)
	if err != nil {
		return answered, withoutURL(err)
	}
	request.Header.Set("Content-Type", body.Type)
	response, err := p.client.Do(request)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return cutOff, withoutURL(err)
	case err != nil:
		return unanswered, withoutURL(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer))
	status := response.StatusCode
	if status >= http.StatusOK && status < http.StatusMultipleChoices {
		return answered, nil
	}
	err = fmt.Errorf("the answer is %d %s", status, http.StatusText(status))
	if status == http.StatusTooManyRequests || status >= http.StatusInternalServerError {
		return unanswered, err
	}
	return answered, err
}

// withoutURL drops what net/http wraps around an error, since that contains the address.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
