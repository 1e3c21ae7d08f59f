package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"inpod.dev/inpod/injector/internal/certs"
	"inpod.dev/inpod/internal/patience"
)

// issuer is a CA of clients.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign makes a certificate that the parent signs, or that signs itself.
func sign(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert := sign(t, template, template, key, key)
	return &issuer{t: t, cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})}
}

// issue returns a client's certificate, changed.
func (i *issuer) issue(changes ...func(*x509.Certificate)) *tls.Certificate {
	i.t.Helper()
	key := newKey(i.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "api-server"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, change := range changes {
		change(template)
	}
	cert := sign(i.t, template, i.cert, key, i.key)
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// site is a server that wants certificates.
type site struct {
	*httptest.Server

	path     string
	clients  *certs.Clients
	registry *prometheus.Registry
	log      *lines
}

func serveClients(t *testing.T, ca []byte, names ...string) *site {
	t.Helper()
	s := &site{path: filepath.Join(t.TempDir(), "ca.crt"), registry: prometheus.NewPedanticRegistry(), log: &lines{}}
	if ca != nil {
		s.write(t, ca)
	}
	s.clients = certs.NewClients(s.path, names, slog.New(slog.NewTextHandler(s.log, nil)), s.registry)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "in") }))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.EnableHTTP2 = true
	s.clients.Require(s.TLS)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *site) write(t *testing.T, ca []byte) {
	t.Helper()
	if err := os.WriteFile(s.path+".new", ca, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.path+".new", s.path); err != nil {
		t.Fatal(err)
	}
}

// enters reports whether a client is let in with a certificate, nil for none. Each call is a new client, but for the cache of its
// sessions.
func (s *site) enters(t *testing.T, certificate *tls.Certificate, sessions tls.ClientSessionCache, version uint16) bool {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: sessions, MaxVersion: version}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader("review"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return err == nil && string(body) == "in"
}

// refused is what the metric says.
func (s *site) refused(t *testing.T) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("%v, %v", families, err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func TestWhoMayConnect(t *testing.T) {
	t.Parallel()
	known, unknown := newIssuer(t), newIssuer(t)
	named := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject.CommonName = name }
	}
	for name, tc := range map[string]struct {
		ca          []byte
		names       []string
		certificate *tls.Certificate
		want        bool
		wantLog     string
	}{
		"a certificate of the CA":              {known.pem, nil, known.issue(), true, ""},
		"no certificate":                       {known.pem, nil, nil, false, "shows no certificate"},
		"a certificate of another CA":          {known.pem, nil, unknown.issue(), false, "unknown authority"},
		"of several CAs":                       {append(bytes.Clone(unknown.pem), known.pem...), nil, known.issue(), true, ""},
		"the common name is one of the names":  {known.pem, []string{"other", "api-server"}, known.issue(), true, ""},
		"the common name is none of the names": {known.pem, []string{"other"}, known.issue(named("a-pod")), false, "a-pod"},
		"a DNS name is one of the names": {
			known.pem, []string{"kube-apiserver"}, known.issue(named("x"), func(c *x509.Certificate) { c.DNSNames = []string{"kube-apiserver"} }), true, "",
		},
		"a certificate that has expired": {
			known.pem, nil, known.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), false, "expired",
		},
		"a certificate for servers": {
			known.pem, nil, known.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), false, "usage",
		},
		"a CA that is not there lets nobody in":   {nil, nil, known.issue(), false, "no such file"},
		"a CA that is no PEM lets nobody in":      {[]byte("hunter2"), nil, known.issue(), false, "no certificate in PEM"},
		"the CA's own certificate is for no call": {known.pem, []string{"api-server"}, nil, false, "shows no certificate"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+", "+tls.VersionName(version), func(t *testing.T) {
				t.Parallel()
				s := serveClients(t, tc.ca, tc.names...)
				if got := s.enters(t, tc.certificate, nil, version); got != tc.want {
					t.Errorf("let in: %t, want %t", got, tc.want)
				}
				if refused := s.refused(t); (refused == 0) != tc.want {
					t.Errorf("%v refused", refused)
				}
				if log := s.log.String(); !strings.Contains(log, tc.wantLog) || (log == "") != tc.want || strings.Contains(log, "hunter2") {
					t.Errorf("the log is %q, want %q", log, tc.wantLog)
				}
			})
		}
	}
}

// A Secret with a placeholder in it lets nobody in.
func TestEmptyCAFileRefusesAllClients(t *testing.T) {
	t.Parallel()
	for name, ca := range map[string][]byte{"no file": nil, "an empty file": {}, "no certificate": []byte("nothing")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveClients(t, ca)
			if s.enters(t, newIssuer(t).issue(), nil, 0) || s.enters(t, nil, nil, 0) {
				t.Error("somebody was let in")
			}
			if s.clients.Check() == nil {
				t.Error("it says that it is ready")
			}
		})
	}
}

// A Secret that is mounted is renewed while the program runs. A session from before counts for nothing then.
func TestCAFileIsReplaced(t *testing.T) {
	t.Parallel()
	first, second := newIssuer(t), newIssuer(t)
	old, young := first.issue(), second.issue()
	s := serveClients(t, first.pem)
	sessions := tls.NewLRUClientSessionCache(1)
	if !s.enters(t, old, sessions, 0) || s.enters(t, young, nil, 0) || s.clients.Check() != nil {
		t.Fatal("before: not the first CA's alone")
	}
	s.write(t, second.pem)
	ctx, stop := patience.Context(t.Context(), time.Minute)
	defer stop()
	for !s.enters(t, young, nil, 0) {
		if ctx.Err() != nil {
			t.Fatal("the second CA's certificate is not taken")
		}
	}
	if s.enters(t, old, nil, 0) || s.enters(t, old, sessions, 0) {
		t.Error("the first CA's certificate is still taken")
	}
	s.write(t, []byte("nothing"))
	for s.clients.Check() == nil {
		if ctx.Err() != nil {
			t.Fatal("a file without certificates is no fault")
		}
		time.Sleep(time.Millisecond)
	}
	if !s.enters(t, young, nil, 0) {
		t.Error("a fault in the file keeps those out who were let in")
	}
}

// Anybody may connect, so that the log must not grow with them.
func TestComplaintsAboutClientsAreBounded(t *testing.T) {
	t.Parallel()
	s := serveClients(t, newIssuer(t).pem)
	for range 30 {
		s.enters(t, nil, nil, 0)
	}
	if n := strings.Count(s.log.String(), "connection to the webhook refused"); n > 6 {
		t.Errorf("%d lines", n)
	}
}
