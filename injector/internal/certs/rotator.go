package certs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

const (
	// fieldManager owns the fields that are written here.
	fieldManager = "inpod-injector"
	// resync is the longest time between two passes of the leader, which also are its answer to a missed event.
	resync       = 10 * time.Minute
	firstRetry   = time.Second
	longestRetry = time.Minute
)

// Rotator is what the leader does: it keeps certificate, CA and caBundle good.
type Rotator struct {
	client  kubernetes.Interface
	objects Objects
	policy  Policy
	wake    <-chan struct{}
	log     *slog.Logger

	issued *prometheus.CounterVec
	writes prometheus.Counter

	// last is what was in the Secret, so that deleting it loses nothing; nil after the start.
	last *state
	// published says since when the next CA is known to be in the caBundle.
	published time.Time
}

// NewRotator returns a rotator that runs when the watcher sees a change.
func NewRotator(client kubernetes.Interface, watcher *Watcher, policy Policy, log *slog.Logger, registerer prometheus.Registerer) *Rotator {
	r := &Rotator{
		client: client, objects: watcher.objects, policy: policy, wake: watcher.changed, log: log,
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_webhook_certificates_issued_total",
			Help: "Certificates issued by this replica, by kind: ca or certificate (of the webhook).",
		}, []string{"kind"}),
		writes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inpod_webhook_ca_bundle_writes_total",
			Help: "Updates of the caBundle of the webhook configuration by this replica.",
		}),
	}
	registerer.MustRegister(r.issued, r.writes)
	return r
}

// Run keeps until ctx ends. Trouble is logged once and retried for as long as it lasts.
func (r *Rotator) Run(ctx context.Context) {
	// What an earlier term of this replica knew may be old by now.
	r.last, r.published = nil, time.Time{}
	retry, trouble := firstRetry, ""
	for ctx.Err() == nil {
		next, err := r.pass(ctx, time.Now())
		wait := min(time.Until(next), resync)
		if err != nil {
			wait, retry = retry, min(2*retry, longestRetry)
			if text := err.Error(); text != trouble && ctx.Err() == nil {
				r.log.Error("rotating the certificate failed, will retry", "error", err)
				trouble = text
			}
		} else {
			retry, trouble = firstRetry, ""
		}
		r.sleep(ctx, max(wait, 0), err == nil)
	}
}

// sleep waits for the time or, unless something has just failed, for a change.
func (r *Rotator) sleep(ctx context.Context, d time.Duration, wakeful bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	wake := r.wake
	if !wakeful {
		wake = nil
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
	}
}

// pass makes Secret and caBundle what they have to be now, and returns when the next pass is.
func (r *Rotator) pass(ctx context.Context, now time.Time) (time.Time, error) {
	secret, current, err := r.read(ctx, now)
	if err != nil {
		return time.Time{}, err
	}
	local := now
	wanted, done, next, err := r.policy.next(current, now, r.published)
	if err == nil && len(done) > 0 {
		if now, err = r.checkedClock(ctx, now); err == nil {
			wanted, done, next, err = r.policy.next(current, now, r.published)
		}
	}
	if err != nil {
		return time.Time{}, err
	}
	if err := r.write(ctx, secret, &wanted); err != nil {
		return time.Time{}, err
	}
	r.report(done)
	r.last = &wanted
	if err := r.publish(ctx, encodeCerts(wanted.trusted...)); err != nil {
		return time.Time{}, err
	}
	switch {
	case wanted.next == nil:
		r.published = time.Time{}
	case r.published.IsZero():
		r.published = now
		next = earliest(next, now.Add(r.policy.Settle))
	}
	return next.Add(local.Sub(now)), nil // by this node's clock
}

// checkedClock returns the API server's time where this node's clock is off by more than the tolerance of certificates.
// API servers judge what is issued here by their clocks: by a clock that is ahead it would not be valid yet, by one that is
// behind good certificates would seem so. A dry run of a creation returns an object with the server's time. It is asked for
// only before something is issued. Where it is refused (a quota, a policy, a webhook without dry runs) this node's clock
// counts: nothing may keep a certificate from being renewed.
func (r *Rotator) checkedClock(ctx context.Context, now time.Time) (time.Time, error) {
	probe := r.newSecret(nil)
	probe.Name, probe.GenerateName = "", r.objects.Secret+"-clock-"
	issued, err := r.client.CoreV1().Secrets(r.objects.Namespace).Create(ctx, probe, metav1.CreateOptions{
		FieldManager: fieldManager, DryRun: []string{metav1.DryRunAll},
	})
	if ctx.Err() != nil {
		return now, fmt.Errorf("ask the API server for its time before issuing a certificate: %w", ctx.Err())
	}
	if err != nil {
		r.log.Warn("reading the time of the API server failed, using the clock of this node", "error", err)
		return now, nil
	}
	server := issued.CreationTimestamp.Time
	if server.IsZero() || server.Sub(now).Abs() <= skew {
		return now, nil
	}
	r.log.Warn("clock of this node differs, using the time of the API server for certificates",
		"node", now.UTC().Format(time.RFC3339), "server", server.UTC().Format(time.RFC3339))
	return server, nil
}

// read returns the Secret, nil when there is none, and what is known.
func (r *Rotator) read(ctx context.Context, now time.Time) (*corev1.Secret, state, error) {
	secret, err := r.client.CoreV1().Secrets(r.objects.Namespace).Get(ctx, r.objects.Secret, metav1.GetOptions{})
	switch {
	case err == nil:
		current, problem := decode(secret.Data)
		if problem != nil {
			r.log.Warn("replacing invalid data in the Secret of the certificate", "secret", r.secretName(), "error", problem)
		}
		return secret, current, nil
	case !apierrors.IsNotFound(err):
		return nil, state{}, fmt.Errorf("read Secret %s: %w", r.secretName(), err)
	case r.last != nil:
		// Somebody deleted it, which is how one asks for a new CA. The replicas go on with what they have.
		r.log.Info("Secret of the certificate deleted, replacing the CA", "secret", r.secretName())
		current := *r.last
		if current.next == nil {
			err = r.policy.addNext(&current, now)
			r.published = time.Time{}
		}
		return nil, current, err
	}
	// A new installation, or the Secret was deleted while nobody looked. Then other replicas may still serve a
	// certificate that the caBundle covers: it stays in.
	configuration, err := r.configuration(ctx)
	if err != nil {
		return nil, state{}, err
	}
	var current state
	for _, webhook := range configuration.Webhooks {
		known, err := parseCerts(webhook.ClientConfig.CABundle)
		if err != nil {
			continue // it is replaced
		}
		for _, cert := range known {
			if !current.inBundle(cert) {
				current.trusted = append(current.trusted, cert)
			}
		}
	}
	return nil, current, nil
}

// write puts the state into the Secret, if it is not there already.
func (r *Rotator) write(ctx context.Context, secret *corev1.Secret, wanted *state) error {
	data, err := wanted.encode()
	if err != nil {
		return err
	}
	secrets := r.client.CoreV1().Secrets(r.objects.Namespace)
	if secret == nil {
		_, err := secrets.Create(ctx, r.newSecret(data), metav1.CreateOptions{FieldManager: fieldManager})
		if err != nil {
			return fmt.Errorf("create Secret %s: %w", r.secretName(), err)
		}
		return nil
	}
	if maps.EqualFunc(secret.Data, data, bytes.Equal) {
		return nil
	}
	changed := secret.DeepCopy()
	changed.Data = data
	if _, err := secrets.Update(ctx, changed, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
		return fmt.Errorf("update Secret %s: %w", r.secretName(), err)
	}
	return nil
}

// newSecret is the Secret as it is created.
func (r *Rotator) newSecret(data map[string][]byte) *corev1.Secret {
	if data == nil {
		data = map[string][]byte{keyLeafCert: nil, keyLeafKey: nil} // what the type asks for
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: r.objects.Secret, Namespace: r.objects.Namespace,
			Labels: map[string]string{"app.kubernetes.io/name": "inpod", "app.kubernetes.io/component": "injector"},
		},
		Type: corev1.SecretTypeTLS,
		Data: data,
	}
}

// publish writes the caBundle of every webhook of the configuration that has another one.
func (r *Rotator) publish(ctx context.Context, bundle []byte) error {
	configuration, err := r.configuration(ctx)
	if err != nil {
		return err
	}
	type clientConfig struct {
		CABundle []byte `json:"caBundle"`
	}
	type webhook struct {
		Name         string       `json:"name"`
		ClientConfig clientConfig `json:"clientConfig"`
	}
	var stale []webhook
	for _, w := range configuration.Webhooks {
		if !bytes.Equal(w.ClientConfig.CABundle, bundle) {
			stale = append(stale, webhook{w.Name, clientConfig{bundle}})
		}
	}
	if len(stale) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"webhooks": stale}) // merged by name
	if err != nil {
		return fmt.Errorf("write the caBundle: %w", err)
	}
	_, err = r.client.AdmissionregistrationV1().MutatingWebhookConfigurations().
		Patch(ctx, r.objects.Configuration, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if err != nil {
		return fmt.Errorf("write the caBundle of MutatingWebhookConfiguration %s: %w", r.objects.Configuration, err)
	}
	r.writes.Inc()
	r.log.Info("caBundle of the webhook updated", "configuration", r.objects.Configuration)
	return nil
}

func (r *Rotator) configuration(ctx context.Context) (*admissionv1.MutatingWebhookConfiguration, error) {
	configuration, err := r.client.AdmissionregistrationV1().MutatingWebhookConfigurations().
		Get(ctx, r.objects.Configuration, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read MutatingWebhookConfiguration %s, which the chart installs: %w", r.objects.Configuration, err)
	}
	return configuration, nil
}

func (r *Rotator) report(done []string) {
	for _, did := range done {
		switch {
		case strings.HasSuffix(did, "signs"):
		case strings.HasSuffix(did, "CA"):
			r.issued.WithLabelValues("ca").Inc()
		default:
			r.issued.WithLabelValues("certificate").Inc()
		}
	}
	if len(done) > 0 {
		r.log.Info("certificates renewed", "what", strings.Join(done, ", "), "secret", r.secretName())
	}
}

func (r *Rotator) secretName() string { return r.objects.Namespace + "/" + r.objects.Secret }
