//go:build e2e

package framework

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

func TestAGetThatReachedNobodyIsRepeated(t *testing.T) {
	t.Parallel()
	const refused = `{"kind":"Status","message":"error trying to reach service: dial tcp 10.0.0.1:8080: connect: connection refused","code":503}`
	for name, tc := range map[string]struct {
		method, path, first string
		status              int
		wantCalls           int32
		wantBody            string
	}{
		"the proxy reaches no pod":                   {http.MethodGet, "/api/v1/namespaces/n/pods/p:8080/proxy/", refused, 503, 2, "good"},
		"the connection is cut":                      {http.MethodGet, "/api/v1/pods", "", 0, 2, "good"},
		"what the pod says is its answer":            {http.MethodGet, "/api/v1/namespaces/n/pods/p:8080/proxy/", "not ready", 503, 1, "not ready"},
		"what is not there is not there":             {http.MethodGet, "/api/v1/namespaces/n/pods/p", "no such pod", 404, 1, "no such pod"},
		"a write may have been done, and is no more": {http.MethodPost, "/api/v1/namespaces/n/pods/p:8080/proxy/", refused, 503, 1, refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				switch {
				case calls.Add(1) > 1:
					_, _ = io.WriteString(w, "good")
				case tc.status == 0:
					panic(http.ErrAbortHandler)
				default:
					w.WriteHeader(tc.status)
					_, _ = io.WriteString(w, tc.first)
				}
			}))
			defer server.Close()
			// Without connections that are kept: net/http repeats a request by itself on one that was closed meanwhile.
			client := http.Client{Transport: repeating(&http.Transport{DisableKeepAlives: true})}
			request, err := http.NewRequestWithContext(t.Context(), tc.method, server.URL+tc.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || string(body) != tc.wantBody || calls.Load() != tc.wantCalls {
				t.Errorf("%q after %d calls, %v; want %q after %d", body, calls.Load(), err, tc.wantBody, tc.wantCalls)
			}
		})
	}
}
