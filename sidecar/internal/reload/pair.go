package reload

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// pairFault is what is wrong with a certificate and its key, nil when nothing is or when that is not to be known here: a
// key may not be readable, or need a password.
func (s server) pairFault(cert, key string) error {
	certText, err := s.read(cert)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no certificate %s", cert)
	}
	keyText, keyErr := s.read(key)
	if errors.Is(keyErr, os.ErrNotExist) {
		return fmt.Errorf("there is no key %s", key)
	}
	if hidden := errors.Join(err, keyErr); hidden != nil || bytes.Contains(keyText, []byte("ENCRYPTED")) {
		return nil //nolint:nilerr // what may not be read is not known to be bad
	}
	if block, _ := pem.Decode(certText); block == nil {
		return fmt.Errorf("%s holds no certificate", cert)
	}
	if _, err := tls.X509KeyPair(certText, keyText); err != nil {
		return fmt.Errorf("certificate %s and key %s: %w", cert, key, err)
	}
	return nil
}
