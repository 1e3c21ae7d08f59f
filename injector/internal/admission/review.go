// Package admission answers the API server when a pod is created: it reads the review, asks package inject, and turns
// the difference between the pod before and after into a JSON patch.
//
// It fails open. Whatever goes wrong here admits the pod as it is, is counted and logged, and never a reason to deny
// it. What was decided is told three times in the same words: in the pod's annotation, in an event on its owner, and
// as the label of a metric.
//
//	AdmissionReview ──► pod ──► inject.Inject ──► diff ──► AdmissionReview with patch, always allowed
//	                     ▲            │
//	 namespace defaults ─┘            └──► metric, event, log
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/injector/internal/inject"
)

// The paths of the two webhooks. A review that comes by the second path is for a pod that says nothing itself, in a
// namespace whose label asks: the API server has matched the label, so that it is never looked up in a cache.
const (
	PathPods       = "/inject/pods"
	PathNamespaces = "/inject/namespaces"
)

// maxReview bounds a review, in bytes. etcd holds objects of up to 1.5 MB, and a review has little besides the pod.
const maxReview = 8 << 20

// Handler answers reviews.
type Handler struct {
	// Inject decides; [inject.Inject].
	Inject func(*corev1.Pod, inject.Options) (inject.Change, inject.Report)
	// Options are the same for every pod, but for the fields about its namespace.
	Options inject.Options
	// Defaults returns the annotations of a namespace.
	Defaults func(ctx context.Context, namespace string) (map[string]string, error)
	// Excluded tells namespaces whose pods are never touched.
	Excluded func(namespace string) bool
	// Tell reports what came of a pod, for people: an event.
	Tell    func(pod *corev1.Pod, namespace string, report inject.Report)
	Metrics *Metrics
	Log     *slog.Logger
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	review, err := readReview(w, r)
	if err != nil {
		h.Metrics.answered(outcomeError, time.Since(began))
		h.Log.WarnContext(r.Context(), "a request that is no admission review", "error", err, "from", r.RemoteAddr)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	outcome := outcomeUnchanged
	patch, err := h.answer(r.Context(), review.Request, r.URL.Path == PathNamespaces)
	switch {
	case err != nil:
		outcome, patch = outcomeError, nil
		h.Log.ErrorContext(r.Context(), "admitting a pod as it is, because of an error",
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
		h.Log.WarnContext(r.Context(), "the API server did not take the answer", "error", err)
	}
	h.Metrics.answered(outcome, time.Since(began))
}

// readReview accepts what an API server sends, and nothing else.
func readReview(w http.ResponseWriter, r *http.Request) (*admissionv1.AdmissionReview, error) {
	if r.Method != http.MethodPost {
		return nil, fmt.Errorf("method %s: this is an admission webhook, which is sent a POST by the API server", r.Method)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	if err != nil {
		return nil, fmt.Errorf("read the review: %w", err)
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, errors.New("the body is not an AdmissionReview in JSON") // the cause may quote it
	}
	if review.APIVersion != admissionv1.SchemeGroupVersion.String() || review.Kind != "AdmissionReview" || review.Request == nil {
		return nil, fmt.Errorf("want an AdmissionReview of %s with a request, and got %q of %q", admissionv1.SchemeGroupVersion, review.Kind, review.APIVersion)
	}
	return &review, nil
}

// answer returns the patch for a request, nil for none.
func (h *Handler) answer(ctx context.Context, request *admissionv1.AdmissionRequest, namespaceAsks bool) (patch []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			h.Log.ErrorContext(ctx, "a fault in the injector", "stack", string(debug.Stack()))
			patch, err = nil, fmt.Errorf("a fault: %v", cause)
		}
	}()
	if request.Operation != admissionv1.Create || request.SubResource != "" ||
		request.Resource != (metav1.GroupVersionResource{Version: "v1", Resource: "pods"}) {
		return nil, fmt.Errorf("asked about %s of %s: only the creation of pods is this webhook's concern; check its rules", request.Operation, request.Resource)
	}
	if h.Excluded(request.Namespace) {
		return nil, nil
	}
	var pod corev1.Pod
	if err := json.Unmarshal(request.Object.Raw, &pod); err != nil {
		return nil, errors.New("the object of the request is not a pod")
	}
	options := h.Options
	options.Namespace, options.NamespaceAsks = request.Namespace, namespaceAsks
	if options.Defaults, err = h.Defaults(ctx, request.Namespace); err != nil {
		return nil, err
	}
	change, report := h.Inject(&pod, options)
	h.Metrics.decided(report)
	if patch, err = change.Patch(&pod); err != nil {
		return nil, err
	}
	h.Log.DebugContext(ctx, "decided", "namespace", request.Namespace, "pod", nameOf(&pod), "reason", report.Reason, "message", report.Message)
	// Nothing comes of a dry run, so nothing is to be told about it.
	if isDryRun := request.DryRun != nil && *request.DryRun; !isDryRun {
		h.Tell(&pod, request.Namespace, report)
	}
	return patch, nil
}

// nameOf is the name of a pod, or what it will begin with.
func nameOf(pod *corev1.Pod) string {
	if pod.Name != "" {
		return pod.Name
	}
	return pod.GenerateName
}
