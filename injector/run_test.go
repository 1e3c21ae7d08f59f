package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"inpod.dev/inpod/injector/internal/admission"
	"inpod.dev/inpod/internal/digestkey"
	"inpod.dev/inpod/internal/kube"
	"inpod.dev/inpod/internal/patience"
	"inpod.dev/inpod/internal/sidecarapi"
)

// review is about a pod that gets the sidecar.
const review = `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "namespace": "shop", "operation": "CREATE",
  "resource": {"version": "v1", "resource": "pods"}, "object": {
    "metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u1", "controller": true}], "annotations": {"inpod.dev/inject": "enabled", "inpod.dev/reload-url": "http://127.0.0.1/reload"}},
    "spec": {"containers": [{"name": "web", "image": "nginx", "volumeMounts": [{"name": "conf", "mountPath": "/etc/nginx/conf.d"}]}],
      "volumes": [{"name": "conf", "configMap": {"name": "conf"}}]}}}}`

// object is what the API server answers.
type object = map[string]any

// serveAPI is as much of an API server as the injector needs with a certificate of somebody else. It has some objects,
// by path, and returns a kubeconfig for it.
func serveAPI(t *testing.T, objects map[string]object) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := object{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": http.StatusNotFound}
		switch {
		case r.URL.Path == "/version":
			answer = object{"gitVersion": "v1.37.2"}
		case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
			answer = object{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "status": object{"allowed": true}}
		case strings.Contains(r.URL.Path, "/secrets/"):
			key := base64.StdEncoding.EncodeToString(make([]byte, digestkey.Size))
			answer = object{"apiVersion": "v1", "kind": "Secret", "data": object{digestkey.DataKey: key}}
		case objects[r.URL.Path] != nil && r.URL.Query().Get("watch") == "":
			answer = objects[r.URL.Path]
		case r.URL.Path == "/api/v1/namespaces/shop":
			answer = object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": "shop"}}
		}
		w.Header().Set("Content-Type", "application/json")
		if code, isStatus := answer["code"].(int); isStatus {
			w.WriteHeader(code)
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	writeFile(t, path, fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": [{"name": "c", "cluster": {"server": %q}}], "contexts": [{"name": "c", "context": {"cluster": "c"}}]}`, server.URL))
	return path
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// newCertificate is one that signs itself, for a server and for a client, as PEM and as the client shows it.
func newCertificate(t *testing.T) (certificate, key []byte, shown tls.Certificate) {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "api-server"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &signer.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	if shown, err = tls.X509KeyPair(certificate, key); err != nil {
		t.Fatal(err)
	}
	return certificate, key, shown
}

// asProgram makes the test binary be the injector, which registers the metrics of its process.
const asProgram = "INPOD_TEST_AS_INJECTOR"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		_ = os.Unsetenv(asProgram)
		main()
	}
	os.Exit(m.Run())
}

// startInjector runs the injector until the test ends, and returns the address of its webhook.
func startInjector(t *testing.T, args ...string) (address string) {
	t.Helper()
	ctx, cancel := patience.Context(context.WithoutCancel(t.Context()), patience.Usual)
	command := exec.CommandContext(ctx, os.Args[0], args...)
	command.Env = []string{asProgram + "=1", "POD_NAME=p", "POD_NAMESPACE=n"}
	output, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		reading.Wait()
		_ = command.Wait()
	})
	serving, hasCertificate := regexp.MustCompile(`msg=serving server=webhook address=(\S+)`), false
	var text strings.Builder
	for lines := bufio.NewScanner(output); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		hasCertificate = hasCertificate || strings.Contains(lines.Text(), "serving certificate")
		if found := serving.FindStringSubmatch(lines.Text()); found != nil {
			address = found[1]
		}
		if hasCertificate && address != "" {
			reading.Go(func() { _, _ = io.Copy(io.Discard, output) })
			return address
		}
	}
	t.Fatalf("the injector does not serve:\n%s", &text)
	return ""
}

// post sends the review with certificates of the client, and returns the patch, which is "" where the connection is
// refused.
func post(t *testing.T, address string, certificates ...tls.Certificate) (patch string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certificates}}
	defer transport.CloseIdleConnections()
	to := "https://" + address + admission.PathPods
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(review))
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	var answer admissionv1.AdmissionReview
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Response == nil {
		return ""
	}
	return string(answer.Response.Patch)
}

// certified is what the injector needs to serve the certificate in a directory.
func certified(directory string) []string {
	return []string{
		"--sidecar-image=x", "--listen-address=127.0.0.1:0", "--webhook-address=localhost:0", "--certificate-directory=" + directory, "--drain=0s",
	}
}

// The whole program: with a client CA nobody else is answered, whoever reaches its port.
func TestWhoIsAnswered(t *testing.T) {
	t.Parallel()
	certificate, key, shown := newCertificate(t)
	_, _, unknown := newCertificate(t)
	directory := t.TempDir()
	writeFile(t, filepath.Join(directory, "tls.crt"), certificate)
	writeFile(t, filepath.Join(directory, "tls.key"), key)
	ca := "--client-ca-file=" + filepath.Join(directory, "tls.crt")
	for name, tc := range map[string]struct {
		args                      []string
		nobody, stranger, trusted bool // is answered that shows no certificate, an unknown one, or one of the CA
	}{
		"without a client CA":                  {nil, true, true, true},
		"with a client CA":                     {[]string{ca}, false, false, true},
		"with a client CA and the right name":  {[]string{ca, "--client-names=api-server"}, false, false, true},
		"with a client CA and another name":    {[]string{ca, "--client-names=somebody"}, false, false, false},
		"with a client CA that cannot be read": {[]string{ca + ".gone"}, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := startInjector(t, slices.Concat(certified(directory), []string{"--read-limits=false", "--kubeconfig=" + serveAPI(t, nil)}, tc.args)...)
			for who, c := range map[string]struct {
				isAnswered   bool
				certificates []tls.Certificate
			}{
				"nobody in particular": {tc.nobody, nil}, "a stranger": {tc.stranger, []tls.Certificate{unknown}}, "the API server": {tc.trusted, []tls.Certificate{shown}},
			} {
				if patch := post(t, address, c.certificates...); strings.Contains(patch, "/spec/initContainers") != c.isAnswered {
					t.Errorf("%s: answered %q", who, patch)
				}
			}
		})
	}
}

// The whole program: what a namespace has no room for, and what the API server refuses, is known to whoever is asked.
func TestWhatIsAskedBeforeAPodIsAnswered(t *testing.T) {
	t.Parallel()
	certificate, key, _ := newCertificate(t)
	directory := t.TempDir()
	writeFile(t, filepath.Join(directory, "tls.crt"), certificate)
	writeFile(t, filepath.Join(directory, "tls.key"), key)
	list := func(kind string, items ...object) object {
		return object{"apiVersion": "v1", "kind": kind, "metadata": object{"resourceVersion": "1"}, "items": items}
	}
	full := object{"metadata": object{"name": "team", "namespace": "shop", "uid": "q"}, "status": object{"hard": object{"limits.cpu": "1"}, "used": object{"limits.cpu": "1"}}}
	refused := object{"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": object{"name": "web-1", "namespace": "shop", "uid": "u1"}, "status": object{
		"conditions": []object{{
			"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "pods is forbidden: no capabilities here", "lastTransitionTime": "2026-01-01T00:00:00Z",
		}},
	}}
	for name, tc := range map[string]struct {
		objects map[string]object
		args    []string
		want    string // in the patch, at last
	}{
		"a quota that is full":                {map[string]object{"/api/v1/resourcequotas": list("ResourceQuotaList", full), "/api/v1/limitranges": list("LimitRangeList")}, nil, "QuotaExceeded"},
		"a quota that is full, and not read":  {map[string]object{"/api/v1/resourcequotas": list("ResourceQuotaList", full), "/api/v1/limitranges": list("LimitRangeList")}, []string{"--read-limits=false"}, "/spec/initContainers"},
		"a ReplicaSet whose pods are refused": {map[string]object{"/apis/apps/v1/namespaces/shop/replicasets/web-1": refused}, nil, "RefusedBefore"},
		"nothing is known of the pod's owner": {nil, nil, "/spec/initContainers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := startInjector(t, slices.Concat(certified(directory), []string{"--kubeconfig=" + serveAPI(t, tc.objects)}, tc.args)...)
			patience.Await(t, "a patch with "+tc.want, func() bool { return strings.Contains(post(t, address), tc.want) })
		})
	}
}

// The injector takes a digest key that was replaced, without a restart.
func TestThePublicKeyFollowsTheSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		secret := func(b byte) *corev1.Secret {
			return &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: "inpod-system", Name: "key"},
				Data:       map[string][]byte{digestkey.DataKey: bytes.Repeat([]byte{b}, digestkey.Size)},
			}
		}
		publicOf := func(b byte) string {
			text, err := sidecarapi.PublicKey(secret(b).Data[digestkey.DataKey])
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		client := fake.NewClientset(secret(1))
		in := &injector{log: slog.New(slog.DiscardHandler), registry: prometheus.NewRegistry(), fail: func(err error) { t.Error(err) }}
		in.config.Pod.Namespace, in.config.DigestKeySecret = "inpod-system", "key"
		ctx, cancel := context.WithCancel(t.Context())
		keys, err := in.keys(ctx, &kube.Connection{Client: client})
		if err != nil {
			t.Fatal(err)
		}
		public := in.confirmKey(ctx, keys)
		for next := byte(1); next <= 3; next++ {
			if got := public(); got != publicOf(next) {
				t.Errorf("key %d: another public key is given out", next)
			}
			if _, err := client.CoreV1().Secrets("inpod-system").Update(ctx, secret(next+1), metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2*keyInterval + time.Second)
		}
		cancel()
		in.tasks.Wait()
	})
}
