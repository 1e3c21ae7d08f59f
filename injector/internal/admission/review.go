// Package admission answers the API server when a pod is created: it reads the review, asks package inject, and turns
// the difference between the pod before and after into a JSON patch.
//
// It trusts nobody: whoever reaches its port can post to it. What one caller, and all together, can make it hold is bounded,
// and what does not fit is left without an answer, which admits the pod as it is.
//
// It fails open. Whatever goes wrong here admits the pod as it is, is counted and logged, and never a reason to deny
// it. What was decided is reported in the same words by the pod's annotation and by the label of a metric. It writes no event:
// a review is no proof that its pod exists, or belongs to whom it says. The controller does, for pods that exist.
//
//	AdmissionReview ──► pod ──► inject.Inject ──► patch ──► AdmissionReview with patch, always allowed
//	                     ▲            │
//	 namespace defaults ─┘            └──► metric, log
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/internal/inject"
)

// The paths of the two webhooks. A review that comes by the second path is for a pod that says nothing itself, in a
// namespace whose label asks: the API server has matched the label, so that it is never looked up in a cache.
const (
	PathPods       = "/inject/pods"
	PathNamespaces = "/inject/namespaces"
)

// Handler answers reviews.
type Handler struct {
	// Inject decides; [inject.Inject].
	Inject func(*corev1.Pod, inject.Options) (inject.Change, inject.Report)
	// Options are the same for every pod, but for the fields about its namespace.
	Options inject.Options
	// ConfirmKey returns the public key of the controller, which goes into the options; nil where they have it.
	ConfirmKey func() string
	// Defaults returns the annotations of a namespace.
	Defaults func(ctx context.Context, caller, namespace string) (map[string]string, error)
	// Limits returns what a namespace allows its pods, nil if that is not known; it does not wait. A nil function knows nothing.
	Limits func(namespace string) *inject.Limits
	// Refused returns what the API server has against pods of the same owner with the sidecar, [Refusals.Of]; "" for nothing. A nil
	// function knows nothing.
	Refused func(ctx context.Context, caller, namespace string, pod *corev1.Pod, hasLimits bool) string
	// Excluded reports whether the pods of a namespace are never touched.
	Excluded func(namespace string) bool
	Metrics  *Metrics
	Log      *slog.Logger

	once sync.Once

	bodies, pods, answers *pool

	log *slog.Logger // Log, limited: callers cause each line of it
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.once.Do(h.prepare)
	began := time.Now()
	caller, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		caller = r.RemoteAddr
	}
	// All waits together end while the API server still waits: each may be within its own bound, and their sum not.
	ctx, cancel := context.WithTimeout(r.Context(), timeFor(r))
	defer cancel()
	status, err := h.serve(w, r.WithContext(ctx), caller, began)
	if err == nil {
		return
	}
	h.Metrics.answered(outcomeOf(status), time.Since(began))
	h.log.WarnContext(r.Context(), "request rejected", "error", err, "from", caller)
	if status == http.StatusRequestEntityTooLarge {
		w.Header().Set("Connection", "close") // its body is not read
	}
	http.Error(w, err.Error(), status)
}

// timeFor returns how long the answer to a request may take. An API server says in the parameter "timeout" how long it
// waits, its webhook's timeoutSeconds (staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/mutating/dispatcher.go in
// Kubernetes). A fifth of that is for the way and the handshake. Nor does it take longer than the server writes answers.
func timeFor(r *http.Request) time.Duration {
	const usual, longest = 5 * time.Second, 30 * time.Second // what the chart sets, and the most that Kubernetes accepts
	waits, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || waits <= 0 || waits > longest {
		waits = usual
	}
	waits = min(waits, writeTimeout)
	return waits - waits/5
}

func (h *Handler) prepare() {
	h.bodies, h.pods, h.answers, h.log = newPool(bodies), newPool(pods), newPool(answers), Limited(h.Log)
}

func outcomeOf(status int) outcome {
	if status == http.StatusTooManyRequests || status == http.StatusRequestEntityTooLarge {
		return outcomeRefused
	}
	return outcomeError
}

// serve answers, or returns an HTTP status and what to say.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, caller string, began time.Time) (status int, err error) {
	body, release, status, err := h.read(w, r, caller)
	if err != nil {
		return status, err
	}
	defer release()
	count := elements(body)
	if count > maxElements {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the review has %d members and elements, and at most %d are read", count, maxElements)
	}
	done, err := h.pods.take(r.Context(), caller, int64(count)*bytesPerElement)
	if err != nil {
		return http.StatusTooManyRequests, err
	}
	defer done()
	review, err := parse(body)
	if err != nil {
		return http.StatusBadRequest, err
	}
	outcome := outcomeUnchanged
	patch, sent, err := h.answer(r.Context(), review, caller, r.URL.Path == PathNamespaces)
	defer sent()
	switch {
	case errors.Is(err, errNoRoom):
		outcome = outcomeRefused
	case err != nil:
		outcome = outcomeError
		h.log.ErrorContext(r.Context(), "admitting pod unchanged after error",
			"namespace", review.Request.Namespace, "pod", review.Request.Name, "error", err)
	case len(patch) > 0:
		outcome = outcomePatched
	}
	response := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	if len(patch) > 0 {
		response.Patch, response.PatchType = patch, new(admissionv1.PatchTypeJSONPatch)
	}
	w.Header().Set("Content-Type", "application/json")
	err = json.NewEncoder(w).Encode(admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: response})
	if err != nil {
		h.log.WarnContext(r.Context(), "sending the answer failed", "error", err)
	}
	h.Metrics.answered(outcome, time.Since(began))
	return 0, nil
}

// read takes the body of what an API server sends, once there is room for it.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, caller string) (body []byte, release func(), status int, err error) {
	if r.Method != http.MethodPost {
		return nil, nil, http.StatusBadRequest, fmt.Errorf("method %s: this is an admission webhook, which is sent a POST by the API server", r.Method)
	}
	if r.ContentLength > maxReview {
		return nil, nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the review has %d bytes, and at most %d are read", r.ContentLength, maxReview)
	}
	// What cannot be set is not there in tests; the server has a limit of its own.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body, release, err = h.receive(r.Context(), caller, http.MaxBytesReader(w, r.Body, maxReview))
	if err == nil {
		return body, release, 0, nil
	}
	status = http.StatusBadRequest
	if _, isTooLarge := errors.AsType[*http.MaxBytesError](err); isTooLarge {
		status = http.StatusRequestEntityTooLarge
	} else if errors.Is(err, errNoRoom) {
		status = http.StatusTooManyRequests
	}
	return nil, nil, status, fmt.Errorf("read the review: %w", err)
}

// receive reads to the end, and takes room for each step before it is read.
func (h *Handler) receive(ctx context.Context, caller string, from io.Reader) (body []byte, release func(), err error) {
	var releases []func()
	release = func() {
		for _, r := range releases {
			r()
		}
	}
	for {
		give, err := h.bodies.take(ctx, caller, step)
		if err != nil {
			release()
			return nil, nil, err
		}
		releases = append(releases, give)
		body = slices.Grow(body, step)
		n, err := io.ReadFull(from, body[len(body):len(body)+step])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return body, release, nil
		case err != nil:
			release()
			return nil, nil, err
		}
	}
}

// review is what of an AdmissionReview is read. Its object is read as a pod at once: a copy of the text in between would cost
// as much again.
type review struct {
	metav1.TypeMeta `json:",inline"`

	Request *struct {
		UID         types.UID                   `json:"uid"`
		Resource    metav1.GroupVersionResource `json:"resource"`
		SubResource string                      `json:"subResource"`
		Namespace   string                      `json:"namespace"`
		Name        string                      `json:"name"`
		Operation   admissionv1.Operation       `json:"operation"`
		Object      corev1.Pod                  `json:"object"`
	} `json:"request"`

	// fault is why the object is not a pod, nil where it is one.
	fault error
}

// parse accepts what an API server sends, and nothing else. An object that is not a pod is no reason to leave the question
// without an answer.
func parse(body []byte) (*review, error) {
	var r review
	err := json.Unmarshal(body, &r)
	if _, isSyntax := errors.AsType[*json.SyntaxError](err); isSyntax || err != nil && r.Request == nil {
		return nil, errors.New("the body is not an AdmissionReview in JSON") // the cause may quote it
	}
	if r.APIVersion != admissionv1.SchemeGroupVersion.String() || r.Kind != "AdmissionReview" || r.Request == nil {
		return nil, fmt.Errorf("want an AdmissionReview of %s with a request, and got %.40q of %.40q", admissionv1.SchemeGroupVersion, r.Kind, r.APIVersion)
	}
	if err != nil {
		r.fault = errors.New("the object of the request is not a pod")
	}
	return &r, nil
}

// answer returns the patch for a request, nil for none, and what gives back the room for it.
func (h *Handler) answer(ctx context.Context, r *review, caller string, namespaceAsks bool) (patch []byte, sent func(), err error) {
	sent = func() {}
	defer func() {
		if cause := recover(); cause != nil {
			h.log.ErrorContext(ctx, "recovered from panic", "stack", string(debug.Stack()))
			patch, err = nil, fmt.Errorf("a fault: %v", cause)
		}
	}()
	pod := &r.Request.Object
	change, report, err := h.decide(ctx, r, caller, namespaceAsks)
	if err != nil || report.Reason == "" {
		return nil, sent, err
	}
	room, err := h.answers.take(ctx, caller, int64(change.Size())*bytesPerAdded)
	if err != nil {
		return nil, sent, fmt.Errorf("answer the review: %w", err)
	}
	sent = room
	h.Metrics.decided(report)
	patch, err = change.Patch(pod)
	return patch, sent, err
}

// decide returns what is added to the pod of a request, and a report, which has no reason where the pod is not subject
// to injection.
func (h *Handler) decide(ctx context.Context, r *review, caller string, namespaceAsks bool) (inject.Change, inject.Report, error) {
	request := r.Request
	if request.Operation != admissionv1.Create || request.SubResource != "" ||
		request.Resource != (metav1.GroupVersionResource{Version: "v1", Resource: "pods"}) {
		return inject.Change{}, inject.Report{}, fmt.Errorf("asked about %.20s of %.80s: only the creation of pods is this webhook's concern; check its rules", request.Operation, request.Resource)
	}
	if h.Excluded(request.Namespace) {
		return inject.Change{}, inject.Report{}, nil
	}
	if r.fault != nil {
		return inject.Change{}, inject.Report{}, r.fault
	}
	pod, options := &request.Object, h.Options
	options.Namespace, options.NamespaceAsks = request.Namespace, namespaceAsks
	if h.ConfirmKey != nil {
		options.ConfirmKey = h.ConfirmKey()
	}
	var err error
	if options.Defaults, err = h.Defaults(ctx, caller, request.Namespace); err != nil {
		return inject.Change{}, inject.Report{}, err
	}
	if h.Limits != nil {
		options.Limits = h.Limits(request.Namespace)
	}
	change, report := h.Inject(pod, options)
	if report.Reason == inject.Injected && h.Refused != nil {
		if options.Refused = h.Refused(ctx, caller, request.Namespace, pod, options.Limits.Cover(pod)); options.Refused != "" {
			change, report = h.Inject(pod, options)
		}
	}
	if report.Reason == inject.InternalError {
		h.log.ErrorContext(ctx, "invalid injection, admitting pod unchanged; please report it", "namespace", request.Namespace, "pod", nameOf(pod), "fault", report.Message)
	}
	h.log.DebugContext(ctx, "decided", "namespace", request.Namespace, "pod", nameOf(pod), "reason", report.Reason, "message", report.Message)
	return change, report, nil
}

// nameOf is the name of a pod, or what it will begin with.
func nameOf(pod *corev1.Pod) string {
	if pod.Name != "" {
		return pod.Name
	}
	return pod.GenerateName
}
