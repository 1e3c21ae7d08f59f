package admission_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/injector/internal/admission"
	"inpod.dev/inpod/internal/inject"
)

// failing is an API server's connection that is gone when the answer comes.
type failing struct{ http.ResponseWriter }

func (failing) Write([]byte) (int, error) { return 0, errors.New("gone") }

// Whatever callers post, each kind of line is written only so often.
func TestCallersCannotFillTheLog(t *testing.T) {
	t.Parallel()
	broken := func(*corev1.Pod, inject.Options) (inject.Change, inject.Report) {
		return inject.Change{}, inject.Report{Reason: inject.InternalError, Message: "two mounts at one path"}
	}
	good := string(mustJSON(t, request(asks)))
	for name, tc := range map[string]struct {
		inject func(*corev1.Pod, inject.Options) (inject.Change, inject.Report)
		body   string
		level  slog.Level
		isGone bool
		want   string
	}{
		"nonsense":                 {inject.Inject, "nonsense", slog.LevelInfo, false, "request rejected"},
		"what is no pod":           {inject.Inject, strings.Replace(good, `"containers"`, `"containers":1,"x"`, 1), slog.LevelInfo, false, "admitting pod unchanged after error"},
		"what breaks a rule":       {broken, good, slog.LevelInfo, false, "invalid injection"},
		"what makes it panic":      {func(*corev1.Pod, inject.Options) (inject.Change, inject.Report) { panic("a fault") }, good, slog.LevelInfo, false, "recovered from panic"},
		"who is gone at the end":   {inject.Inject, good, slog.LevelInfo, true, "sending the answer failed"},
		"what is decided, as well": {inject.Inject, good, slog.LevelDebug, false, "decided"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // in no time at all
				w := newWebhook()
				w.Log = slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: tc.level}))
				w.Inject = tc.inject
				const times = 3000
				for range times {
					var answer http.ResponseWriter = httptest.NewRecorder()
					if tc.isGone {
						answer = failing{answer}
					}
					w.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, admission.PathPods, strings.NewReader(tc.body)))
				}
				if got := strings.Count(w.log.String(), tc.want); got == 0 || got > times/2 {
					t.Errorf("%d lines say %q", got, tc.want)
				}
			})
		})
	}
}

// Callers choose names, which may be as long as a review.
func TestCallersCannotWriteLongLines(t *testing.T) {
	t.Parallel()
	const long = 1 << 20
	broken := func(*corev1.Pod, inject.Options) (inject.Change, inject.Report) {
		return inject.Change{}, inject.Report{Reason: inject.InternalError, Message: strings.Repeat("m", long)}
	}
	for name, tc := range map[string]struct {
		review *admissionv1.AdmissionReview
		want   string
	}{
		"names of what is no concern": {request(asks, func(r *admissionv1.AdmissionRequest) {
			r.Operation, r.Namespace, r.Name = admissionv1.Delete, strings.Repeat("é", long/2), strings.Repeat("n", long)
		}), "admitting pod unchanged after error"},
		"what breaks a rule, and its name": {
			request(strings.Replace(asks, `"metadata": {`, `"metadata": {"name": "`+strings.Repeat("n", long)+`", `, 1)), "invalid injection",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWebhook()
			w.Inject = broken
			w.send(t, admission.PathPods, tc.review)
			if got := w.log.String(); len(got) > 64<<10 || !strings.Contains(got, tc.want) || !utf8.ValidString(got) {
				t.Errorf("%d bytes: %.300s", len(got), got)
			}
		})
	}
}

// A flood of one message hides no other one, and the next line says what is missing.
func TestALineSaysHowManyWereLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := admission.Limited(slog.New(slog.NewTextHandler(&out, nil))).With("a", 1).WithGroup("g")
		for i := range 100 {
			log.Warn("nonsense", "i", i)
		}
		log.Error("what matters")
		time.Sleep(2 * time.Second)
		log.Warn("nonsense", "i", "last")
		for part, want := range map[string]int{"msg=nonsense": 21, "what matters": 1, "i=last g.leftOut=80": 1, "leftOut": 1} {
			if got := strings.Count(out.String(), part); got != want {
				t.Errorf("%d lines with %q, want %d:\n%s", got, part, want, fmt.Sprintf("%.2000s", out.String()))
			}
		}
	})
}

func mustJSON(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
