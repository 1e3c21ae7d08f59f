package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Objects names what the replicas share.
type Objects struct {
	Namespace     string // of the Secret
	Secret        string
	Configuration string // the MutatingWebhookConfiguration
}

// Watcher is what every replica does: it serves the certificate in the Secret as it comes, and knows whether the API
// servers are made to trust it.
type Watcher struct {
	objects Objects
	served  *Served
	log     *slog.Logger

	secrets        cache.SharedIndexInformer
	configurations cache.SharedIndexInformer
	// changed wakes the leader when one of the two was changed; one entry is enough, since the leader reads both.
	changed chan struct{}
}

// NewWatcher returns a watcher that has seen nothing yet.
func NewWatcher(client kubernetes.Interface, objects Objects, log *slog.Logger, registerer prometheus.Registerer) *Watcher {
	one := func(name string) informers.SharedInformerOption {
		return informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
		})
	}
	namespaced := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(objects.Namespace), one(objects.Secret))
	global := informers.NewSharedInformerFactoryWithOptions(client, 0, one(objects.Configuration))
	return &Watcher{
		objects: objects, served: NewServed(registerer), log: log, changed: make(chan struct{}, 1),
		secrets:        namespaced.Core().V1().Secrets().Informer(),
		configurations: global.Admissionregistration().V1().MutatingWebhookConfigurations().Informer(),
	}
}

// Served is what this replica serves.
func (w *Watcher) Served() *Served { return w.served }

// Run follows until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	for _, informer := range []cache.SharedIndexInformer{w.secrets, w.configurations} {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { w.refresh() },
			UpdateFunc: func(_, _ any) { w.refresh() },
			DeleteFunc: func(any) { w.refresh() },
		})
		if err != nil {
			return fmt.Errorf("watch Secret and webhook configuration: %w", err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.configurations.RunWithContext(ctx)
	}()
	w.secrets.RunWithContext(ctx)
	<-done
	return nil
}

// refresh takes what is in the Secret now and wakes the leader.
func (w *Watcher) refresh() {
	if secret := w.secret(); secret != nil {
		changed, err := w.served.set(secret.Data[keyLeafCert], secret.Data[keyLeafKey])
		switch {
		case err != nil:
			w.log.Warn("using the certificate failed, serving the last good one", "secret", w.objects.Namespace+"/"+w.objects.Secret, "error", err)
		case changed:
			w.log.Info("serving certificate", "from", "Secret "+w.objects.Namespace+"/"+w.objects.Secret, "expires", w.served.Leaf().NotAfter)
		}
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *Watcher) secret() *corev1.Secret {
	object, exists, err := w.secrets.GetStore().GetByKey(w.objects.Namespace + "/" + w.objects.Secret)
	if secret, ok := object.(*corev1.Secret); err == nil && exists && ok {
		return secret
	}
	return nil
}

func (w *Watcher) configuration() *admissionv1.MutatingWebhookConfiguration {
	object, exists, err := w.configurations.GetStore().GetByKey(w.objects.Configuration)
	if configuration, ok := object.(*admissionv1.MutatingWebhookConfiguration); err == nil && exists && ok {
		return configuration
	}
	return nil
}

// Check is for readiness: nil when there is a certificate that the API servers are made to trust.
func (w *Watcher) Check() error {
	if err := w.served.Check(); err != nil {
		return err
	}
	configuration := w.configuration()
	if configuration == nil {
		return fmt.Errorf("there is no MutatingWebhookConfiguration %s, so no API server calls the webhook; install it with the chart", w.objects.Configuration)
	}
	leaf := w.served.Leaf()
	for _, webhook := range configuration.Webhooks {
		if err := trusted(leaf, webhook.ClientConfig.CABundle); err != nil {
			return fmt.Errorf("the caBundle of webhook %s does not cover the certificate that is served: %w", webhook.Name, err)
		}
	}
	return nil
}

// trusted asks what an API server asks that has this caBundle.
func trusted(leaf *x509.Certificate, bundle []byte) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return errors.New("it is empty; the leader fills it")
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}
