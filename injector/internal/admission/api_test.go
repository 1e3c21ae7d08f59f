package admission_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// slowAPI is an API server that takes a while for an answer.
type slowAPI struct {
	takes  time.Duration
	answer func(*http.Request) any // nil for what does not exist

	mu                    sync.Mutex
	asked, atOnce, mostAt int
}

// client is one for it.
func (s *slowAPI) client(t *testing.T) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://api", QPS: -1, Transport: s})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// RoundTrip implements [http.RoundTripper].
func (s *slowAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked++
	s.atOnce++
	s.mostAt = max(s.mostAt, s.atOnce)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.atOnce--
	}()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-time.After(s.takes):
	}
	status, object := http.StatusOK, s.answer(r)
	if object == nil {
		status = http.StatusNotFound
		object = metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
			Status:   metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound,
		}
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(text)), Request: r,
	}, nil
}

// count returns how often it was asked since the last time, and at most at one time ever.
func (s *slowAPI) count() (asked, atOnce int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked, s.asked = s.asked, 0
	return asked, s.mostAt
}
