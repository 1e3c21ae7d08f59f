//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"inpod.dev/inpod/e2e/internal/framework"
)

// Values of sources are nowhere that people look who may not read them: not in the log at its most talkative, not in
// events, metrics or workloads; and neither is a plain digest, from which a short value can be guessed.
func TestNoValueLeavesTheController(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.install(framework.Values{"logLevel": "trace"}, nil)
	planted := "planted-" + rand.Text()
	a := deployment("app", env("PASSWORD", ofSecret("password"), "value"), volume(ofConfigMap("config"))).idle().annotated(s.keys.auto, "true")
	bad := deployment("bad", envFrom(ofSecret("password"))).idle().annotated(s.keys.secret, "[,password")
	gone := deployment("gone", env("PASSWORD", ofSecret("password"), "other"), envFrom(ofConfigMap("config"))).idle().annotated(s.keys.auto, "true")
	s.apply(secret("password", "value", "1", "other", "1"), configMap("config", "value", "1"), a.object(), bad.object(), gone.object())
	s.hasBaseline(a.in(s.ns), bad.in(s.ns), gone.in(s.ns))
	before := s.rollouts()
	s.apply(secret("password", "value", planted, "another", planted), configMap("config", "value", planted))
	s.rolled(before, a.in(s.ns), bad.in(s.ns))
	_, err := s.AwaitEvent(s.ctx, gone.in(s.ns), "", "other in Secret password") // an error about this very source
	s.must(err)

	for place, text := range s.whatIsPublic(s.ctx) {
		for form, secret := range formsOf(planted) {
			if strings.Contains(text, secret) {
				t.Errorf("%s: has the planted value as %s", place, form)
			}
		}
	}
}

// whatIsPublic collects what the controller says and writes.
func (s *space) whatIsPublic(ctx context.Context) map[string]string {
	s.t.Helper()
	metrics, err := s.Get(ctx, s.Namespace, s.controllerPod(), "9090", "/metrics")
	s.must(err)
	states, err := s.States(ctx, s.ns)
	s.must(err)
	var workloads bytes.Buffer
	for w, state := range states {
		s.must(json.NewEncoder(&workloads).Encode([]any{w, state}))
	}
	var events bytes.Buffer
	for w := range states {
		s.must(json.NewEncoder(&events).Encode(s.events(w, "")))
	}
	public := map[string]string{
		"log": s.controllerLog(ctx), "metrics": string(metrics), "workloads": workloads.String(), "events": events.String(),
	}
	for place, text := range public {
		if len(text) < 100 {
			s.t.Errorf("%s: only %q, there is nothing to search", place, text)
		}
	}
	return public
}

func formsOf(value string) map[string]string {
	one, two := sha1.Sum([]byte(value)), sha256.Sum256([]byte(value))
	return map[string]string{
		"it is":                       value,
		"base64":                      strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(value)), "="),
		"SHA-1":                       hex.EncodeToString(one[:]),
		"SHA-256":                     hex.EncodeToString(two[:16]),
		"SHA-256 in base64":           base64.StdEncoding.EncodeToString(two[:])[:20],
		"SHA-256 in base64 for a URL": base64.URLEncoding.EncodeToString(two[:])[:20],
		"Reloader's SHA-1 of the pair": func() string {
			pair := sha1.Sum([]byte("value=" + value))
			return hex.EncodeToString(pair[:])
		}(),
	}
}
