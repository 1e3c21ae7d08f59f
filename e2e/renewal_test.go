//go:build e2e

package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/patience"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{certificate, key}
}

func serial(t *testing.T) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func certificatePEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (a authority) pem() string { return certificatePEM(a.certificate.Raw) }

// sign issues a certificate for a key.
func (a authority) sign(t *testing.T, name string, key any, notBefore, notAfter time.Time) string {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: name}, NotBefore: notBefore, NotAfter: notAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.certificate, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return certificatePEM(der)
}

// pair is a certificate with its key, in one text.
func (a authority) pair(t *testing.T, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return a.sign(t, name, &key.PublicKey, time.Now().Add(-time.Minute), time.Now().Add(time.Hour)) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// projection is a projected volume.
func projection(name string, sources ...corev1.VolumeProjection) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}}
}

func podCertificate(signer, path string) corev1.VolumeProjection {
	return corev1.VolumeProjection{PodCertificate: &corev1.PodCertificateProjection{SignerName: signer, KeyType: "ECDSAP256", CredentialBundlePath: path}}
}

// mount adds a volume to the application's container.
func mount(pod *corev1.Pod, volume corev1.Volume, path, subPath string) {
	pod.Spec.Volumes = append(pod.Spec.Volumes, volume)
	web := &pod.Spec.Containers[0]
	web.VolumeMounts = append(web.VolumeMounts, corev1.VolumeMount{Name: volume.Name, MountPath: path, SubPath: subPath})
}

// sign is a signer for the pods of the namespace, until the test ends: it signs whatever it is asked for.
func (s *space) sign(signer string, ca authority) {
	s.t.Helper()
	requests := s.Client.CertificatesV1().PodCertificateRequests(s.ns)
	var seen []string
	go func() {
		_ = wait.PollUntilContextCancel(s.ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			list, err := requests.List(ctx, metav1.ListOptions{})
			if err != nil {
				return false, nil //nolint:nilerr // it is asked again until the test ends
			}
			for i := range list.Items {
				r := &list.Items[i]
				if r.Spec.SignerName != signer || len(r.Status.Conditions) > 0 || slices.Contains(seen, r.Name) {
					continue
				}
				asked, err := x509.ParseCertificateRequest(r.Spec.StubPKCS10Request)
				if err != nil {
					s.t.Errorf("request %s: %v", r.Name, err)
					return true, nil
				}
				from := time.Now().UTC().Truncate(time.Second)
				until := from.Add(12 * time.Hour)
				r.Status = certificatesv1.PodCertificateRequestStatus{
					CertificateChain: ca.sign(s.t, r.Spec.PodName, asked.PublicKey, from, until),
					NotBefore:        new(metav1.NewTime(from)), NotAfter: new(metav1.NewTime(until)),
					BeginRefreshAt: new(metav1.NewTime(from.Add(6 * time.Hour))),
					Conditions: []metav1.Condition{{
						Type: certificatesv1.PodCertificateRequestConditionTypeIssued, Status: metav1.ConditionTrue,
						Reason: "Signed", Message: "by a test", LastTransitionTime: metav1.NewTime(from),
					}},
				}
				if _, err := requests.UpdateStatus(ctx, r, metav1.UpdateOptions{}); err != nil {
					s.t.Logf("signing %s: %v", r.Name, err)
					continue
				}
				seen = append(seen, r.Name)
			}
			return false, nil
		})
	}()
}

// restartKubelet restarts the kubelet of the local cluster. It has no certificates of pods any more then, and asks for
// others at once; otherwise it would ask ten minutes later at the earliest.
func (s *space) restartKubelet() {
	s.t.Helper()
	owner, _ := localCluster()
	out, err := exec.CommandContext(s.ctx, "go", "run", "-C", filepath.Join(owner, "e2e", "cluster"), ".", "restart", "kubelet").CombinedOutput()
	if err != nil {
		s.t.Fatalf("restarting the kubelet: %v\n%s", err, out)
	}
}

// localCluster is the checkout whose cluster this is; ok is false for a cluster of somebody else's.
func localCluster() (checkout string, ok bool) {
	kubeconfig, err := filepath.EvalSymlinks(suite.cluster.Env.Kubeconfig) // another working tree may share it
	if err != nil {
		return "", false
	}
	folder := filepath.Dir(kubeconfig)
	checkout = filepath.Dir(folder)
	_, err = os.Stat(filepath.Join(checkout, "e2e", "cluster", "main.go"))
	return checkout, filepath.Base(folder) == ".cluster" && err == nil
}

// served returns the serial number of the certificate that is served at a port of a pod, "" if there is none.
func (s *space) served(pod string, port int) string {
	s.t.Helper()
	out, err := s.Exec(s.ctx, s.ns, pod, "web", "curl", "-sk", "-o", "/dev/null", "-w", "%{certs}", fmt.Sprintf("https://127.0.0.1:%d/", port))
	begin := strings.Index(out, "-----BEGIN")
	if err != nil || begin < 0 {
		return ""
	}
	block, _ := pem.Decode([]byte(out[begin:]))
	if block == nil {
		return ""
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ""
	}
	return certificate.SerialNumber.String()
}

// A certificate that the kubelet renews is served without a restart, from a volume of its own and from one that it shares with a
// key of a ConfigMap and a token. It does not run beside others: a kubelet that starts answers nobody for a moment, and a
// test that runs a command in a pod then has nobody to ask.
func TestACertificateOfAPodIsReloadedWhenItIsRenewed(t *testing.T) { //nolint:paralleltest // see above
	if _, ok := localCluster(); !ok {
		t.Skip("only the kubelet of a local cluster can be restarted, and without that a renewal takes ten minutes")
	}
	release, _ := installInjector(t, nil)
	s := openInjected(t, release, anyLevel, nil)
	signer := suite.run + ".e2e.inpod.dev/toy"
	s.sign(signer, newAuthority(t, "toy"))

	const tls = `server { listen 8080; location / { return 200 "up"; } }
server { listen 8443 ssl; ssl_certificate /etc/tls/pod.pem; ssl_certificate_key /etc/tls/pod.pem; }
server { listen 8444 ssl; ssl_certificate /etc/nginx/conf.d/tls/pod.pem; ssl_certificate_key /etc/nginx/conf.d/tls/pod.pem; }
`
	s.apply(configMap("site", "default.conf", tls, "other", "x"))
	pod := nginxPod("web", "preset", "nginx")
	pod.Spec.Volumes[0] = projection(pod.Spec.Volumes[0].Name,
		corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: "site"}, Items: []corev1.KeyToPath{{Key: "default.conf", Path: "default.conf"}},
		}},
		corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "toy", Path: "token"}},
		podCertificate(signer, "tls/pod.pem"))
	mount(pod, projection("tls", podCertificate(signer, "pod.pem")), "/etc/tls", "")
	created := s.create(pod)
	if got := s.record(created); !got.Injected || !slices.Contains(got.Watch, "/etc/tls") {
		t.Fatalf("the record is %s", got)
	}
	s.awaitPod(pod.Name, "ready", isReady)

	ports := []int{8443, 8444}
	before := map[int]string{}
	for _, port := range ports {
		s.eventually(fmt.Sprintf("a certificate at port %d", port), func() (string, bool) {
			before[port] = s.served(pod.Name, port)
			return before[port], before[port] != ""
		})
	}
	for round := range 2 {
		began := time.Now()
		s.restartKubelet()
		for _, port := range ports {
			var now string
			s.eventually(fmt.Sprintf("another certificate at port %d, in round %d", port, round+1), func() (string, bool) {
				s.nudge(pod.Name, fmt.Sprintf("%d.%d", round, time.Now().UnixNano())) // the kubelet would look after a minute by itself
				now = s.served(pod.Name, port)
				return now, now != "" && now != before[port]
			})
			before[port] = now
		}
		t.Logf("round %d: both certificates were renewed and are served %v after the kubelet was stopped", round+1, time.Since(began).Round(100*time.Millisecond))
	}
	s.reported(pod.Name, "applied")
	s.undisturbed(created)
}

// bundle makes or updates a ClusterTrustBundle, which goes with the test.
func (s *space) bundle(name, signer string, labels map[string]string, authorities ...authority) {
	s.t.Helper()
	bundles := s.Client.CertificatesV1().ClusterTrustBundles()
	var text strings.Builder
	for _, a := range authorities {
		text.WriteString(a.pem())
	}
	b := &certificatesv1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	b.Spec.SignerName, b.Spec.TrustBundle = signer, text.String()
	_, err := bundles.Create(s.ctx, b, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		s.must(err)
		s.t.Cleanup(func() {
			ctx, cancel := patience.Context(context.WithoutCancel(s.ctx), cleanLimit)
			defer cancel()
			if err := bundles.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				s.t.Error(err)
			}
		})
		return
	}
	now, err := bundles.Get(s.ctx, name, metav1.GetOptions{})
	s.must(err)
	now.Spec.TrustBundle = b.Spec.TrustBundle
	_, err = bundles.Update(s.ctx, now, metav1.UpdateOptions{})
	s.must(err)
}

// verifies is what nginx says of the client certificate of the test.
func (s *space) verifies(pod string) string {
	s.t.Helper()
	out, err := s.Exec(s.ctx, s.ns, pod, "web", "curl", "-sk", "--cert", "/keys/client.pem", "https://127.0.0.1:8443/")
	if err != nil {
		return err.Error()
	}
	return out
}

// trusting is an nginx that asks for client certificates of the authorities in a bundle.
func trusting(name string, projected corev1.ClusterTrustBundleProjection) *corev1.Pod {
	pod := nginxPod(name, "preset", "nginx")
	projected.Path = "ca.crt"
	mount(pod, projection("ca", corev1.VolumeProjection{ClusterTrustBundle: &projected}), "/etc/ca", "")
	mount(pod, corev1.Volume{Name: "keys", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "keys"}}}, "/keys", "")
	return pod
}

func TestABundleOfTrustAnchorsIsReloadedOrRolled(t *testing.T) {
	t.Parallel()
	release, values := installInjector(t, nil)
	s := openInjected(t, release, anyLevel, nil)
	values["controller"] = framework.Values{
		"config": framework.Values{
			"settle": "500ms", "logLevel": "debug", "reloadDeadline": patience.Stretch(time.Minute).String(),
			"clusterTrustBundles": true, "namespaceSelector": injectorLabel + "=" + release.Namespace,
		},
		"readinessProbe": framework.Values{"periodSeconds": 1},
	}
	s.must(s.Install(s.ctx, release, values))

	first, second, third := newAuthority(t, "first"), newAuthority(t, "second"), newAuthority(t, "third")
	signer := suite.run + ".e2e.inpod.dev/roots"
	name, ofSigner := suite.run+"-roots", strings.ReplaceAll(signer, "/", ":")+":"
	env := map[string]string{"env": "prod"}
	s.bundle(name, "", nil, first, third)
	s.bundle(ofSigner+"one", signer, env, first)
	s.apply(secret("keys", "server.pem", first.pair(t, "web"), "client.pem", second.pair(t, "client")))
	s.apply(configMap("site", "default.conf", `server { listen 8080; location / { return 200 "up"; } }
server { listen 8443 ssl; ssl_certificate /keys/server.pem; ssl_certificate_key /keys/server.pem;
ssl_client_certificate /etc/ca/ca.crt; ssl_trusted_certificate /etc/ca/ca.crt; ssl_verify_client optional_no_ca; location / { return 200 $ssl_client_verify; } }
`))
	selected := corev1.ClusterTrustBundleProjection{SignerName: &signer, LabelSelector: &metav1.LabelSelector{MatchLabels: env}}
	byName := ofPod(trusting("by-name", corev1.ClusterTrustBundleProjection{Name: &name}), 2)
	bySigner := ofPod(trusting("by-signer", selected), 1)
	frozen := ofPod(trusting("by-sub-path", corev1.ClusterTrustBundleProjection{Name: &name}), 1)
	subPathOf(frozen, "ca", "/etc/ca/ca.crt", "ca.crt")
	pods := s.start(byName, bySigner, frozen)
	for _, w := range []*appsv1.Deployment{byName, bySigner, frozen} {
		s.eventually(w.Name+" to trust nobody else", func() (string, bool) {
			got := s.verifies(pods[w.Name][0].Name)
			return got, strings.HasPrefix(got, "FAILED")
		})
	}
	rolledBefore := s.state(framework.Deployment(s.ns, frozen.Name)).Generation

	began := time.Now()
	s.bundle(name, "", nil, third, second, first)
	for _, pod := range pods[byName.Name] {
		s.eventually(pod.Name+" to trust the second authority", func() (string, bool) {
			got := s.verifies(pod.Name)
			return got, got == "SUCCESS"
		})
	}
	t.Logf("by name: trusted %v after the edit", time.Since(began).Round(100*time.Millisecond))
	s.awaitEvent(byName.Name, "ReloadedInPlace", "ClusterTrustBundle "+name+" changed (trustBundle)")
	s.awaitEvent(frozen.Name, "Reloaded", "ClusterTrustBundle "+name+" changed (trustBundle)")
	s.must(s.AwaitRollout(s.ctx, framework.Deployment(s.ns, frozen.Name)))
	if s.state(framework.Deployment(s.ns, frozen.Name)).Generation == rolledBefore {
		t.Error("a bundle that is mounted with subPath was not rolled")
	}

	began = time.Now()
	s.bundle(ofSigner+"two", signer, env, second) // another bundle of the selection
	s.eventually("the selection to be trusted", func() (string, bool) {
		got := s.verifies(pods[bySigner.Name][0].Name)
		return got, got == "SUCCESS"
	})
	t.Logf("by signer: trusted %v after another bundle of it was made", time.Since(began).Round(100*time.Millisecond))
	s.awaitEvent(bySigner.Name, "ReloadedInPlace", "ClusterTrustBundle "+signer+"[env=prod] changed (trustBundle)")
	s.allUndisturbed(pods[byName.Name])
	s.allUndisturbed(pods[bySigner.Name])
}

// subPathOf mounts a volume of a Deployment with subPath instead.
func subPathOf(d *appsv1.Deployment, volume, path, subPath string) {
	mounts := d.Spec.Template.Spec.Containers[0].VolumeMounts
	i := slices.IndexFunc(mounts, func(m corev1.VolumeMount) bool { return m.Name == volume })
	mounts[i].MountPath, mounts[i].SubPath = path, subPath
}

// What the kubelet never renews is reported on the workload, and not again when the controller starts again.
func TestACertificateThatIsNeverRenewedIsReported(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.install(nil, nil)
	applied := map[string]int64{}
	for name, source := range map[string]corev1.VolumeProjection{
		"certificate": podCertificate("e2e.inpod.dev/nobody", "file.pem"),
		"bundle":      {ClusterTrustBundle: &corev1.ClusterTrustBundleProjection{Name: new("e2e-nobody"), Path: "file.pem", Optional: new(true)}},
	} {
		d, ok := app{kind: "Deployment", name: name}.idle().annotated(s.keys.auto, "true").object().(*appsv1.Deployment)
		if !ok {
			t.Fatal("not a Deployment")
		}
		d.Spec.Template.Spec.Volumes = append(d.Spec.Template.Spec.Volumes, projection("tls", source))
		d.Spec.Template.Spec.Containers[0].VolumeMounts = append(d.Spec.Template.Spec.Containers[0].VolumeMounts,
			corev1.VolumeMount{Name: "tls", MountPath: "/etc/tls/file.pem", SubPath: "file.pem"})
		s.apply(runtime.Object(d))
		applied[name] = s.state(framework.Deployment(s.ns, name)).Generation
		s.awaitEvent(name, "NeverRenewed", "mounts volume tls ("+map[string]string{"certificate": "podCertificate", "bundle": "clusterTrustBundle"}[name]+")",
			"/etc/tls/file.pem", "Container app", "Mount the volume as a whole")
	}
	s.restartController()
	s.apply(configMap("marker", "key", "1"))
	marker := deployment("marker", volume(ofConfigMap("marker"))).idle().annotated(s.keys.auto, "true")
	s.apply(marker.object())
	s.hasBaseline(marker.in(s.ns)) // the new controller has looked at all of them
	for _, name := range []string{"certificate", "bundle"} {
		if n := s.timesReported(framework.Deployment(s.ns, name), "NeverRenewed"); n != 1 {
			t.Errorf("%s: %d events, want one", name, n)
		}
		// Other installations look at this workload too: whatever is written on it they would have to agree on.
		if now := s.state(framework.Deployment(s.ns, name)); now.Generation != applied[name] {
			t.Errorf("%s was written: generation %d, it was applied as %d", name, now.Generation, applied[name])
		}
	}
}
