package certs

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// rereadAfter is the age at which the CA's file is read again: it may be a mounted Secret that is renewed.
const rereadAfter = time.Second

// maxCAFile is the size up to which a CA's file is read, in bytes. A Secret has 1 MiB at most.
const maxCAFile = 1 << 20

// Clients decides who may connect: those with a certificate of a CA, for the use of clients.
type Clients struct {
	path    string
	names   []string
	log     *slog.Logger
	refused prometheus.Counter
	// complaints bounds the log lines about refused clients: any client may connect.
	complaints *rate.Limiter

	mu     sync.Mutex
	readAt time.Time
	text   string
	pool   *x509.CertPool
	fault  error // of the last reading
}

// NewClients returns clients with certificates of the CA whose certificate is in a file, in PEM. Names are those that may
// be in their certificates, as common name or DNS name; none means any.
func NewClients(path string, names []string, log *slog.Logger, registerer prometheus.Registerer) *Clients {
	const burst = 5
	c := &Clients{
		path: path, names: names, log: log, complaints: rate.NewLimiter(rate.Every(time.Minute), burst),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inpod_webhook_clients_refused_total", Help: "Connections to the webhook refused for lack of a certificate of --client-ca-file.",
		}),
	}
	registerer.MustRegister(c.refused)
	return c
}

// Require has a server refuse connections of all others, before any request.
func (c *Clients) Require(config *tls.Config) {
	// The verification is ours, so that it goes by the file of the moment, and says who was refused and why.
	config.ClientAuth = tls.RequestClientCert
	config.VerifyConnection = func(state tls.ConnectionState) error {
		err := c.verify(state.PeerCertificates)
		if err == nil {
			return nil
		}
		c.refused.Inc()
		if c.complaints.Allow() {
			c.log.Warn("connection to the webhook refused", "error", err,
				"hint", "an API server without a certificate creates pods without the sidecar: give it one (docs/security.md), or remove --client-ca-file")
		}
		return err
	}
}

// Check is for readiness: nil when the CA could be read.
func (c *Clients) Check() error {
	_, err := c.roots()
	return err
}

func (c *Clients) verify(chain []*x509.Certificate) error {
	roots, err := c.roots()
	switch {
	case roots == nil:
		return cmp.Or(err, errors.New("the CA of clients is not known"))
	case len(chain) == 0:
		return errors.New("the client shows no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, other := range chain[1:] {
		intermediates.AddCert(other)
	}
	leaf := chain[0]
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return fmt.Errorf("the certificate of the client: %w", err)
	}
	if len(c.names) > 0 && !slices.ContainsFunc(c.names, func(name string) bool {
		return name == leaf.Subject.CommonName || slices.Contains(leaf.DNSNames, name)
	}) {
		return fmt.Errorf("the certificate of the client is for %.100q, and --client-names are %s", leaf.Subject.CommonName, strings.Join(c.names, ", "))
	}
	return nil
}

// roots returns the CAs in the file. One that cannot be read leaves the last one in force, and is an error.
func (c *Clients) roots() (*x509.CertPool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.readAt) >= rereadAfter {
		c.readAt, c.fault = now, c.read()
	}
	return c.pool, c.fault
}

func (c *Clients) read() error {
	info, err := os.Stat(c.path)
	if err != nil {
		return fmt.Errorf("the CA of clients: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxCAFile {
		return fmt.Errorf("the CA of clients: %s is not a file of at most %d bytes", c.path, maxCAFile)
	}
	text, err := os.ReadFile(c.path)
	if err != nil {
		return fmt.Errorf("the CA of clients: %w", err)
	}
	if c.pool != nil && string(text) == c.text {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("the CA of clients: %s has no certificate in PEM", c.path)
	}
	c.pool, c.text = pool, string(text)
	return nil
}
