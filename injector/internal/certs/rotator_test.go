package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/injector/internal/certs"
)

func TestTheFirstStart(t *testing.T) {
	t.Parallel()
	in(t, func(ctx context.Context, t *testing.T) {
		client := newClient(0, configuration())
		follower := start(ctx, t, client, false)
		if err := follower.watcher.Check(); err == nil || !strings.Contains(err.Error(), "no certificate") {
			t.Errorf("before anybody leads: %v", err)
		}
		leader := start(ctx, t, client, true)
		for _, r := range []*replica{follower, leader} {
			if err := r.watcher.Check(); err != nil {
				t.Errorf("readiness: %v", err)
			}
		}
		leaf := leader.watcher.Served().Leaf()
		if !leaf.Equal(follower.watcher.Served().Leaf()) {
			t.Error("the replicas serve different certificates")
		}
		for _, bundle := range bundles(t, client) {
			if err := trusted(t, leaf, bundle); err != nil {
				t.Error(err)
			}
		}
		hello := &tls.ClientHelloInfo{ServerName: serverName}
		if got, err := follower.watcher.Served().Config().GetCertificate(hello); err != nil || !got.Leaf.Equal(leaf) {
			t.Errorf("a connection gets %v, %v", got, err)
		}
	})
}

// Ten days go by. Every hour every replica serves what every API server trusts.
func TestRenewalsAreNoticedByNobody(t *testing.T) {
	t.Parallel()
	in(t, func(ctx context.Context, t *testing.T) {
		client := newClient(0, configuration())
		leader, follower := start(ctx, t, client, true), start(ctx, t, client, false)
		certificates, cas := map[string]bool{}, map[string]bool{}
		for range 10 * 24 {
			time.Sleep(time.Hour)
			synctest.Wait()
			for _, r := range []*replica{leader, follower} {
				if err := r.watcher.Check(); err != nil {
					t.Fatalf("%s: %v", time.Now(), err)
				}
			}
			leaf := follower.watcher.Served().Leaf()
			certificates[leaf.SerialNumber.String()], cas[string(leaf.AuthorityKeyId)] = true, true
		}
		if len(certificates) < 14 || len(cas) != 2 {
			t.Errorf("%d certificates of %d CAs; want one every 16 hours, and 2", len(certificates), len(cas))
		}
	})
}

func TestARestartOfTheLeaderChangesNothing(t *testing.T) {
	t.Parallel()
	in(t, func(ctx context.Context, t *testing.T) {
		client := newClient(0, configuration())
		first, stop := context.WithCancel(ctx)
		leaf := start(first, t, client, true).watcher.Served().Leaf()
		stop()
		synctest.Wait()
		if next := start(ctx, t, client, true).watcher.Served().Leaf(); !next.Equal(leaf) {
			t.Error("the next leader has made another certificate")
		}
	})
}

func TestACaBundleThatWasOverwrittenIsWrittenAgain(t *testing.T) {
	t.Parallel()
	in(t, func(ctx context.Context, t *testing.T) {
		client := newClient(0, configuration())
		r := start(ctx, t, client, true)
		before := bundles(t, client)
		// As helm or kubectl apply would, with what is in the chart.
		_, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(ctx, configuration(), metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if diff := cmp.Diff(before, bundles(t, client)); diff != "" {
			t.Errorf("caBundles (-want +got):\n%s", diff)
		}
		if err := r.watcher.Check(); err != nil {
			t.Error(err)
		}
	})
}

// Deleting the Secret is how one asks for a new CA. Nobody is left without trust meanwhile.
func TestDeletedSecretReplacesTheCAWithoutAGap(t *testing.T) {
	t.Parallel()
	in(t, func(ctx context.Context, t *testing.T) {
		client := newClient(0, configuration())
		leader, follower := start(ctx, t, client, true), start(ctx, t, client, false)
		old := follower.watcher.Served().Leaf()
		if err := client.CoreV1().Secrets("inpod").Delete(ctx, "tls", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if now := follower.watcher.Served().Leaf(); !now.Equal(old) {
			t.Error("a certificate of the new CA is served before every API server can trust it")
		}
		time.Sleep(settle)
		synctest.Wait()
		now := follower.watcher.Served().Leaf()
		if bytes.Equal(now.AuthorityKeyId, old.AuthorityKeyId) {
			t.Error("the CA is still the old one")
		}
		for _, bundle := range bundles(t, client) {
			for name, leaf := range map[string]*x509.Certificate{"new": now, "old": old} {
				if err := trusted(t, leaf, bundle); err != nil {
					t.Errorf("the %s certificate: %v", name, err)
				}
			}
		}
		if err := leader.watcher.Check(); err != nil {
			t.Error(err)
		}
	})
}

// The Secret was deleted while nobody led: other replicas still serve a certificate, which stays trusted.
func TestASecretThatWasDeletedUnseen(t *testing.T) {
	t.Parallel()
	in(t, func(ctx context.Context, t *testing.T) {
		client := newClient(0, configuration())
		first, stop := context.WithCancel(ctx)
		old := start(first, t, client, true).watcher.Served().Leaf()
		stop()
		synctest.Wait()
		if err := client.CoreV1().Secrets("inpod").Delete(ctx, "tls", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		now := start(ctx, t, client, true).watcher.Served().Leaf()
		for _, bundle := range bundles(t, client) {
			for name, leaf := range map[string]*x509.Certificate{"new": now, "old": old} {
				if err := trusted(t, leaf, bundle); err != nil {
					t.Errorf("the %s certificate: %v", name, err)
				}
			}
		}
	})
}

func TestADamagedSecretIsReplacedAndReported(t *testing.T) {
	t.Parallel()
	in(t, func(ctx context.Context, t *testing.T) {
		client := newClient(0, configuration())
		r := start(ctx, t, client, true)
		secret, err := client.CoreV1().Secrets("inpod").Get(ctx, "tls", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		old := r.watcher.Served().Leaf()
		damaged := secret.DeepCopy()
		damaged.Data["tls.key"] = []byte("hunter2")
		if _, err := client.CoreV1().Secrets("inpod").Update(ctx, damaged, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := r.watcher.Check(); err != nil {
			t.Error(err)
		}
		if r.watcher.Served().Leaf().Equal(old) {
			t.Error("the certificate is still the old one")
		}
		if log := r.log.String(); !strings.Contains(log, "replacing invalid data") || strings.Contains(log, "hunter2") {
			t.Errorf("the log is %s", log)
		}
	})
}

// Trouble is reported once, retried for as long as it lasts, and forgotten when it is over.
func TestTroubleWithTheAPIServer(t *testing.T) {
	t.Parallel()
	in(t, func(ctx context.Context, t *testing.T) {
		client := newClient(0) // the chart has not installed the configuration yet
		r := start(ctx, t, client, true)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if log := r.log.String(); strings.Count(log, "will retry") != 1 || !strings.Contains(log, "which the chart installs") {
			t.Errorf("the log is %s", log)
		}
		if _, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx, configuration(), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := r.watcher.Check(); err != nil {
			t.Error(err)
		}
	})
}

func TestTwoThatLeadForAMomentAgree(t *testing.T) {
	t.Parallel()
	in(t, func(ctx context.Context, t *testing.T) {
		client := newClient(0, configuration())
		conflicts := 2
		client.PrependReactor("create", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
			conflicts--
			return conflicts >= 0, nil, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "secrets"}, "tls")
		})
		one, two := start(ctx, t, client, true), start(ctx, t, client, true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if a, b := one.watcher.Served().Leaf(), two.watcher.Served().Leaf(); a == nil || !a.Equal(b) {
			t.Error("they serve different certificates")
		}
		for _, r := range []*replica{one, two} {
			if err := r.watcher.Check(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestReadinessSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	in(t, func(ctx context.Context, t *testing.T) {
		client := newClient(0, configuration())
		leading, stop := context.WithCancel(ctx)
		start(leading, t, client, true)
		stop()
		synctest.Wait()
		r := start(ctx, t, client, false)
		want := func(text string) {
			t.Helper()
			if err := r.watcher.Check(); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("readiness is %v, want %q", err, text)
			}
		}
		if err := r.watcher.Check(); err != nil {
			t.Fatal(err)
		}
		webhooks := client.AdmissionregistrationV1().MutatingWebhookConfigurations()
		if _, err := webhooks.Update(ctx, configuration(), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want("the caBundle of webhook pods.inject.inpod.dev does not cover")
		if err := webhooks.Delete(ctx, "inpod-injector", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want("no MutatingWebhookConfiguration inpod-injector")
		time.Sleep(lifetime + time.Hour)
		want("has expired")
	})
}

func TestAConnectionBeforeTheFirstCertificateFails(t *testing.T) {
	t.Parallel()
	served := certs.NewServed(prometheus.NewPedanticRegistry())
	if _, err := served.Config().GetCertificate(&tls.ClientHelloInfo{}); err == nil || served.Leaf() != nil {
		t.Errorf("error %v, certificate %v", err, served.Leaf())
	}
}

// What API servers are to accept is issued by their clock, whatever the clock of the leader's node says.
func TestCertificatesAreIssuedByTheClockOfTheAPIServer(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]time.Duration{
		"a node that is ahead by three years": -3 * 365 * 24 * time.Hour, "a node that is a day behind": 24 * time.Hour,
		"a node that is right": 0, "a node that is off by what certificates tolerate": 4 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(ctx context.Context, t *testing.T) {
				r := start(ctx, t, newClient(off, configuration()), true)
				leaf := r.watcher.Served().Leaf()
				if leaf == nil {
					t.Fatalf("nothing is served: %s", r.log)
				}
				server := time.Now().Add(off)
				if server.Before(leaf.NotBefore) || server.After(leaf.NotAfter) {
					t.Errorf("valid from %s to %s, and the API server's time is %s", leaf.NotBefore, leaf.NotAfter, server)
				}
				if warned := strings.Contains(r.log.String(), "clock of this node differs"); warned != (off.Abs() > 5*time.Minute) {
					t.Errorf("a warning: %v; the log is %s", warned, r.log)
				}
			})
		})
	}
}

// Whatever refuses the question for the time, certificates are issued and renewed.
func TestNothingKeepsACertificateFromBeingRenewed(t *testing.T) {
	t.Parallel()
	secrets := schema.GroupResource{Resource: "secrets"}
	for name, refusal := range map[string]error{
		"a webhook without dry runs": apierrors.NewBadRequest("admission webhook does not support dry run"),
		"a quota":                    apierrors.NewForbidden(secrets, "", errors.New("exceeded quota")),
		"a policy":                   apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, "", nil),
		"a server in trouble":        apierrors.NewInternalError(errors.New("away")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(ctx context.Context, t *testing.T) {
				client := newClient(0, configuration())
				client.PrependReactor("create", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
					create, ok := action.(clienttesting.CreateActionImpl)
					return ok && len(create.CreateOptions.DryRun) > 0, nil, refusal
				})
				r := start(ctx, t, client, true)
				for range 2 {
					if err := r.watcher.Check(); err != nil {
						t.Errorf("not ready: %v; %s", err, r.log)
					}
					time.Sleep(2 * lifetime)
					synctest.Wait()
				}
			})
		})
	}
}
