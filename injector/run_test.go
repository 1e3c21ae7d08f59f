package main

import (
	"bufio"
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
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"inpod.dev/inpod/injector/internal/admission"
	"inpod.dev/inpod/internal/digestkey"
	"inpod.dev/inpod/internal/patience"
)

// review is about a pod that gets the sidecar.
const review = `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "namespace": "shop", "operation": "CREATE",
  "resource": {"version": "v1", "resource": "pods"}, "object": {
    "metadata": {"annotations": {"inpod.dev/inject": "enabled", "inpod.dev/reload-url": "http://127.0.0.1/reload"}},
    "spec": {"containers": [{"name": "web", "image": "nginx", "volumeMounts": [{"name": "conf", "mountPath": "/etc/nginx/conf.d"}]}],
      "volumes": [{"name": "conf", "configMap": {"name": "conf"}}]}}}}`

// serveAPI is as much of an API server as the injector needs with a certificate of somebody else. It returns a kubeconfig for it.
func serveAPI(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": http.StatusNotFound}
		switch {
		case r.URL.Path == "/version":
			answer = map[string]any{"gitVersion": "v1.37.2"}
		case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
			answer = map[string]any{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "status": map[string]any{"allowed": true}}
		case strings.Contains(r.URL.Path, "/secrets/"):
			key := base64.StdEncoding.EncodeToString(make([]byte, digestkey.Size))
			answer = map[string]any{"apiVersion": "v1", "kind": "Secret", "data": map[string]any{digestkey.DataKey: key}}
		case r.URL.Path == "/api/v1/namespaces/shop":
			answer = map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop"}}
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

// post sends the review with certificates of the client. The answer is "" where the connection is refused.
func post(t *testing.T, address string, certificates ...tls.Certificate) string {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certificates}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address+admission.PathPods, strings.NewReader(review))
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return ""
	}
	return string(answer)
}

// The whole program: with an authority of clients nobody else is answered, whoever reaches its port.
func TestWhoIsAnswered(t *testing.T) {
	t.Parallel()
	certificate, key, shown := newCertificate(t)
	_, _, unknown := newCertificate(t)
	directory := t.TempDir()
	writeFile(t, filepath.Join(directory, "tls.crt"), certificate)
	writeFile(t, filepath.Join(directory, "tls.key"), key)
	authority := "--client-authority-file=" + filepath.Join(directory, "tls.crt")
	for name, tc := range map[string]struct {
		args                      []string
		nobody, stranger, trusted bool // is answered that shows no certificate, an unknown one, or one of the authority
	}{
		"without an authority":                  {nil, true, true, true},
		"with an authority":                     {[]string{authority}, false, false, true},
		"with an authority and the right name":  {[]string{authority, "--client-names=api-server"}, false, false, true},
		"with an authority and another name":    {[]string{authority, "--client-names=somebody"}, false, false, false},
		"with an authority that cannot be read": {[]string{authority + ".gone"}, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := startInjector(t, append([]string{
				"--sidecar-image=x", "--listen-address=127.0.0.1:0", "--webhook-address=localhost:0", "--certificate-directory=" + directory,
				"--read-limits=false", "--on-refusal=retry", "--drain=0s", "--kubeconfig=" + serveAPI(t),
			}, tc.args...)...)
			for who, c := range map[string]struct {
				isAnswered   bool
				certificates []tls.Certificate
			}{
				"nobody in particular": {tc.nobody, nil}, "a stranger": {tc.stranger, []tls.Certificate{unknown}}, "the API server": {tc.trusted, []tls.Certificate{shown}},
			} {
				if answer := post(t, address, c.certificates...); strings.Contains(answer, `"patch"`) != c.isAnswered {
					t.Errorf("%s: answered %q", who, answer)
				}
			}
		})
	}
}
