package reload

import (
	"context"
	"encoding/pem"
	"path/filepath"
	"strings"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
)

// bind looks at certificates before named is sent a signal: of one without its key, named refuses the reload as a whole,
// with a line in its log, and named-checkconf does not look at it.
type bind struct{ server }

func (b *bind) before(context.Context) (agent.Outcome, bool) {
	for _, file := range b.change.Files {
		cert, key, ok := pairNames(file)
		if !ok || !b.holdsPEM(cert) && !b.holdsPEM(key) {
			continue
		}
		if err := b.pairFault(cert, key); err != nil {
			return refuse("certificate and key", theirs(err.Error())), true
		}
	}
	return agent.Outcome{}, false
}

func (b *bind) after(context.Context) finding {
	return unproven(string(preset.ProofAlive), "named says only in its log what it made of its files")
}

// pairNames are a certificate and its key, where one is the file, as far as their names show: "x.crt" and "x.key".
func pairNames(file string) (cert, key string, ok bool) {
	ext := filepath.Ext(file)
	stem := strings.TrimSuffix(file, ext)
	switch ext {
	case ".crt", ".key":
		return stem + ".crt", stem + ".key", true
	}
	return "", "", false
}

// holdsPEM reports whether a file is there, and in the format of keys and certificates.
func (s server) holdsPEM(file string) bool {
	text, err := s.read(file)
	block, _ := pem.Decode(text)
	return err == nil && block != nil
}
