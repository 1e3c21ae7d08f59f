package admission

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// errLongAnswer means that an object is larger than what is read of one.
var errLongAnswer = fmt.Errorf("the answer of the API server has more than %d bytes", maxAnswer)

// NewClient returns a client for questions that callers cause. It reads no more than so much of an answer: whoever may write an
// object decides how large it is, and whoever posts a review when it is read.
func NewClient(config *rest.Config) (kubernetes.Interface, error) {
	bounded := rest.CopyConfig(config)
	bounded.Wrap(func(next http.RoundTripper) http.RoundTripper { return shortAnswers{next} })
	client, err := kubernetes.NewForConfig(bounded)
	if err != nil {
		return nil, fmt.Errorf("a client for what reviews ask: %w", err)
	}
	return client, nil
}

// shortAnswers fail when they are too long.
type shortAnswers struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (s shortAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	// Read here, since client-go logs what goes wrong when it reads.
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxAnswer:
		return nil, errLongAnswer
	}
	response.Body = io.NopCloser(bytes.NewReader(text))
	return response, nil
}

// WrappedRoundTripper implements the interface by which client-go unwraps round trippers.
func (s shortAnswers) WrappedRoundTripper() http.RoundTripper { return s.next }
