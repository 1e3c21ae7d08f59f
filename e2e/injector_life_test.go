//go:build e2e

package e2e_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
)

// Certificates that last for half a minute and CAs that last for one and a half: all of them are replaced while
// pods are created all the time, the Secret is deleted, and a replica is. No pod goes without its sidecar.
//
// On a machine that is slower by more than longest they last no longer than that: a third of each is left when it is
// replaced, which is time enough there too, and the test waits for whole lifetimes.
func TestCertificatesAreRenewedUnderLoad(t *testing.T) {
	t.Parallel()
	const longest = 4
	stretched := func(lifetime time.Duration) string { return min(patience.Stretch(lifetime), longest*lifetime).String() }
	release, _ := installInjector(t, framework.Values{
		"certificateLifetime": stretched(30 * time.Second), "caSettle": stretched(5 * time.Second),
		"caLifetime": stretched(90 * time.Second), "drain": stretched(5 * time.Second),
	})
	s := openInjected(t, release, restricted, nil)
	load := s.startLoad()

	cas, certificates := map[string]bool{}, map[string]bool{}
	seen := func(wantCAs, wantCertificates int) {
		t.Helper()
		s.eventually(fmt.Sprintf("%d CAs and %d certificates", wantCAs, wantCertificates), func() (string, bool) {
			if leaf := s.certificate(release); leaf != nil {
				certificates[leaf.SerialNumber.String()], cas[string(leaf.AuthorityKeyId)] = true, true
			}
			return fmt.Sprint(len(cas), len(certificates)), len(cas) >= wantCAs && len(certificates) >= wantCertificates
		})
	}
	seen(1, 2)
	s.must(s.Client.CoreV1().Secrets(release.Namespace).Delete(s.ctx, "inpod-injector-tls", metav1.DeleteOptions{}))
	seen(2, 3)
	pods, err := s.Pods(s.ctx, injectorOf(release))
	s.must(err)
	s.must(s.Client.CoreV1().Pods(release.Namespace).Delete(s.ctx, pods[0].Name, metav1.DeleteOptions{}))
	s.must(s.AwaitGone(s.ctx, pods[0]))
	seen(3, 5)

	created, missed := load.stop()
	if missed > 0 || created == 0 {
		t.Errorf("of %d pods %d got no sidecar", created, missed)
	}
	t.Logf("%d pods, %d CAs, %d certificates, %s", created, len(cas), len(certificates), s.answers(release))
}

// answers says how long the injector took to answer, as far as the replicas that are there remember.
func (s *space) answers(release framework.Release) string {
	s.t.Helper()
	pods, err := s.Pods(s.ctx, injectorOf(release))
	s.must(err)
	var text strings.Builder
	for _, pod := range pods {
		metrics, err := s.Metrics(s.ctx, pod.Namespace, pod.Name)
		s.must(err)
		for _, metric := range metrics["inpod_admission_duration_seconds"].GetMetric() {
			all := metric.GetHistogram().GetSampleCount()
			for _, bucket := range metric.GetHistogram().GetBucket() {
				if float64(bucket.GetCumulativeCount()) >= 0.99*float64(all) {
					fmt.Fprintf(&text, "99 %% of %d answers within %s; ", all, time.Duration(bucket.GetUpperBound()*float64(time.Second)))
					break
				}
			}
		}
	}
	return strings.TrimSuffix(text.String(), "; ")
}

// loadPace is the time between two pods of each of the two who create them: a hundred per second, which leaves something
// of a small machine to the other tests.
const loadPace = 20 * time.Millisecond

// load creates pods one after the other. They are dry runs: the webhook is called, and nothing comes of them.
type load struct {
	end             context.CancelFunc
	tasks           sync.WaitGroup
	created, missed atomic.Int64
}

func (s *space) startLoad() *load {
	ctx, end := context.WithCancel(s.ctx)
	l := &load{end: end}
	for range 2 {
		l.tasks.Go(func() {
			pace := time.NewTicker(loadPace)
			defer pace.Stop()
			for ctx.Err() == nil {
				<-pace.C
				pod := podWith("load", container("app", "sleep"), "reload-url", "http://127.0.0.1/")
				pod.Spec.SecurityContext.RunAsNonRoot = new(true)
				volume(ofConfigMap("config"))(&pod.Spec)
				created, err := s.Client.CoreV1().Pods(s.ns).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					s.t.Errorf("a pod was not admitted: %v", err)
					return
				}
				l.created.Add(1)
				if sidecarOf(created) == nil {
					l.missed.Add(1)
				}
			}
		})
	}
	return l
}

func (l *load) stop() (created, missed int64) {
	l.end()
	l.tasks.Wait()
	return l.created.Load(), l.missed.Load()
}

// certificate is the one that the replicas share, nil while there is none.
func (s *space) certificate(release framework.Release) *x509.Certificate {
	s.t.Helper()
	secret, err := s.Client.CoreV1().Secrets(release.Namespace).Get(s.ctx, "inpod-injector-tls", metav1.GetOptions{})
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(secret.Data[corev1.TLSCertKey])
	if block == nil {
		s.t.Fatal("the Secret holds no certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	s.must(err)
	return leaf
}

// injectorOf names the injector's Deployment of a release.
func injectorOf(release framework.Release) framework.Workload {
	return framework.Deployment(release.Namespace, "inpod-injector")
}

// Without the injector pods are created at once and without the sidecar; when it is back they get it again.
func TestPodsAreCreatedWhileTheInjectorIsAway(t *testing.T) {
	t.Parallel()
	release, values := installInjector(t, nil)
	s := openInjected(t, release, baseline, nil)
	s.apply(configMap("site", "default.conf", site("first")))
	injector := values["injector"].(framework.Values)

	injector["replicas"] = 0
	running, err := s.Pods(s.ctx, injectorOf(release))
	s.must(err)
	s.must(s.Install(s.ctx, release, values))
	s.must(s.AwaitGone(s.ctx, running...))
	began := time.Now()
	if pod := s.create(nginxPod("away", "preset", "nginx")); sidecarOf(pod) != nil {
		t.Error("somebody has injected the sidecar")
	}
	t.Logf("creating a pod took %s", time.Since(began).Round(time.Millisecond))
	s.awaitPod("away", "ready", isReady)

	injector["replicas"] = 1
	s.must(s.Install(s.ctx, release, values))
	// A busy node may be slow to lead the API server there, and then a pod is admitted as it is.
	created := 0
	s.eventually("a pod to have the sidecar again", func() (string, bool) {
		created++
		pod := s.create(nginxPod(fmt.Sprint("back-", created), "preset", "nginx"))
		return fmt.Sprint(pod.Annotations), sidecarOf(pod) != nil
	})
}

// An installation for some namespaces injects there, with the defaults that they have, and nowhere else. Of what is
// cluster-wide it may touch its own webhook configuration and nothing more.
func TestANamespacedInjectorStaysInItsNamespaces(t *testing.T) {
	t.Parallel()
	home, inside := openSpace(t, charge{}), openSpace(t, charge{})
	outside := openSpace(t, charge{})
	release := framework.Release{Name: "inpod", Namespace: home.ns}
	home.must(home.Install(home.ctx, release, framework.Values{
		"commonLabels": framework.Values{runLabel: suite.run}, "namespaces": []string{inside.ns}, "controller": framework.Values{"replicas": 0},
		"injector": framework.Values{"readinessProbe": framework.Values{"periodSeconds": 1}},
	}))
	t.Cleanup(func() {
		ctx, cancel := patience.Context(context.WithoutCancel(t.Context()), cleanLimit)
		defer cancel()
		if err := suite.cluster.Uninstall(ctx, release); err != nil {
			t.Error(err)
		}
	})
	for s, want := range map[*space]bool{inside: true, outside: false} {
		namespace, err := s.Client.CoreV1().Namespaces().Get(s.ctx, s.ns, metav1.GetOptions{})
		s.must(err)
		namespace.Annotations = map[string]string{annotation.Domain + "reload-url": "http://127.0.0.1/"}
		_, err = s.Client.CoreV1().Namespaces().Update(s.ctx, namespace, metav1.UpdateOptions{})
		s.must(err)
		pod := podWith("app", container("app", "sleep"))
		pod.Spec.SecurityContext.RunAsNonRoot = new(true)
		volume(ofConfigMap("config"))(&pod.Spec)
		s.apply(configMap("config", "key", "1"))
		created := s.create(pod)
		for try := range 20 { // a busy node may be slow to lead the API server to the injector, and then a pod is admitted as it is
			if !want || sidecarOf(created) != nil {
				break
			}
			another := pod.DeepCopy()
			another.Name = fmt.Sprint("app-", try)
			created = s.create(another)
		}
		if (sidecarOf(created) != nil) != want {
			t.Errorf("in namespace %s: %v; want a sidecar: %v", s.ns, created.Annotations, want)
		}
	}
	roles, err := home.Client.RbacV1().ClusterRoles().List(home.ctx, metav1.ListOptions{LabelSelector: runLabel + "=" + suite.run})
	home.must(err)
	for _, role := range roles.Items {
		if role.Name == "inpod-injector-"+home.ns {
			for _, rule := range role.Rules {
				if !isOwnWebhook(rule, role.Name) {
					t.Errorf("ClusterRole %s allows %v", role.Name, rule)
				}
			}
		}
	}
}

func isOwnWebhook(rule rbacv1.PolicyRule, name string) bool {
	return len(rule.Resources) == 1 && rule.Resources[0] == "mutatingwebhookconfigurations" &&
		len(rule.ResourceNames) == 1 && rule.ResourceNames[0] == name
}
