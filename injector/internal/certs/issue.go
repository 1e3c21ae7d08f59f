package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// skew is how far clocks of replicas and API servers may be apart.
const skew = 5 * time.Minute

// pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newCA makes a certificate that signs others.
func newCA(now time.Time, lifetime time.Duration) (*pair, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		// The serial number in the name distinguishes two CAs where only names are shown.
		Subject:               pkix.Name{CommonName: fmt.Sprintf("inpod injector %x", serial.Bytes()[:4])},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of a CA: %w", err)
	}
	return sign(template, template, &key.PublicKey, key, key)
}

// issue makes a certificate for a server of these names.
func (a *pair) issue(names []string, now time.Time, lifetime time.Duration) (*pair, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: names[0]},
		DNSNames:     names,
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of a certificate: %w", err)
	}
	return sign(template, a.cert, &key.PublicKey, a.key, key)
}

// sign makes the certificate of a template, and returns it with the key that belongs to it.
func sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, signer, key *ecdsa.PrivateKey) (*pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", template.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate for %s: %w", template.Subject.CommonName, err)
	}
	return &pair{cert: cert, key: key}, nil
}

func newSerial() (*big.Int, error) {
	const bits = 127 // of at most 20 octets, and positive (RFC 5280)
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return serial.SetBit(serial, bits, 1), nil
}

// due is when two thirds of a lifetime are over: a third is left to notice that it was not renewed.
func due(cert *x509.Certificate) time.Time {
	from := cert.NotBefore.Add(skew)
	return from.Add(cert.NotAfter.Sub(from) * 2 / 3)
}

func encodeCerts(certs ...*x509.Certificate) []byte {
	var text []byte
	for _, cert := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return text
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// parseCerts reads all certificates of a text; what is not one is an error.
func parseCerts(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return certs, nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("not a certificate: %w", err)
		}
		certs, text = append(certs, cert), rest
	}
}

// parsePair reads a certificate and its key. Errors never reveal what the text is.
func parsePair(certText, keyText []byte) (*pair, error) {
	certs, err := parseCerts(certText)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(keyText)
	if len(certs) != 1 || block == nil {
		return nil, errors.New("want one certificate and its key, in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the key cannot be read")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(certs[0].PublicKey) {
		return nil, errors.New("the key does not belong to the certificate")
	}
	return &pair{cert: certs[0], key: key}, nil
}
