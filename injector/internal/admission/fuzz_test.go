package admission_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"inpod.dev/inpod/injector/internal/admission"
	"inpod.dev/inpod/internal/inject"
)

// What a pod costs, all in all: decode, decide, compare, encode.
func BenchmarkReview(b *testing.B) {
	w := newWebhook()
	w.Inject = inject.Inject
	body, err := json.Marshal(request(asks))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		w.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(b.Context(), http.MethodPost, admission.PathPods, bytes.NewReader(body)))
	}
}

// Anybody who reaches the port may send anything.
func FuzzServeHTTP(f *testing.F) {
	body, err := json.Marshal(request(asks))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"object":null}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		answer := httptest.NewRecorder()
		newWebhook().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, admission.PathPods, bytes.NewReader(body)))
		if answer.Code == http.StatusBadRequest {
			return
		}
		var answered admissionv1.AdmissionReview
		if err := json.Unmarshal(answer.Body.Bytes(), &answered); err != nil || answer.Code != http.StatusOK || !answered.Response.Allowed {
			t.Errorf("%d %s: %v", answer.Code, answer.Body, err)
		}
	})
}
