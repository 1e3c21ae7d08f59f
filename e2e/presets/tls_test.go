//go:build presets

package presets

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// pair is a certificate for localhost whose common name is a version, and its key, in PEM.
type pair struct{ cert, key string }

// pairOf makes the certificate of a version once, since tests compare.
func pairOf(version string) pair {
	pairsMu.Lock()
	defer pairsMu.Unlock()
	if p, ok := pairs[version]; ok {
		return p
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must0(err)
	template := x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "inpod-" + version},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	must0(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must0(err)
	var cert, keyText bytes.Buffer
	must0(pem.Encode(&cert, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	must0(pem.Encode(&keyText, &pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	pairs[version] = pair{cert.String(), keyText.String()}
	return pairs[version]
}

var (
	pairsMu sync.Mutex
	pairs   = map[string]pair{}
)

// certFiles are the files of a certificate and its key.
func certFiles(cert, key string) func(env, string) map[string]string {
	return func(_ env, v string) map[string]string {
		return map[string]string{cert: pairOf(v).cert, key: pairOf(v).key}
	}
}

// mismatched is the new certificate with the old key: what a half-written renewal looks like.
func mismatched(cert, key string) func(env) map[string]string {
	return func(env) map[string]string { return map[string]string{cert: pairOf("v2").cert, key: pairOf("v1").key} }
}

// leaf shows the version of the certificate that is served at a port.
func leaf(port func(env) int) func(env) (string, error) {
	return func(e env) (string, error) {
		dialer := &net.Dialer{Timeout: time.Second}
		conn, err := tls.DialWithDialer(dialer, "tcp", fmt.Sprintf("127.0.0.1:%d", port(e)),
			&tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}) //nolint:gosec // what is served is checked
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return versionIn(conn.ConnectionState().PeerCertificates[0].Subject.CommonName), nil
	}
}

func port2(e env) int { return e.port2 }
