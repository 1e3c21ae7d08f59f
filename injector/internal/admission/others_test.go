package admission_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/injector/internal/admission"
	"inpod.dev/inpod/injector/internal/certs"
)

func namespace(annotations map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: annotations}}
}

func TestDefaultsOfANamespace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(namespace(map[string]string{"inpod.dev/preset": "nginx", "example.com/note": "theirs"}))
		reads, broken := 0, false
		client.PrependReactor("get", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
			reads++
			return broken, nil, errors.New("away")
		})
		namespaces := admission.NewNamespaces(client)
		want := func(why string, wantReads int, wantDefaults map[string]string) {
			t.Helper()
			got, err := namespaces.Defaults(t.Context(), "192.0.2.1", "shop")
			if diff := cmp.Diff(wantDefaults, got); diff != "" || err != nil || reads != wantReads {
				t.Errorf("%s: %d reads, want %d; error %v; defaults (-want +got):\n%s", why, reads, wantReads, err, diff)
			}
		}
		nginx, haproxy := map[string]string{"inpod.dev/preset": "nginx"}, map[string]string{"inpod.dev/preset": "haproxy"}
		want("our keys alone", 1, nginx)
		want("at once again", 1, nginx)
		if _, err := client.CoreV1().Namespaces().Update(t.Context(), namespace(haproxy), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		want("an edit a second ago", 2, haproxy)
		broken = true
		time.Sleep(time.Second)
		want("what was read last, while it cannot be read", 3, haproxy)
		if _, err := namespaces.Defaults(t.Context(), "192.0.2.1", "other"); err == nil || !strings.Contains(err.Error(), "namespace other: away") {
			t.Errorf("a namespace that was never read: %v", err)
		}
	})
}

func TestANamespaceThatIsGoneHasNoDefaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(namespace(nil))
		namespaces := admission.NewNamespaces(client)
		if _, err := namespaces.Defaults(t.Context(), "192.0.2.1", "shop"); err != nil {
			t.Fatal(err)
		}
		client.PrependReactor("get", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "shop")
		})
		time.Sleep(time.Second)
		if _, err := namespaces.Defaults(t.Context(), "192.0.2.1", "shop"); !apierrors.IsNotFound(err) {
			t.Errorf("error %v", err)
		}
	})
}

func TestSystemNamespaces(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"kube-system": true, "kube-public": true, "kube-node-lease": true, "kube-shop": false, "default": false} {
		if got := admission.IsSystem(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A server that was asked to stop answers on for as long as it is called, and is not ready meanwhile.
func TestTheServerDrains(t *testing.T) {
	defer goleak.VerifyNone(t)
	drain := 300 * time.Millisecond
	for !drains(t, drain) { // a slow machine cannot call in so short a time
		if drain *= 10; drain > 5*time.Minute {
			t.Fatal("a server that drains does not answer")
		}
	}
}

// drains runs a server, stops it, and reports whether it answered a call meanwhile.
func drains(t *testing.T, drain time.Duration) (answered bool) {
	t.Helper()
	served := certs.NewServed(prometheus.NewPedanticRegistry())
	serveTestCertificate(t, served)
	server := &admission.Server{
		Address: "127.0.0.1:0", TLS: served.Config(), Drain: drain, Log: slog.New(slog.DiscardHandler),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }),
	}
	if err := server.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Run(ctx) }()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	get := func(path string) string {
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+server.Addr()+path, http.NoBody)
		response, err := transport.RoundTrip(request)
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return string(body)
	}
	if got := get(admission.PathPods); got != admission.PathPods {
		t.Errorf("before: %s", got)
	}
	if got := get("/"); !strings.Contains(got, "404") {
		t.Errorf("another path: %s", got)
	}
	if err := server.Check(); err != nil {
		t.Errorf("before: %v", err)
	}
	stop()
	for server.Check() == nil {
		time.Sleep(time.Millisecond)
	}
	answered = get(admission.PathNamespaces) == admission.PathNamespaces
	if err := <-stopped; err != nil {
		t.Errorf("Run = %v", err)
	}
	if got := get(admission.PathPods); !strings.Contains(got, "refused") {
		t.Errorf("afterwards: %s", got)
	}
	return answered
}

func TestAPortInUse(t *testing.T) {
	t.Parallel()
	first := &admission.Server{Address: "127.0.0.1:0"}
	if err := first.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := (&admission.Server{Address: first.Addr()}).Listen(t.Context())
	if err == nil || !strings.Contains(err.Error(), first.Addr()) || !strings.Contains(err.Error(), "another address") {
		t.Errorf("error %v", err)
	}
}

// A review that is larger than an API server sends is refused before it is read, and one with more elements than a pod has
// before it is decoded.
func TestWhatIsTooLargeIsNotRead(t *testing.T) {
	t.Parallel()
	const dense = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","object":{"spec":{"containers":[%s]}}}}`
	for name, tc := range map[string]struct {
		body   string
		length int64 // "-1" when nobody says
		want   string
	}{
		"more bytes, as it says":        {strings.Repeat("x", 4<<20), 4 << 20, "bytes, and at most"},
		"more bytes, without a length":  {strings.Repeat("x", 4<<20), -1, "too large"},
		"a review of very many members": {fmt.Sprintf(dense, strings.Repeat("{},", 30_000)+"{}"), 0, "members and elements"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWebhook()
			body := strings.NewReader(tc.body)
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, admission.PathPods, body)
			if tc.length != 0 {
				request.ContentLength = tc.length
			}
			answer := httptest.NewRecorder()
			w.ServeHTTP(answer, request)
			if answer.Code != http.StatusRequestEntityTooLarge || !strings.Contains(answer.Body.String(), tc.want) {
				t.Errorf("%d %q; want 413 with %q", answer.Code, answer.Body, tc.want)
			}
			if tc.length > 0 && body.Len() != len(tc.body) {
				t.Error("it was read")
			}
			if len(w.decided) > 0 {
				t.Errorf("it was decided: %v", w.decided)
			}
		})
	}
}

// Who asks about one unknown namespace after the other costs the API server little, and another caller nothing.
func TestUnknownNamespacesAreNotAskedForWithoutEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(namespace(map[string]string{"inpod.dev/preset": "nginx"}))
		reads := 0
		client.PrependReactor("get", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
			reads++
			return false, nil, nil
		})
		namespaces := admission.NewNamespaces(client)
		for range 100 {
			if _, err := namespaces.Defaults(t.Context(), "192.0.2.1", "nowhere"); err == nil {
				t.Fatal("a namespace that does not exist has defaults")
			}
		}
		if reads != 1 {
			t.Errorf("%d reads of one namespace that does not exist, within a second", reads)
		}
		for i := range 10_000 {
			if _, err := namespaces.Defaults(t.Context(), "192.0.2.1", fmt.Sprintf("n%d", i)); err == nil {
				t.Fatal("a namespace that does not exist has defaults")
			}
		}
		if reads > 60 {
			t.Errorf("%d reads for one caller in a moment", reads)
		}
		if got, err := namespaces.Defaults(t.Context(), "192.0.2.2", "shop"); err != nil || got["inpod.dev/preset"] != "nginx" {
			t.Errorf("another caller: %v, %v", got, err)
		}
	})
}

// exists is a namespace, as the API server sends it.
func exists(r *http.Request) any {
	name := path.Base(r.URL.Path)
	if !strings.HasPrefix(name, "shop") {
		return nil
	}
	return corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"inpod.dev/preset": "nginx", "example.com/large": strings.Repeat("x", 1000)}},
	}
}

func TestOneRequestAtATimeForANamespace(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"shop", "nowhere"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api := &slowAPI{takes: 100 * time.Millisecond, answer: exists}
				namespaces := admission.NewNamespaces(api.client(t))
				first, leave := context.WithCancel(t.Context())
				var all sync.WaitGroup
				all.Go(func() { _, _ = namespaces.Defaults(first, "192.0.2.1", name) })
				synctest.Wait()
				for i := range 100 {
					all.Go(func() {
						got, err := namespaces.Defaults(t.Context(), fmt.Sprint("192.0.2.", i%3), name)
						if name == "shop" && (err != nil || got["inpod.dev/preset"] != "nginx") || name != "shop" && !apierrors.IsNotFound(err) {
							t.Errorf("%v, %v", got, err)
						}
					})
				}
				synctest.Wait()
				leave() // others have joined
				all.Wait()
				if asked, _ := api.count(); asked != 1 {
					t.Errorf("%d requests", asked)
				}
			})
		})
	}
}

// Whatever is waited for, the answer comes while the API server still waits for it.
func TestTheAnswerComesInTime(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[string]time.Duration{
		"5s": 4 * time.Second, "2s": 1600 * time.Millisecond, "": 4 * time.Second, "-1s": 4 * time.Second, "1h": 4 * time.Second, "soon": 4 * time.Second,
		"30s": 8 * time.Second, // the server writes no answer after ten
	} {
		t.Run("timeout "+timeout, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWebhook()
				api := &slowAPI{takes: 9 * time.Second, answer: exists}
				w.Defaults = admission.NewNamespaces(api.client(t)).Defaults
				began := time.Now()
				response := w.send(t, admission.PathPods+"?timeout="+timeout, request(asks, func(*admissionv1.AdmissionRequest) {}))
				if took := time.Since(began); took != want || !response.Allowed || response.Patch != nil {
					t.Errorf("after %s: allowed %v, patch %s; want an answer without a patch after %s", took, response.Allowed, response.Patch, want)
				}
				time.Sleep(10 * time.Second) // the request of the namespace goes on for those that come later
				if response = w.send(t, admission.PathPods, request(asks, func(*admissionv1.AdmissionRequest) {})); response.Patch == nil {
					t.Error("the next pod is not injected")
				}
				time.Sleep(10 * time.Second) // until the second request has ended, too
			})
		})
	}
}

// Whoever waits gets the error, the injector goes on, and the next one asks again.
func TestAPanicWhileANamespaceIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		isBroken := true
		api := &slowAPI{takes: time.Second, answer: func(r *http.Request) any {
			if isBroken {
				panic("a fault")
			}
			return exists(r)
		}}
		namespaces := admission.NewNamespaces(api.client(t))
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if _, err := namespaces.Defaults(t.Context(), "192.0.2.1", "shop"); err == nil || !strings.Contains(err.Error(), "a fault") {
					t.Errorf("error %v", err)
				}
			})
		}
		all.Wait()
		isBroken = false
		if got, err := namespaces.Defaults(t.Context(), "192.0.2.1", "shop"); err != nil || got["inpod.dev/preset"] != "nginx" {
			t.Errorf("the next one: %v, %v", got, err)
		}
	})
}

// Known ones are not read without a bound, either: what was read last has to do where too much is asked.
func TestNamespacesAreNotReadWithoutABound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &slowAPI{takes: 20 * time.Millisecond, answer: exists}
		namespaces := admission.NewNamespaces(api.client(t))
		const number = 2000
		for i := range number { // as one caller may
			if _, err := namespaces.Defaults(t.Context(), "192.0.2.1", fmt.Sprint("shop", i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		api.count()
		var all sync.WaitGroup
		for caller := range 50 {
			all.Go(func() {
				for i := range number {
					got, err := namespaces.Defaults(t.Context(), fmt.Sprint("198.51.100.", caller), fmt.Sprint("shop", (i+caller*40)%number))
					if err != nil || got["inpod.dev/preset"] != "nginx" {
						t.Errorf("%v, %v", got, err)
						return
					}
				}
			})
		}
		began := time.Now()
		all.Wait()
		asked, atOnce := api.count()
		if most := int(time.Since(began).Seconds()+1)*400 + 800; asked > most || asked == 0 || atOnce > 16 {
			t.Errorf("%d requests in %s, want %d at most; %d at one time", asked, time.Since(began), most, atOnce)
		}
	})
}

// However many namespaces are made up, those that exist are remembered.
func TestInventedNamespacesPushNobodyOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		isAway := false
		api := &slowAPI{answer: func(r *http.Request) any {
			if isAway && path.Base(r.URL.Path) == "shop" {
				return metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: http.StatusInternalServerError}
			}
			return exists(r)
		}}
		namespaces := admission.NewNamespaces(api.client(t))
		if _, err := namespaces.Defaults(t.Context(), "192.0.2.1", "shop"); err != nil {
			t.Fatal(err)
		}
		for i := range 15_000 {
			_, _ = namespaces.Defaults(t.Context(), fmt.Sprint("198.51.100.", i%10), fmt.Sprint("n", i))
			time.Sleep(20 * time.Millisecond)
		}
		isAway = true
		if got, err := namespaces.Defaults(t.Context(), "192.0.2.1", "shop"); err != nil || got["inpod.dev/preset"] != "nginx" {
			t.Errorf("%v, %v", got, err)
		}
	})
}
