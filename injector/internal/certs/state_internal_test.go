package certs

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func policy() Policy {
	return Policy{Names: []string{"inpod-injector.inpod.svc"}, Lifetime: 72 * time.Hour, CALifetime: 365 * 24 * time.Hour, Settle: time.Minute}
}

func start() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// verify asks as an API server does that trusts these CAs.
func verify(leaf *x509.Certificate, trusted []*x509.Certificate, now time.Time) error {
	roots := x509.NewCertPool()
	for _, cert := range trusted {
		roots.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, DNSName: "inpod-injector.inpod.svc"})
	return err
}

func advance(t *testing.T, p Policy, s state, now, published time.Time) (state, []string, time.Time) {
	t.Helper()
	next, done, after, err := p.next(s, now, published)
	if err != nil {
		t.Fatal(err)
	}
	return next, done, after
}

func TestTheFirstPassIssuesEverything(t *testing.T) {
	t.Parallel()
	s, done, after := advance(t, policy(), state{}, start(), time.Time{})
	if diff := cmp.Diff([]string{"new CA", "new certificate"}, done); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
	if err := verify(s.leaf.cert, s.trusted, start()); err != nil {
		t.Error(err)
	}
	if want := start().Add(48 * time.Hour); !after.Equal(want) {
		t.Errorf("next pass at %s, want %s, after two thirds", after, want)
	}
	again, done, _ := advance(t, policy(), s, start().Add(time.Hour), time.Time{})
	if len(done) > 0 || again.leaf != s.leaf || again.ca != s.ca {
		t.Errorf("an hour later: %v", done)
	}
}

// Three years, looked at whenever it is due: at no moment is a certificate served that an API server does not trust
// which knows only what was published a settle time ago, nor one that is about to expire.
func TestAtEveryMomentWhatIsServedIsTrusted(t *testing.T) {
	t.Parallel()
	p := policy()
	p.Lifetime = 15 * 24 * time.Hour
	var s state
	var published time.Time
	var past []*x509.Certificate // what was published before the last change
	cas := map[string]bool{}
	now, passes := start(), 0
	for ; now.Before(start().Add(3 * 365 * 24 * time.Hour)); passes++ {
		before := s.trusted
		var done []string
		var after time.Time
		s, done, after = advance(t, p, s, now, published)
		if before == nil {
			before = s.trusted // nothing is called before the first pass
		}
		past = before
		if err := verify(s.leaf.cert, past, now); err != nil {
			t.Fatalf("%s after %v: an API server of a minute ago does not trust what is served: %v", now, done, err)
		}
		if left := s.leaf.cert.NotAfter.Sub(now); left < 4*24*time.Hour {
			t.Fatalf("%s: the certificate has only %s left", now, left)
		}
		if len(s.trusted) > 3 {
			t.Fatalf("%s: %d CAs are trusted", now, len(s.trusted))
		}
		cas[s.ca.cert.SerialNumber.String()] = true
		switch {
		case s.next == nil:
			published = time.Time{}
		case published.IsZero():
			published, after = now, now.Add(p.Settle)
		}
		if !after.After(now) {
			t.Fatalf("%s: next pass at %s", now, after)
		}
		now = after
	}
	if len(cas) < 4 || passes > 1000 {
		t.Errorf("%d CAs in %d passes", len(cas), passes)
	}
}

func TestNewCAWaitsForSettle(t *testing.T) {
	t.Parallel()
	p := policy()
	s, _, _ := advance(t, p, state{}, start(), time.Time{})
	old := s.ca
	now := start().Add(p.CALifetime * 2 / 3)
	s, done, _ := advance(t, p, s, now, time.Time{})
	if !slices.Contains(done, "next CA") || s.ca != old || s.next == nil || !s.inBundle(s.next.cert) || !s.inBundle(old.cert) {
		t.Fatalf("%v; CA replaced at once %v, next trusted %v", done, s.ca != old, s.next != nil)
	}
	// The caBundle cannot be written for a day: nothing comes from the new CA.
	s, _, _ = advance(t, p, s, now.Add(24*time.Hour), time.Time{})
	if s.ca != old {
		t.Error("a CA signs that nobody trusts yet")
	}
	published := now.Add(25 * time.Hour)
	s, _, after := advance(t, p, s, published, published)
	if s.ca != old || !after.Equal(published.Add(p.Settle)) {
		t.Errorf("promoted %v, next pass at %s", s.ca != old, after)
	}
	s, done, _ = advance(t, p, s, published.Add(p.Settle), published)
	if diff := cmp.Diff([]string{"next CA signs", "new certificate"}, done); diff != "" || s.next != nil {
		t.Errorf("done (-want +got):\n%s", diff)
	}
	if err := s.leaf.cert.CheckSignatureFrom(s.ca.cert); err != nil || s.ca == old {
		t.Errorf("the certificate is not from the new CA: %v", err)
	}
	if !s.inBundle(old.cert) {
		t.Error("the old CA is trusted no more, and a replica may still serve a certificate from it")
	}
	// It goes when it has expired.
	s, _, _ = advance(t, p, s, old.cert.NotAfter, time.Time{})
	if s.inBundle(old.cert) {
		t.Error("a CA that has expired is still trusted")
	}
}

func TestWhatCausesANewCertificate(t *testing.T) {
	t.Parallel()
	p := policy()
	good, _, _ := advance(t, p, state{}, start(), time.Time{})
	other, _, _ := advance(t, p, state{}, start(), time.Time{})
	renamed := p
	renamed.Names = []string{"other.inpod.svc"}
	for name, tc := range map[string]struct {
		policy Policy
		change func(*state)
		now    time.Time
		want   []string
	}{
		"nothing":                      {policy: p, now: start().Add(47 * time.Hour)},
		"two thirds of its life":       {policy: p, now: start().Add(48 * time.Hour), want: []string{"new certificate"}},
		"other names":                  {policy: renamed, now: start(), want: []string{"new certificate"}},
		"it is gone":                   {policy: p, now: start(), change: func(s *state) { s.leaf = nil }, want: []string{"new certificate"}},
		"it is another CA's":           {policy: p, now: start(), change: func(s *state) { s.leaf = other.leaf }, want: []string{"new certificate"}},
		"the CA is gone":               {policy: p, now: start(), change: func(s *state) { s.ca = nil }, want: []string{"new CA", "new certificate"}},
		"the CA has expired":           {policy: p, now: good.ca.cert.NotAfter, want: []string{"new CA", "new certificate"}},
		"the list of trusted was lost": {policy: p, now: start(), change: func(s *state) { s.trusted = nil }},
	} {
		s := good
		if tc.change != nil {
			tc.change(&s)
		}
		after, done, _ := advance(t, tc.policy, s, tc.now, time.Time{})
		if diff := cmp.Diff(tc.want, done); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !after.inBundle(after.ca.cert) {
			t.Errorf("%s: the CA that signs is not trusted", name)
		}
	}
}

func TestCertificateDoesNotOutliveItsCA(t *testing.T) {
	t.Parallel()
	p := policy()
	s, _, _ := advance(t, p, state{}, start(), time.Time{})
	s, _, _ = advance(t, p, s, s.ca.cert.NotAfter.Add(-time.Hour), time.Time{})
	if s.leaf.cert.NotAfter.After(s.ca.cert.NotAfter) {
		t.Errorf("the certificate is valid until %s, its CA until %s", s.leaf.cert.NotAfter, s.ca.cert.NotAfter)
	}
}

func TestTheSecretIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	p := policy()
	s, _, _ := advance(t, p, state{}, start(), time.Time{})
	s, _, _ = advance(t, p, s, start().Add(p.CALifetime*2/3), time.Time{})
	data, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	read, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	same := func(a, b *pair) bool { return a.cert.Equal(b.cert) && a.key.Equal(b.key) }
	if !same(s.ca, read.ca) || !same(s.next, read.next) || !same(s.leaf, read.leaf) ||
		!slices.EqualFunc(s.trusted, read.trusted, (*x509.Certificate).Equal) {
		t.Error("something was lost")
	}
	again, err := read.encode()
	if diff := cmp.Diff(data, again); diff != "" || err != nil {
		t.Errorf("written again it differs, so that it would be written for ever: %v", err)
	}
}

// What cannot be read in a Secret is replaced, and its text, which may be a key, is in no message.
func TestADamagedSecret(t *testing.T) {
	t.Parallel()
	s, _, _ := advance(t, policy(), state{}, start(), time.Time{})
	other, _, _ := advance(t, policy(), state{}, start(), time.Time{})
	otherData, err := other.encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(map[string][]byte){
		"no PEM":                     func(d map[string][]byte) { d[keyLeafKey] = []byte("hunter2") },
		"no certificate":             func(d map[string][]byte) { d[keyLeafCert] = nil },
		"a certificate that is none": func(d map[string][]byte) { d[keyLeafCert] = d[keyLeafKey] },
		"a key that is none":         func(d map[string][]byte) { d[keyLeafKey] = d[keyLeafCert] },
		"the key of another":         func(d map[string][]byte) { d[keyLeafKey] = otherData[keyLeafKey] },
	} {
		data, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		change(data)
		read, err := decode(data)
		if err == nil || read.leaf != nil || read.ca == nil {
			t.Errorf("%s: error %v, certificate %v, CA %v; want the rest", name, err, read.leaf != nil, read.ca != nil)
			continue
		}
		if !strings.Contains(err.Error(), "tls.crt and tls.key") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error is %q", name, err)
		}
	}
	if read, err := decode(nil); err != nil || read.ca != nil || len(read.trusted) > 0 {
		t.Errorf("an empty Secret: %v", err)
	}
}

// A replica whose clock is ahead issues what no API server accepts, and that may stay so for years.
func TestWhatIsNotValidYetIsIssuedAgainAtOnce(t *testing.T) {
	t.Parallel()
	p, ahead := policy(), start().Add(3*365*24*time.Hour)
	fromAhead, _, _ := advance(t, p, state{}, ahead, time.Time{})
	good, _, _ := advance(t, p, state{}, start(), time.Time{})
	leafAhead, err := good.ca.issue(p.Names, ahead, p.Lifetime)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		s    state
		want []string
	}{
		"CA and certificate":                             {fromAhead, []string{"new CA", "new certificate"}},
		"the certificate alone":                          {state{ca: good.ca, leaf: leafAhead, trusted: good.trusted}, []string{"new certificate"}},
		"the CA that is to sign next":                    {state{ca: good.ca, leaf: good.leaf, next: fromAhead.ca, trusted: good.trusted}, nil},
		"a CA that is only trusted":                      {state{ca: good.ca, leaf: good.leaf, trusted: append(slices.Clone(good.trusted), fromAhead.trusted...)}, nil},
		"nothing: a clock that is ahead by five minutes": {func() state { s, _, _ := advance(t, p, state{}, start().Add(skew), time.Time{}); return s }(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, done, _ := advance(t, p, tc.s, start(), time.Time{})
			if diff := cmp.Diff(tc.want, done); diff != "" {
				t.Errorf("done (-want +got):\n%s", diff)
			}
			if err := verify(s.leaf.cert, s.trusted, start()); err != nil {
				t.Errorf("an API server refuses what is served: %v", err)
			}
			if s.next != nil || s.inBundle(fromAhead.ca.cert) {
				t.Error("a CA that is not valid yet is kept")
			}
		})
	}
}
