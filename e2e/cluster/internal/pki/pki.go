// Package pki makes the certificates and keys of a cluster.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime is longer than any test machine lives; nothing here renews certificates.
const lifetime = 10 * 365 * 24 * time.Hour

// Authority signs certificates.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Subject says for whom a certificate is, in the way Kubernetes reads it: the name is the user, the organizations are
// its groups. A certificate with hosts is for a server as well.
type Subject struct {
	User   string
	Groups []string
	Hosts  []string
}

// NewAuthority returns the authority whose files are <name>.crt and <name>.key in a folder, and makes it if it is not
// there.
func NewAuthority(dir, name string) (*Authority, error) {
	if pair, err := load(dir, name); !errors.Is(err, fs.ErrNotExist) {
		return pair, err
	}
	template := newTemplate(Subject{User: name})
	template.IsCA = true
	template.KeyUsage |= x509.KeyUsageCertSign
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if err := write(dir, name, der, key); err != nil {
		return nil, err
	}
	return load(dir, name)
}

// Issue writes <name>.crt and <name>.key for a subject, unless they are there.
func (a *Authority) Issue(dir, name string, subject Subject) error {
	if _, err := load(dir, name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	template := newTemplate(subject)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(subject.Hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("sign %s: %w", name, err)
	}
	return write(dir, name, der, key)
}

// KeyPair writes <name>.key and its public half <name>.pub, unless they are there: what service account tokens are
// signed with.
func KeyPair(dir, name string) error {
	if exists(dir, name+".key") && exists(dir, name+".pub") {
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writeKey(dir, name, key); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, name+".pub"), "PUBLIC KEY", public, 0o644)
}

func newTemplate(subject Subject) *x509.Certificate {
	now := time.Now()
	template := &x509.Certificate{
		// 127 random bits: the serial number has to be positive and unique.
		SerialNumber:          randomSerial(),
		Subject:               pkix.Name{CommonName: subject.User, Organization: subject.Groups},
		NotBefore:             now.Add(-time.Hour), // clocks are set back
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	for _, host := range subject.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, host)
	}
	return template
}

func randomSerial() *big.Int {
	bytes := make([]byte, 16)
	_, _ = rand.Read(bytes) // never fails
	bytes[0] &= 0x7f
	return new(big.Int).SetBytes(bytes)
}

// newKey makes a P-256 key: made in no time, where RSA takes a second on a small machine.
func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// write stores the certificate last: where it is, the pair is whole.
func write(dir, name string, der []byte, key *ecdsa.PrivateKey) error {
	if err := writeKey(dir, name, key); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, name+".crt"), "CERTIFICATE", der, 0o644)
}

func writeKey(dir, name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, name+".key"), "EC PRIVATE KEY", der, 0o600)
}

// writePEM replaces the file in one step: the process may be killed at any time, and half a file would stop every
// later start.
func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func load(dir, name string) (*Authority, error) {
	certificate, err := readPEM(filepath.Join(dir, name+".crt"))
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("%s.crt: %w", name, err)
	}
	key, err := readPEM(filepath.Join(dir, name+".key"))
	if err != nil {
		return nil, err
	}
	parsedKey, err := x509.ParseECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%s.key: %w", name, err)
	}
	return &Authority{certificate: parsed, key: parsedKey}, nil
}

func readPEM(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", path)
	}
	return block.Bytes, nil
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}
