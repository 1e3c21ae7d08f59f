package digest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// maxTokenSize bounds what is read as a token, in bytes. Tokens of the API server are about 1 KiB.
const maxTokenSize = 16 << 10

// isServiceAccountToken reports whether text is a token that the kubelet renews by itself (at 80 % of its life, see
// pkg/kubelet/token in Kubernetes). A renewal swaps the whole projected volume, and must not reload anything.
func isServiceAccountToken(text []byte) bool {
	text = bytes.TrimSpace(text)
	if !bytes.HasPrefix(text, []byte("eyJ")) { // base64 of `{"`, how every JSON web token starts
		return false
	}
	parts := bytes.Split(text, []byte("."))
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(string(parts[1]))
	if err != nil {
		return false
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return false
	}
	return strings.HasPrefix(claims.Subject, "system:serviceaccount:")
}
