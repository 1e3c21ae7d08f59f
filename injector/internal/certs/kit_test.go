package certs_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/injector/internal/certs"
)

const (
	serverName = "inpod-injector.inpod.svc"
	lifetime   = 24 * time.Hour
	caLifetime = 9 * 24 * time.Hour
	settle     = time.Minute
)

func objects() certs.Objects {
	return certs.Objects{Namespace: "inpod", Secret: "tls", Configuration: "inpod-injector"}
}

func configuration() *admissionv1.MutatingWebhookConfiguration {
	return &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "inpod-injector"},
		Webhooks:   []admissionv1.MutatingWebhook{{Name: "pods.inject.inpod.dev"}, {Name: "namespaces.inject.inpod.dev"}},
	}
}

// newClient is a cluster whose clock differs by off from the one of the test. The fake client would carry out dry runs.
func newClient(off time.Duration, objects ...runtime.Object) *fake.Clientset {
	client := fake.NewClientset(objects...)
	client.PrependReactor("create", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		create, ok := action.(clienttesting.CreateActionImpl)
		if !ok || len(create.CreateOptions.DryRun) == 0 {
			return false, nil, nil
		}
		issued, ok := create.Object.DeepCopyObject().(*corev1.Secret)
		if ok {
			issued.CreationTimestamp = metav1.NewTime(time.Now().Add(off))
		}
		return ok, issued, nil
	})
	return client
}

// replica is one injector, as far as certificates go.
type replica struct {
	watcher *certs.Watcher
	rotator *certs.Rotator
	log     *lines
}

// start runs a watcher, and a rotator if the replica leads.
func start(ctx context.Context, t *testing.T, client *fake.Clientset, leads bool) *replica {
	t.Helper()
	registry, r := prometheus.NewPedanticRegistry(), &replica{log: &lines{}}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	r.watcher = certs.NewWatcher(client, objects(), log, registry)
	r.rotator = certs.NewRotator(client, r.watcher, certs.Policy{
		Names: []string{serverName}, Lifetime: lifetime, CALifetime: caLifetime, Settle: settle,
	}, log, registry)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := r.watcher.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	if leads {
		tasks.Go(func() { r.rotator.Run(ctx) })
	}
	t.Cleanup(tasks.Wait)
	synctest.Wait()
	return r
}

// bundles are the caBundles of the webhooks.
func bundles(t *testing.T, client *fake.Clientset) [][]byte {
	t.Helper()
	c, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "inpod-injector", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var found [][]byte
	for _, w := range c.Webhooks {
		found = append(found, w.ClientConfig.CABundle)
	}
	return found
}

// trusted reports whether an API server with this caBundle accepts the certificate.
func trusted(t *testing.T, leaf *x509.Certificate, bundle []byte) error {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: serverName, CurrentTime: time.Now()})
	return err
}

// in runs a test in fake time with a context that ends before the test does.
func in(t *testing.T, test func(ctx context.Context, t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		t.Cleanup(stop)
		test(ctx, t)
	})
}

// lines is a log that goroutines write.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
