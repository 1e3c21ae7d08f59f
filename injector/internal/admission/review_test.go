package admission_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"inpod.dev/inpod/injector/internal/admission"
	"inpod.dev/inpod/internal/inject"
)

var update = flag.Bool("update", false, "write the golden files")

// asks is a pod that gets the sidecar. It has a field that no type of ours knows, as a newer API server might send it.
const asks = `{
  "metadata": {"generateName": "web-", "annotations": {"inpod.dev/inject": "enabled", "inpod.dev/reload-url": "http://127.0.0.1/reload"},
    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u1", "controller": true}]},
  "spec": {"containers": [{"name": "web", "image": "nginx", "fieldOfTheFuture": {"a": 1},
      "volumeMounts": [{"name": "conf", "mountPath": "/etc/nginx/conf.d"}]}],
    "volumes": [{"name": "conf", "configMap": {"name": "conf"}}]}}`

// silent is the same pod without a word about injection.
func silent() string {
	return strings.Replace(asks, `"inpod.dev/inject": "enabled", `, "", 1)
}

// webhook is a handler and what it decided.
type webhook struct {
	*admission.Handler
	registry *prometheus.Registry
	log      bytes.Buffer
	decided  []inject.Report
}

func newWebhook() *webhook {
	w := &webhook{registry: prometheus.NewPedanticRegistry()}
	w.Handler = &admission.Handler{
		Inject: func(pod *corev1.Pod, options inject.Options) (inject.Change, inject.Report) {
			change, report := inject.Inject(pod, options)
			w.decided = append(w.decided, report)
			return change, report
		},
		Options:  inject.Options{NativeSidecars: true, Image: "inpod/sidecar:1", StatusPort: 27467},
		Defaults: func(context.Context, string, string) (map[string]string, error) { return nil, nil },
		Excluded: func(namespace string) bool { return namespace == "kube-system" },
		Metrics:  admission.NewMetrics(w.registry),
		Log:      slog.New(slog.NewTextHandler(&w.log, nil)),
	}
	return w
}

// request is the review of a pod.
func request(pod string, changes ...func(*admissionv1.AdmissionRequest)) *admissionv1.AdmissionReview {
	r := &admissionv1.AdmissionRequest{
		UID: "r1", Operation: admissionv1.Create, Namespace: "shop",
		Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		Object:   runtime.RawExtension{Raw: []byte(pod)},
	}
	for _, change := range changes {
		change(r)
	}
	return &admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: r}
}

// send returns what the API server gets.
func (w *webhook) send(t *testing.T, path string, review *admissionv1.AdmissionReview) *admissionv1.AdmissionResponse {
	t.Helper()
	body, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body)))
	var answered admissionv1.AdmissionReview
	if err := json.Unmarshal(answer.Body.Bytes(), &answered); err != nil || answer.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", answer.Code, answer.Body, err)
	}
	if answered.Response == nil || answered.Response.UID != review.Request.UID || answered.APIVersion != review.APIVersion || answered.Kind != review.Kind {
		t.Fatalf("the answer does not belong to the review: %+v", answered)
	}
	return answered.Response
}

// applied is the pod after the patch, as the API server makes it.
func applied(t *testing.T, pod string, response *admissionv1.AdmissionResponse) string {
	t.Helper()
	if response.Patch == nil {
		return pod
	}
	if response.PatchType == nil || *response.PatchType != admissionv1.PatchTypeJSONPatch {
		t.Fatalf("the type of the patch is %v", response.PatchType)
	}
	patch, err := jsonpatch.DecodePatch(response.Patch)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply([]byte(pod))
	if err != nil {
		t.Fatalf("the patch does not apply: %v\n%s", err, response.Patch)
	}
	return string(patched)
}

func TestThePatch(t *testing.T) {
	t.Parallel()
	response := newWebhook().send(t, admission.PathPods, request(asks))
	golden := "testdata/patch.yaml"
	got, err := yaml.JSONToYAML(response.Patch)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the patch (-want +got); if this is right: go test ./injector/internal/admission -update\n%s", diff)
	}
	if patched := applied(t, asks, response); !strings.Contains(patched, `"fieldOfTheFuture":{"a":1}`) {
		t.Errorf("a field that is not known here was lost: %s", patched)
	}
}

// Equal pods get equal patches, whatever the order of Go's maps, and lists are filled in order.
func TestThePatchIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	var first []byte
	for range 50 {
		response := newWebhook().send(t, admission.PathPods, request(asks))
		if first == nil {
			first = response.Patch
		}
		if !bytes.Equal(first, response.Patch) {
			t.Fatalf("patches differ:\n%s\n%s", first, response.Patch)
		}
	}
}

func TestWhoIsInjected(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		path, pod  string
		change     func(*admissionv1.AdmissionRequest)
		wantPatch  bool
		wantReason inject.Reason // "" when nothing was decided
	}{
		"a pod that asks":                       {path: admission.PathPods, pod: asks, wantPatch: true, wantReason: inject.Injected},
		"a silent pod in a namespace that asks": {path: admission.PathNamespaces, pod: silent(), wantPatch: true, wantReason: inject.Injected},
		"a silent pod in another namespace":     {path: admission.PathPods, pod: silent(), wantReason: inject.NotRequested},
		"a pod of the system":                   {path: admission.PathPods, pod: asks, change: func(r *admissionv1.AdmissionRequest) { r.Namespace = "kube-system" }},
		"a pod with a bad value gets the record": {
			path: admission.PathPods, pod: strings.Replace(asks, "http://", "htp://", 1), wantPatch: true, wantReason: inject.InvalidAnnotation,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWebhook()
			change := tc.change
			if change == nil {
				change = func(*admissionv1.AdmissionRequest) {}
			}
			response := w.send(t, tc.path, request(tc.pod, change))
			if !response.Allowed || (response.Patch != nil) != tc.wantPatch {
				t.Errorf("allowed %v, patch %s", response.Allowed, response.Patch)
			}
			var reason inject.Reason
			if len(w.decided) == 1 {
				reason = w.decided[0].Reason
			}
			if reason != tc.wantReason {
				t.Errorf("decided %v, want %q", w.decided, tc.wantReason)
			}
		})
	}
}

// Whatever goes wrong, the pod is admitted as it is.
func TestEveryFailureAdmitsThePod(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		prepare func(*webhook)
		change  func(*admissionv1.AdmissionRequest)
		wantLog string
	}{
		"the namespace cannot be read": {
			prepare: func(w *webhook) {
				w.Defaults = func(context.Context, string, string) (map[string]string, error) { return nil, errors.New("away") }
			}, wantLog: "away",
		},
		"a fault in the decision": {
			prepare: func(w *webhook) {
				w.Inject = func(*corev1.Pod, inject.Options) (inject.Change, inject.Report) { panic("out of order") }
			}, wantLog: "out of order",
		},
		"something that is no pod": {
			change: func(r *admissionv1.AdmissionRequest) { r.Object.Raw = []byte(`{"spec": "hunter2"}`) }, wantLog: "not a pod",
		},
		"another resource": {
			change: func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "secrets" }, wantLog: "only the creation of pods",
		},
		"an update": {
			change: func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }, wantLog: "only the creation of pods",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWebhook()
			if tc.prepare != nil {
				tc.prepare(w)
			}
			change := tc.change
			if change == nil {
				change = func(*admissionv1.AdmissionRequest) {}
			}
			response := w.send(t, admission.PathPods, request(asks, change))
			if !response.Allowed || response.Patch != nil {
				t.Errorf("allowed %v, patch %s", response.Allowed, response.Patch)
			}
			if log := w.log.String(); !strings.Contains(log, tc.wantLog) || !strings.Contains(log, "level=ERROR") || strings.Contains(log, "hunter2") {
				t.Errorf("the log is %s", log)
			}
			want := map[string]float64{"error": 1, "patched": 0, "refused": 0, "unchanged": 0}
			if diff := cmp.Diff(want, w.counters(t, "inpod_admission_reviews_total")); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		})
	}
}

// Where a quota has a scope that is not understood, nothing is fitted into it, and what exceeds it may be the sidecar.
func TestWhetherTheSidecarWasFittedIntoQuotasIsKnown(t *testing.T) {
	t.Parallel()
	of := func(scopes ...corev1.ResourceQuotaScope) *inject.Limits {
		q := inject.Quota{Name: "team", Hard: list("limits.cpu", "4")}
		for _, scope := range scopes {
			q.Scopes = append(q.Scopes, corev1.ScopedResourceSelectorRequirement{ScopeName: scope, Operator: corev1.ScopeSelectorOpExists})
		}
		return &inject.Limits{Quotas: []inject.Quota{q}}
	}
	for name, tc := range map[string]struct {
		limits *inject.Limits
		want   bool
	}{
		"nothing is known":                      {nil, false},
		"no quota":                              {&inject.Limits{}, true},
		"a quota of all pods":                   {of(), true},
		"a scope that is understood":            {of(corev1.ResourceQuotaScopeNotTerminating), true},
		"affinity across namespaces":            {of(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), true},
		"a scope of claims":                     {of(corev1.ResourceQuotaScopeVolumeAttributesClass), true},
		"a scope that is not understood":        {of("Newer"), false},
		"one of many, and of other pods anyway": {of("Newer", corev1.ResourceQuotaScopeTerminating), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWebhook()
			asked := false
			w.Limits = func(string) *inject.Limits { return tc.limits }
			w.Refused = func(_ context.Context, _, _ string, _ *corev1.Pod, hasLimits bool) string {
				if asked = true; hasLimits != tc.want {
					t.Errorf("%v, want %v", hasLimits, tc.want)
				}
				return ""
			}
			w.send(t, admission.PathPods, request(asks))
			if !asked {
				t.Error("nobody asks whether pods are refused")
			}
		})
	}
}

func TestWhatIsNoReviewIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ method, body, want string }{
		"a browser":        {http.MethodGet, "", "admission webhook"},
		"no JSON":          {http.MethodPost, "hunter2", "not an AdmissionReview"},
		"an older version": {http.MethodPost, `{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{}}`, "admission.k8s.io/v1beta1"},
		"no request":       {http.MethodPost, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, "with a request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWebhook()
			answer := httptest.NewRecorder()
			w.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), tc.method, admission.PathPods, strings.NewReader(tc.body)))
			if answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), tc.want) || strings.Contains(answer.Body.String(), "hunter2") {
				t.Errorf("%d %q; want 400 with %q", answer.Code, answer.Body, tc.want)
			}
		})
	}
}

// The public key of the controller is asked for at each injection: the digest key may be replaced.
func TestEachPodGetsTheKeyThatThereIs(t *testing.T) {
	t.Parallel()
	w := newWebhook()
	public := strings.Repeat("1", 64)
	w.ConfirmKey = func() string { return public }
	for _, key := range []string{strings.Repeat("1", 64), strings.Repeat("2", 64)} {
		public = key
		if got := applied(t, asks, w.send(t, admission.PathPods, request(asks))); !strings.Contains(got, "--controller-key="+key) {
			t.Errorf("no key %s in %s", key, got)
		}
	}
}
