package source

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"strings"
)

const (
	// minKeySize is the least size of a sealing key, in bytes.
	minKeySize = 32
	// sealSize is how much of an HMAC a seal keeps, in bytes. 72 bits make an
	// accidental match of two contents (a change that goes unnoticed) less
	// likely than a fault of the machine, and a multiple of three is written
	// without padding.
	sealSize = 9
	// markSize is the size of a mark in bytes: written in hex it is as long as
	// the SHA-1 that Reloader writes.
	markSize = 20
)

// Seal is a keyed digest of one key of one source, as text. Without the
// sealing key nothing can be learned from it, not even that two sources have
// the same value (a plain hash of a short password can be guessed by anybody
// who may read the workload).
type Seal string

// binarySuffix ends the seal of a key in binaryData. It is no part of a digest's text.
const binarySuffix = "~"

func (s Seal) binary() bool { return strings.HasSuffix(string(s), binarySuffix) }

// plain is the seal without a mark of where the content stands.
func (s Seal) plain() Seal { return Seal(strings.TrimSuffix(string(s), binarySuffix)) }

// Sealer makes what may leave the process from digests that may not. The
// zero value is not usable.
type Sealer struct {
	key []byte
	id  string
}

// NewSealer returns a sealer for a key of at least 32 bytes.
func NewSealer(key []byte) (Sealer, error) {
	if len(key) < minKeySize {
		return Sealer{}, errors.New("the key of all digests has less than 32 bytes")
	}
	s := Sealer{key: bytes.Clone(key)}
	s.id = base64.RawURLEncoding.EncodeToString(s.sum("id")[:6])
	return s, nil
}

// ID names the key without giving it away, so that what was sealed with
// another key is recognized.
func (s Sealer) ID() string { return s.id }

// seal seals the content of one key.
func (s Sealer) seal(ref Ref, key string, entry Entry) Seal {
	sum := s.sum("key", string(ref.Kind), ref.Namespace, ref.Name, key, string(entry.Digest[:]))
	text := base64.RawURLEncoding.EncodeToString(sum[:sealSize])
	if entry.Binary {
		text += binarySuffix
	}
	return Seal(text)
}

// fold seals all keys of a source that are used together. It cannot tell that
// a key has moved between data and binaryData with its bytes unchanged.
func (s Sealer) fold(scope Scope, snapshot *Snapshot) Seal {
	parts := []string{"fold", string(scope.Ref.Kind), scope.Ref.Namespace, scope.Ref.Name}
	for _, key := range scope.present(snapshot) {
		digest := snapshot.Keys[key].Digest
		parts = append(parts, key, string(digest[:]))
	}
	return Seal(base64.RawURLEncoding.EncodeToString(s.sum(parts...)[:sealSize]))
}

// text seals a text.
func (s Sealer) text(parts ...string) Seal {
	return Seal(base64.RawURLEncoding.EncodeToString(s.sum(append([]string{"text"}, parts...)...)[:sealSize]))
}

// Token seals a text of the program's own, so that it can be told from one that somebody else has written.
func (s Sealer) Token(parts ...string) string {
	return hex.EncodeToString(s.sum(append([]string{"token"}, parts...)...)[:markSize])
}

// Mark returns 40 hex digits for the content that a workload uses of these
// sources: what a rollout writes into the pod template. It depends on nothing
// but content, so that writing it twice changes nothing. salt gives another
// mark for the same content.
func (s Sealer) Mark(uses []Use, salt string) string {
	h := hmac.New(sha256.New, s.key)
	frame(h, "mark", salt)
	for _, use := range uses {
		ref := use.Scope.Ref
		frame(h, string(ref.Kind), ref.Namespace, ref.Name)
		if use.Snapshot == nil {
			frame(h, "absent")
			continue
		}
		for _, key := range use.Scope.present(use.Snapshot) {
			digest := use.Snapshot.Keys[key].Digest
			frame(h, key, string(digest[:]))
		}
		frame(h, "")
	}
	return hex.EncodeToString(h.Sum(nil)[:markSize])
}

func (s Sealer) sum(parts ...string) []byte {
	h := hmac.New(sha256.New, s.key)
	frame(h, parts...)
	return h.Sum(nil)
}

// frame writes each part after its length, so that no two different lists of
// parts give the same input.
func frame(h hash.Hash, parts ...string) {
	var length [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
}
