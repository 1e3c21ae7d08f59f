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
	"sync"
)

const (
	// minKeySize is the least size of a digest key, in bytes.
	minKeySize = 32
	// keyedSize is how much of an HMAC a keyed digest keeps, in bytes. 72 bits make an accidental match of two contents
	// (a change that goes unnoticed) less likely than a fault of the machine, and a multiple of three is written
	// without padding.
	keyedSize = 9
	// configHashSize is the size of a config hash in bytes: written in hex it is as long as the SHA-1 that Reloader
	// writes.
	configHashSize = 20
)

// KeyedDigest is a keyed digest of one key of one source, as text. Without the digest key nothing can be learned from
// it, not even that two sources have the same value (a plain hash of a short password can be guessed by anybody who may
// read the workload).
type KeyedDigest string

// binarySuffix ends the keyed digest of a key in binaryData. It is no part of a digest's text.
const binarySuffix = "~"

func (s KeyedDigest) binary() bool { return strings.HasSuffix(string(s), binarySuffix) }

// plain is the keyed digest without the suffix that says where the content stands.
func (s KeyedDigest) plain() KeyedDigest {
	return KeyedDigest(strings.TrimSuffix(string(s), binarySuffix))
}

// Digester makes what may leave the process from digests that may not. The
// zero value is not usable.
type Digester struct {
	key []byte
	id  string
	// macs are HMACs of the key that are free: making one costs as much as using it.
	macs *sync.Pool
}

// mac is an HMAC with room for its input and its sum.
type mac struct {
	hash.Hash

	in, out []byte
}

// NewDigester returns a digester for a key of at least 32 bytes.
func NewDigester(key []byte) (Digester, error) {
	if len(key) < minKeySize {
		return Digester{}, errors.New("the key of all digests has less than 32 bytes")
	}
	s := Digester{key: bytes.Clone(key)}
	s.macs = &sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, s.key)} }}
	id := s.sum("id")
	s.id = base64.RawURLEncoding.EncodeToString(id[:6])
	return s, nil
}

// ID names the key without giving it away, so that what was made with another key is recognized.
func (s Digester) ID() string { return s.id }

// keyed returns the keyed digest of the content of one key.
func (s Digester) keyed(ref Ref, key string, entry Entry) KeyedDigest {
	sum := s.sum("key", string(ref.Kind), ref.Namespace, ref.Name, key, string(entry.Digest[:]))
	text := base64.RawURLEncoding.EncodeToString(sum[:keyedSize])
	if entry.Binary {
		text += binarySuffix
	}
	return KeyedDigest(text)
}

// fold returns one keyed digest of all keys of a source that are used together. It does not show that a key has moved
// between data and binaryData with its bytes unchanged.
func (s Digester) fold(scope SourceUsages, snapshot *Snapshot) KeyedDigest {
	parts := []string{"fold", string(scope.Ref.Kind), scope.Ref.Namespace, scope.Ref.Name}
	for _, key := range scope.present(snapshot) {
		digest := snapshot.Keys[key].Digest
		parts = append(parts, key, string(digest[:]))
	}
	sum := s.sum(parts...)
	return KeyedDigest(base64.RawURLEncoding.EncodeToString(sum[:keyedSize]))
}

// text returns the keyed digest of a text.
func (s Digester) text(parts ...string) KeyedDigest {
	sum := s.sum(append([]string{"text"}, parts...)...)
	return KeyedDigest(base64.RawURLEncoding.EncodeToString(sum[:keyedSize]))
}

// Token returns a keyed digest of a text of the program's own, which proves that this installation has written it.
func (s Digester) Token(parts ...string) string {
	sum := s.sum(append([]string{"token"}, parts...)...)
	return hex.EncodeToString(sum[:configHashSize])
}

// ConfigHash returns 40 hex digits for the content that a workload uses of these sources: what a rollout writes into
// the pod template. It depends on nothing but content, so that writing it twice changes nothing. salt gives another
// config hash for the same content.
func (s Digester) ConfigHash(uses []SourceState, salt string) string {
	h := hmac.New(sha256.New, s.key)
	frame(h, "config-hash", salt)
	for _, use := range uses {
		ref := use.Usages.Ref
		frame(h, string(ref.Kind), ref.Namespace, ref.Name)
		if use.Snapshot == nil {
			frame(h, "absent")
			continue
		}
		for _, key := range use.Usages.present(use.Snapshot) {
			digest := use.Snapshot.Keys[key].Digest
			frame(h, key, string(digest[:]))
		}
		frame(h, "")
	}
	return hex.EncodeToString(h.Sum(nil)[:configHashSize])
}

func (s Digester) sum(parts ...string) (sum [sha256.Size]byte) {
	m, ok := s.macs.Get().(*mac)
	if !ok {
		return sum // the pool has nothing else
	}
	defer s.macs.Put(m)
	m.Reset()
	m.in = m.in[:0]
	for _, part := range parts {
		m.in = append(binary.BigEndian.AppendUint64(m.in, uint64(len(part))), part...)
	}
	m.Write(m.in)
	m.out = m.Sum(m.out[:0])
	copy(sum[:], m.out)
	clear(m.in)
	return sum
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
