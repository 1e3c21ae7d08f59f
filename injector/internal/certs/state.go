// Package certs keeps the webhook of the injector reachable: it issues the certificate that the replicas serve, renews
// it and the CA behind it, and keeps the caBundle of the webhook such that API servers trust it at every moment.
//
//	Secret: CA, certificate ──► every replica serves it
//	   ▲
//	   │ one replica, the leader: Advance
//	   ▼
//	MutatingWebhookConfiguration: caBundle
//
// A CA is replaced in two steps, so that nobody ever serves a certificate that some API server does not trust
// yet: first the new one joins the caBundle, and only when every server has had the time to see it do certificates come
// from it. The old one stays in the caBundle for as long as it is valid.
package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Policy says what is issued and how long it lasts.
type Policy struct {
	Names      []string      // of the server; the first is the name that API servers ask for
	Lifetime   time.Duration // of a certificate
	CALifetime time.Duration // lifetime of a CA
	Settle     time.Duration // between a new CA in the caBundle and the first certificate from it
}

// state is all that is known of CAs and certificate. A field is nil when there is none.
type state struct {
	ca   *pair // signs
	next *pair // is trusted already and will sign
	leaf *pair // is served
	// trusted are all CAs that API servers are to trust, the newest first.
	trusted []*x509.Certificate
}

// inBundle reports whether a CA is in the list.
func (s *state) inBundle(cert *x509.Certificate) bool {
	return slices.ContainsFunc(s.trusted, cert.Equal)
}

// Keys of the Secret. The first three are those of a Secret of type kubernetes.io/tls as cert-manager writes it.
const (
	keyLeafCert = "tls.crt"
	keyLeafKey  = "tls.key"
	keyTrusted  = "ca.crt"
	keyCACert   = "authority.crt"
	keyCAKey    = "authority.key"
	keyNextCert = "next-authority.crt"
	keyNextKey  = "next-authority.key"
)

// decode reads what encode has written. What cannot be read is left out, and named in the error: the rest may still be
// of use.
func decode(data map[string][]byte) (state, error) {
	var s state
	var problems []error
	read := func(certKey, keyKey string) *pair {
		if len(data[certKey]) == 0 && len(data[keyKey]) == 0 {
			return nil
		}
		p, err := parsePair(data[certKey], data[keyKey])
		if err != nil {
			problems = append(problems, fmt.Errorf("%s and %s: %w", certKey, keyKey, err))
			return nil
		}
		return p
	}
	s.ca = read(keyCACert, keyCAKey)
	s.next = read(keyNextCert, keyNextKey)
	s.leaf = read(keyLeafCert, keyLeafKey)
	var err error
	if s.trusted, err = parseCerts(data[keyTrusted]); err != nil {
		problems = append(problems, fmt.Errorf("%s: %w", keyTrusted, err))
	}
	return s, errors.Join(problems...)
}

func (s *state) encode() (map[string][]byte, error) {
	data := map[string][]byte{keyTrusted: encodeCerts(s.trusted...)}
	for _, row := range []struct {
		certKey, keyKey string
		pair            *pair
	}{{keyCACert, keyCAKey, s.ca}, {keyNextCert, keyNextKey, s.next}, {keyLeafCert, keyLeafKey, s.leaf}} {
		if row.pair == nil {
			continue
		}
		key, err := encodeKey(row.pair.key)
		if err != nil {
			return nil, err
		}
		data[row.certKey], data[row.keyKey] = encodeCerts(row.pair.cert), key
	}
	return data, nil
}

// next returns what has to be in the Secret now, what was done, and when the next pass is. The time published says
// since when the next CA is known to be in the caBundle; zero means that it is not.
func (p Policy) next(s state, now, published time.Time) (state, []string, time.Time, error) {
	var done []string
	s.trusted = slices.DeleteFunc(slices.Clone(s.trusted), func(c *x509.Certificate) bool { return !valid(c, now) })
	for _, step := range []func(*state, time.Time, time.Time) (string, error){p.keepCA, p.prepareNext, p.promoteNext, p.keepLeaf} {
		did, err := step(&s, now, published)
		if err != nil {
			return s, nil, time.Time{}, err
		}
		if did != "" {
			done = append(done, did)
		}
	}
	return s, done, p.nextPass(s, published), nil
}

// valid reports whether a certificate is valid at a time. One that is not valid yet was issued by a replica whose clock was
// ahead. API servers refuse it until then, which may be years, so it is replaced like one that has expired.
func valid(cert *x509.Certificate, now time.Time) bool {
	return !now.Before(cert.NotBefore) && now.Before(cert.NotAfter)
}

// keepCA makes the first CA, or one in place of a CA that is not valid.
func (p Policy) keepCA(s *state, now, _ time.Time) (string, error) {
	if s.ca != nil && valid(s.ca.cert, now) {
		if !s.inBundle(s.ca.cert) {
			s.trusted = slices.Insert(s.trusted, 0, s.ca.cert)
		}
		return "", nil
	}
	issued, err := newCA(now, p.CALifetime)
	if err != nil {
		return "", err
	}
	s.ca, s.next = issued, nil
	s.trusted = slices.Insert(s.trusted, 0, issued.cert)
	return "new CA", nil
}

// prepareNext makes the successor of a CA when two thirds of its life are over.
func (p Policy) prepareNext(s *state, now, _ time.Time) (string, error) {
	if s.next != nil && !valid(s.next.cert, now) {
		s.next = nil
	}
	if s.next != nil {
		if !s.inBundle(s.next.cert) {
			s.trusted = slices.Insert(s.trusted, 0, s.next.cert)
		}
		return "", nil
	}
	if now.Before(due(s.ca.cert)) {
		return "", nil
	}
	return "next CA", p.addNext(s, now)
}

func (p Policy) addNext(s *state, now time.Time) error {
	issued, err := newCA(now, p.CALifetime)
	if err != nil {
		return err
	}
	s.next = issued
	s.trusted = slices.Insert(s.trusted, 0, issued.cert)
	return nil
}

// promoteNext lets the next CA sign once every API server has had the time to see it.
func (p Policy) promoteNext(s *state, now, published time.Time) (string, error) {
	if s.next == nil || published.IsZero() || now.Before(published.Add(p.Settle)) {
		return "", nil
	}
	s.ca, s.next = s.next, nil
	return "next CA signs", nil
}

// keepLeaf issues a certificate where there is none that is good: from our CA, for our names, valid, not too old.
func (p Policy) keepLeaf(s *state, now, _ time.Time) (string, error) {
	if s.leaf != nil && valid(s.leaf.cert, now) && now.Before(due(s.leaf.cert)) && slices.Equal(s.leaf.cert.DNSNames, p.Names) &&
		s.leaf.cert.CheckSignatureFrom(s.ca.cert) == nil {
		return "", nil
	}
	// It must not outlive the CA, or it would be refused before it is renewed.
	lifetime := min(p.Lifetime, s.ca.cert.NotAfter.Sub(now))
	issued, err := s.ca.issue(p.Names, now, lifetime)
	if err != nil {
		return "", err
	}
	s.leaf = issued
	return "new certificate", nil
}

func (p Policy) nextPass(s state, published time.Time) time.Time {
	next := due(s.leaf.cert)
	if s.next == nil {
		return earliest(next, due(s.ca.cert))
	}
	if !published.IsZero() {
		return earliest(next, published.Add(p.Settle))
	}
	return next
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
