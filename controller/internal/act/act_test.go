package act_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"inpod.dev/inpod/controller/internal/act"
	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

type writer = *act.Writer

// kinds has every row there is, and one that a configuration adds.
func kinds() workload.Table {
	other := workload.FromJSON("Thing", schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "things"}, "spec", "of", "pod/template")
	return workload.Kinds().With(workload.Rollout()).With(workload.DeploymentConfig()).With(other)
}

// request is what the API server got.
type request struct {
	requests            int
	method, path        string
	contentType, accept string
	fieldManager        string
	body                []byte
}

// send lets a writer write to an API server, and returns what arrived there.
func send(t *testing.T, strategy config.Strategy, write func(writer) error) request {
	t.Helper()
	var got request
	err := serve(t, strategy, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = request{
			requests: got.requests + 1, method: r.Method, path: r.URL.Path, contentType: r.Header.Get("Content-Type"),
			accept: r.Header.Get("Accept"), fieldManager: r.URL.Query().Get("fieldManager"), body: body,
		}
		answer(w, http.StatusOK, &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
			ObjectMeta: metav1.ObjectMeta{Name: "web", ResourceVersion: "4711"},
		})
	}, write)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// serve lets a writer write to an API server that answers as configured.
func serve(t *testing.T, strategy config.Strategy, handle http.HandlerFunc, write func(writer) error) error {
	t.Helper()
	server := httptest.NewServer(handle)
	defer server.Close()
	client, err := metadata.NewForConfig(&rest.Config{Host: server.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return write(&act.Writer{Client: client, Digester: digester(t), Kinds: kinds(), Strategy: strategy})
}

func answer(w http.ResponseWriter, status int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object)
}

func TestARolloutIsOneRequest(t *testing.T) {
	t.Parallel()
	view, decision := rollout(t, rich(), conf())
	var version uint64
	got := send(t, config.EnvVars, func(w writer) (err error) {
		version, err = w.Rollout(t.Context(), view, decision, noon)
		return err
	})
	got.body = nil
	if !strings.Contains(got.accept, "as=PartialObjectMetadata") {
		t.Errorf("the answer would be the whole object: Accept is %q", got.accept)
	}
	got.accept = ""
	want := request{
		requests: 1, method: http.MethodPatch, path: "/apis/apps/v1/namespaces/shop/deployments/web",
		contentType: "application/strategic-merge-patch+json", fieldManager: "inpod",
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(request{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if version != 4711 {
		t.Errorf("resource version %d, want 4711", version)
	}
}

func TestEachKindHasItsPath(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds() {
		view := workload.View{Key: workload.Key{Kind: kind.Name, Namespace: "shop", Name: "web"}, UID: "u"}
		got := send(t, config.EnvVars, func(w writer) error {
			_, err := w.Record(t.Context(), view, source.Baseline{})
			return err
		})
		if want := "/apis/" + kind.APIVersion() + "/namespaces/shop/" + strings.ToLower(kind.Name) + "s/web"; got.path != want {
			t.Errorf("path %s, want %s", got.path, want)
		}
	}
	unknown := workload.View{Key: workload.Key{Kind: "CronJob", Namespace: "shop", Name: "web"}}
	send(t, config.EnvVars, func(w writer) error {
		if _, err := w.Record(t.Context(), unknown, source.Baseline{}); err == nil || !strings.Contains(err.Error(), "CronJob shop/web") {
			t.Errorf("an unknown kind: %v", err)
		}
		return nil
	})
}

func TestABaselineIsAMergePatchOfOneAnnotation(t *testing.T) {
	t.Parallel()
	_, decision := rollout(t, rich(), conf())
	text, err := digester(t).Encode(decision.Baseline)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		baseline source.Baseline
		want     any
	}{
		"written": {decision.Baseline, text},
		"removed": {source.Baseline{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := send(t, config.EnvVars, func(w writer) error {
				_, err := w.Record(t.Context(), viewOf(t, rich()), c.baseline)
				return err
			})
			if got.contentType != "application/merge-patch+json" || got.fieldManager != "inpod" || got.requests != 1 {
				t.Errorf("%+v", got)
			}
			var body any
			if err := json.Unmarshal(got.body, &body); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"metadata": map[string]any{
				"uid": "uid-of-web", "annotations": map[string]any{annotation.Baseline: c.want},
			}}
			if diff := cmp.Diff(any(want), body); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

// The loop distinguishes errors, and users read them.
func TestErrorsKeepTheirKindAndNameTheWorkload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status *apierrors.StatusError
		is     func(error) bool
	}{
		"conflict":  {apierrors.NewConflict(appsv1.Resource("deployments"), "web", errors.New("uid mismatch")), apierrors.IsConflict},
		"not found": {apierrors.NewNotFound(appsv1.Resource("deployments"), "web"), apierrors.IsNotFound},
		"refused":   {apierrors.NewForbidden(appsv1.Resource("deployments"), "web", errors.New("denied the request")), apierrors.IsForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			view, decision := rollout(t, rich(), conf())
			err := serve(t, config.EnvVars, func(w http.ResponseWriter, _ *http.Request) {
				answer(w, int(c.status.ErrStatus.Code), c.status.ErrStatus)
			}, func(w writer) error {
				_, err := w.Rollout(t.Context(), view, decision, noon)
				return err
			})
			if !c.is(err) || !strings.HasPrefix(err.Error(), "patching Deployment shop/web: ") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAWriteEndsWithItsContext(t *testing.T) {
	t.Parallel()
	view, decision := rollout(t, rich(), conf())
	arrived := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	err := serve(t, config.EnvVars, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that the client goes away
		close(arrived)
		<-r.Context().Done()
	}, func(w writer) error {
		_, err := w.Rollout(ctx, view, decision, noon)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Where resource versions are no numbers the loop cannot compare them, and has to know.
func TestAVersionThatIsNoNumberIsUnknown(t *testing.T) {
	t.Parallel()
	var version uint64
	err := serve(t, config.EnvVars, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
			ObjectMeta: metav1.ObjectMeta{Name: "web", ResourceVersion: "a-b"},
		})
	}, func(w writer) (err error) {
		version, err = w.Record(t.Context(), viewOf(t, rich()), source.Baseline{})
		return err
	})
	if version != 0 || err != nil {
		t.Errorf("%d, %v; want 0 and no error", version, err)
	}
}
