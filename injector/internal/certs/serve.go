package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Served is the certificate that this replica serves, replaced as new ones come.
type Served struct {
	mu      sync.RWMutex
	current *tls.Certificate
	expiry  prometheus.Gauge
}

// NewServed returns a holder without a certificate, which reports when the one it gets expires.
func NewServed(registerer prometheus.Registerer) *Served {
	s := &Served{expiry: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "inpod_webhook_certificate_expiry_timestamp_seconds",
		Help: "Expiry of the certificate that this replica serves, in seconds since 1970; 0 while there is none.",
	})}
	registerer.MustRegister(s.expiry)
	return s
}

// set takes a certificate and key in PEM; what cannot be used leaves the present one in place. It reports whether it is
// another one.
func (s *Served) set(certText, keyText []byte) (bool, error) {
	issued, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return false, errors.New("certificate and key do not make a pair, in PEM") // the cause may quote the text
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.Leaf.Equal(issued.Leaf) {
		return false, nil
	}
	s.current = &issued
	s.expiry.Set(float64(issued.Leaf.NotAfter.Unix()))
	return true, nil
}

// Leaf is the certificate, nil while there is none.
func (s *Served) Leaf() *x509.Certificate {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.current == nil {
		return nil
	}
	return s.current.Leaf
}

// Config is for a server: each connection gets the certificate of the moment.
func (s *Served) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			s.mu.RLock()
			defer s.mu.RUnlock()
			if s.current == nil {
				return nil, errors.New("there is no certificate yet")
			}
			return s.current, nil
		},
	}
}

// Check is for readiness: nil when there is a certificate that is valid now.
func (s *Served) Check() error {
	leaf := s.Leaf()
	switch now := time.Now(); {
	case leaf == nil:
		return errors.New("there is no certificate for the webhook yet")
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate for the webhook has expired at %s and was not renewed", leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}
