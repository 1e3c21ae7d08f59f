// Package sidecarapi is how the controller asks a sidecar whether the application has the expected content, such that
// nobody else learns anything about a secret from it.
//
//	controller                                      sidecar (knows --controller-key, which is public)
//	  Request{nonce, files} ──POST /query, clear──►  look up result and digests, of one moment
//	  Open(digestKey, nonce, …) ◄──encrypted to the key──  Encrypt(nonce, Response)
//
// The key pair is derived from the key of the installation that also protects the digests in annotations, so there is
// nothing more to keep. A reply is encrypted to the controller (HPKE, RFC 9180), and not keyed with something that the
// pod knows: whoever may read the pod, call its sidecar or listen in sees bytes that are as good as random, and cannot
// try short passwords against them. The nonce binds a reply to its question.
//
// What it does not do: it does not prove that the reply comes from the sidecar, since the pod has no secret to prove
// that with. Who can answer in the place of a pod can also say anything about it; what that brings is a reload
// believed to be done, or a rollout.
//
// The package knows no file, no HTTP and no Kubernetes. Pods outlive versions of inpod: fields are only ever added.
package sidecarapi

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// DefaultPort is where a sidecar listens and answers unless configured otherwise. How it was chosen is in
// docs/adr/0018-default-port.md. Pods from before it listen at 9797, and say so.
const DefaultPort = 27467

// The labels separate the uses of the installation's key, and one version of the protocol from the next.
const (
	labelKey     = "inpod confirm v1 key"
	labelEncrypt = "inpod confirm v1 reply"
)

// minDigestKey is the least length of the installation's key, in bytes.
const minDigestKey = 32

// keySize is the length of a public key and of what HPKE puts before a ciphertext, in bytes.
const keySize = 32

// PublicKey is the text that the sidecar is given as --controller-key. It may be known to everybody.
func PublicKey(digestKey []byte) (string, error) {
	key, err := privateKey(digestKey)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(key.PublicKey().Bytes()), nil
}

func privateKey(digestKey []byte) (hpke.PrivateKey, error) {
	if len(digestKey) < minDigestKey {
		return nil, fmt.Errorf("the installation's key has %d bytes; want at least %d", len(digestKey), minDigestKey)
	}
	seed, err := hkdf.Key(sha256.New, digestKey, nil, labelKey, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive the controller key: %w", err)
	}
	key, err := hpke.DHKEM(ecdh.X25519()).DeriveKeyPair(seed)
	if err != nil {
		return nil, fmt.Errorf("derive the controller key: %w", err)
	}
	return key, nil
}

// Key is the public key of the controller, for which the sidecar encrypts.
type Key struct{ public hpke.PublicKey }

// ParseKey reads the text that PublicKey made.
func ParseKey(text string) (*Key, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != keySize {
		return nil, fmt.Errorf("not a controller key; want the %d hexadecimal digits that the injector writes", 2*keySize)
	}
	public, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("not a controller key: %w", err)
	}
	return &Key{public: public}, nil
}

// Encrypt encrypts a reply to the controller, as the answer to the request with that nonce.
func (k *Key) Encrypt(nonce []byte, reply Response) ([]byte, error) {
	text, err := reply.encode()
	if err != nil {
		return nil, err
	}
	head, sender, err := hpke.NewSender(k.public, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(labelEncrypt))
	if err != nil {
		return nil, fmt.Errorf("encrypt a reply: %w", err)
	}
	body, err := sender.Seal(nonce, text)
	if err != nil {
		return nil, fmt.Errorf("encrypt a reply: %w", err)
	}
	return append(head, body...), nil
}

// ErrEncrypted means that a reply cannot be opened: it was encrypted to another key or for another nonce, or was
// damaged.
var ErrEncrypted = errors.New("the reply cannot be opened; was the installation's key replaced after the pod was injected?")

// PrivateKey opens replies. To make one takes as long as to open one, so that whoever opens many keeps it.
type PrivateKey struct{ key hpke.PrivateKey }

// NewPrivateKey derives the private key from that of the installation.
func NewPrivateKey(digestKey []byte) (*PrivateKey, error) {
	key, err := privateKey(digestKey)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{key: key}, nil
}

// Open is [PrivateKey.Open] with the private key of an installation.
func Open(digestKey, nonce, encrypted []byte) (Response, error) {
	key, err := NewPrivateKey(digestKey)
	if err != nil {
		return Response{}, err
	}
	return key.Open(nonce, encrypted)
}

// Open decrypts and checks the answer to the request with that nonce. Whatever it returns was said by who holds the
// public key, so it is checked like any input from outside. An answer that is none is [ErrEncrypted], or a [NotUnderstoodError].
func (k *PrivateKey) Open(nonce, encrypted []byte) (Response, error) {
	if len(encrypted) > MaxReply {
		return Response{}, &NotUnderstoodError{Why: fmt.Sprintf("it has more than %d bytes", MaxReply)}
	}
	if len(encrypted) < keySize {
		return Response{}, fmt.Errorf("the reply has only %d bytes: %w", len(encrypted), ErrEncrypted)
	}
	recipient, err := hpke.NewRecipient(encrypted[:keySize], k.key, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(labelEncrypt))
	if err != nil {
		return Response{}, fmt.Errorf("%w (%w)", ErrEncrypted, err)
	}
	text, err := recipient.Open(nonce, encrypted[keySize:])
	if err != nil {
		return Response{}, fmt.Errorf("%w (%w)", ErrEncrypted, err)
	}
	return decodeReply(text)
}
