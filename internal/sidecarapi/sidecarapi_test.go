package sidecarapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/sidecarapi"
)

// installation is the key of an installation without secrets.
func installation(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// wantPublic is the public key of installation(7). Pods carry it for as long as they live, so it must never change.
const wantPublic = "5fd3f789f18aa8360ab4b6a3c25a6dbb25b7dbff7e8d7237c29bda316541f34d"

func keyOf(t testing.TB, digestKey []byte) *sidecarapi.Key {
	t.Helper()
	text, err := sidecarapi.PublicKey(digestKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sidecarapi.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func full() sidecarapi.Response {
	at := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	sum := sha256.Sum256([]byte("hunter2"))
	return sidecarapi.Response{
		Result: sidecarapi.Rejected, Message: "nginx: unknown directive", Changes: 3, Attempts: 2,
		Trigger: "SIGHUP to nginx (PID 7)", Proof: "workers renewed",
		Files: map[string]string{
			"/etc/nginx/nginx.conf": sidecarapi.Digest([16]byte(sum[:16])), "/etc/tls/tls.key": sidecarapi.Opaque,
			"/etc/nginx/gone": sidecarapi.Missing, "/etc/app/token": sidecarapi.Ignored,
		},
		Mounts: map[string]time.Time{"/secrets": at.Add(-time.Minute)},
		At:     at, Started: at.Add(-time.Hour), Changed: at.Add(-time.Minute), AttemptAt: at.Add(-time.Second), Version: "v1.2.3",
	}
}

func TestReplyReachesTheController(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]sidecarapi.Response{
		"with everything":                 full(),
		"with a proof":                    {Result: sidecarapi.Applied, Proven: true, Proof: "metrics", Files: map[string]string{}},
		"with a result of its own":        {Result: sidecarapi.NeedsRestart, Files: map[string]string{}},
		"with no answer yet":              {Result: sidecarapi.Late, Files: map[string]string{}},
		"with nothing":                    {Result: sidecarapi.None, Files: map[string]string{}},
		"as long as the padding or so":    {Result: sidecarapi.Failed, Message: strings.Repeat("x", 460), Files: map[string]string{}},
		"longer than one unit of padding": {Result: sidecarapi.Died, Message: strings.Repeat("x", 900), Files: map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := sidecarapi.NewRequest(nil)
			if err != nil {
				t.Fatal(err)
			}
			encrypted, err := keyOf(t, installation(7)).Encrypt(request.Nonce, reply)
			if err != nil {
				t.Fatal(err)
			}
			got, err := sidecarapi.Open(installation(7), request.Nonce, encrypted)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(reply, got); diff != "" {
				t.Errorf("the reply changed on its way (-sent +received):\n%s", diff)
			}
		})
	}
}

func TestNobodyElseOpensAReply(t *testing.T) {
	t.Parallel()
	nonce := bytes.Repeat([]byte{1}, 16)
	encrypted, err := keyOf(t, installation(7)).Encrypt(nonce, full())
	if err != nil {
		t.Fatal(err)
	}
	flip := func(i int) []byte {
		other := bytes.Clone(encrypted)
		other[i] ^= 1
		return other
	}
	for name, tc := range map[string]struct {
		key, nonce, encrypted []byte
	}{
		"another installation":        {installation(8), nonce, encrypted},
		"the answer to another nonce": {installation(7), bytes.Repeat([]byte{2}, 16), encrypted},
		"another head":                {installation(7), nonce, flip(0)},
		"another ciphertext":          {installation(7), nonce, flip(40)},
		"another tag":                 {installation(7), nonce, flip(len(encrypted) - 1)},
		"cut short":                   {installation(7), nonce, encrypted[:len(encrypted)-1]},
		"only a head":                 {installation(7), nonce, encrypted[:32]},
		"shorter than a head":         {installation(7), nonce, encrypted[:31]},
		"nothing":                     {installation(7), nonce, nil},
		"a point of low order":        {installation(7), nonce, make([]byte, 100)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := sidecarapi.Open(tc.key, tc.nonce, tc.encrypted)
			if !errors.Is(err, sidecarapi.ErrEncrypted) {
				t.Errorf("opened as %+v, %v; want ErrSealed", got, err)
			}
		})
	}
	if _, err := sidecarapi.Open(installation(7), nonce, make([]byte, sidecarapi.MaxReply+1)); !isNotUnderstood(err) {
		t.Errorf("a reply of any length: %v; want that it is not understood", err)
	}
}

func isNotUnderstood(err error) bool {
	_, is := errors.AsType[*sidecarapi.NotUnderstoodError](err)
	return is
}

// What goes over the network says nothing: two replies of the same content differ, one about another content has the
// same length, and neither the value nor its digest occurs.
func TestReplySaysNothingToOthers(t *testing.T) {
	t.Parallel()
	key, nonce := keyOf(t, installation(7)), bytes.Repeat([]byte{1}, 16)
	encrypt := func(value string) []byte {
		sum := sha256.Sum256([]byte(value))
		reply := full()
		reply.Files = map[string]string{"/etc/a": sidecarapi.Digest([16]byte(sum[:16]))}
		encrypted, err := key.Encrypt(nonce, reply)
		if err != nil {
			t.Fatal(err)
		}
		for what, part := range map[string][]byte{"value": []byte(value), "digest": sum[:8], "digest text": []byte(reply.Files["/etc/a"][:8])} {
			if bytes.Contains(encrypted, part) {
				t.Errorf("the %s is in the encrypted reply", what)
			}
		}
		return encrypted
	}
	first, again, other := encrypt("1234"), encrypt("1234"), encrypt("a much longer value than that")
	if bytes.Equal(first, again) {
		t.Error("encrypting the same content twice gives the same bytes")
	}
	if len(first) != len(other) {
		t.Errorf("the lengths distinguish contents: %d and %d", len(first), len(other))
	}
}

func TestPublicKeyIsForEver(t *testing.T) {
	t.Parallel()
	got, err := sidecarapi.PublicKey(installation(7))
	if err != nil || got != wantPublic {
		t.Errorf("public key %q, %v; want %q: pods that live already would answer with what nobody can open", got, err, wantPublic)
	}
	if other, _ := sidecarapi.PublicKey(installation(8)); other == got {
		t.Error("two installations have the same key")
	}
	if _, err := sidecarapi.PublicKey(make([]byte, 31)); err == nil || !strings.Contains(err.Error(), "31") {
		t.Errorf("a key of 31 bytes: %v, want an error with the length", err)
	}
	if _, err := sidecarapi.Open(nil, nil, nil); err == nil {
		t.Error("a reply is opened without a key")
	}
}

func TestParseKeyRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing": "", "no hexadecimal": strings.Repeat("g", 64), "too short": strings.Repeat("a", 62), "too long": strings.Repeat("a", 66),
	} {
		if _, err := sidecarapi.ParseKey(text); err == nil || !strings.Contains(err.Error(), "64 hexadecimal digits") {
			t.Errorf("%s: %v, want what it should be", name, err)
		}
	}
}

func TestParseRequest(t *testing.T) {
	t.Parallel()
	many := make([]string, sidecarapi.MaxFiles+1)
	for i := range many {
		many[i] = "/a"
	}
	encoded := func(r sidecarapi.Request) string {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	nonce := bytes.Repeat([]byte{1}, 16)
	for name, tc := range map[string]struct {
		body    string
		want    sidecarapi.Request
		wantErr string
	}{
		"good":                     {body: encoded(sidecarapi.Request{Nonce: nonce, Files: []string{"/a/b"}}), want: sidecarapi.Request{Nonce: nonce, Files: []string{"/a/b"}}},
		"no files":                 {body: encoded(sidecarapi.Request{Nonce: nonce}), want: sidecarapi.Request{Nonce: nonce}},
		"a folder":                 {body: encoded(sidecarapi.Request{Nonce: nonce, Mounts: []string{"/secrets"}}), want: sidecarapi.Request{Nonce: nonce, Mounts: []string{"/secrets"}}},
		"a relative folder":        {body: encoded(sidecarapi.Request{Nonce: nonce, Mounts: []string{"secrets"}}), wantErr: "secrets"},
		"too many folders":         {body: encoded(sidecarapi.Request{Nonce: nonce, Mounts: many}), wantErr: "513 files"},
		"a field of a later time":  {body: `{"nonce":"AQEBAQEBAQEBAQEBAQEBAQ==","later":1}`, want: sidecarapi.Request{Nonce: nonce}},
		"empty":                    {wantErr: "want {"},
		"no JSON":                  {body: "hello", wantErr: "want {"},
		"more behind it":           {body: encoded(sidecarapi.Request{Nonce: nonce}) + "{}", wantErr: "want {"},
		"no nonce":                 {body: `{}`, wantErr: "nonce has 0 bytes"},
		"a short nonce":            {body: encoded(sidecarapi.Request{Nonce: nonce[:15]}), wantErr: "nonce has 15 bytes"},
		"a long nonce":             {body: encoded(sidecarapi.Request{Nonce: bytes.Repeat(nonce, 5)}), wantErr: "nonce has 80 bytes"},
		"a relative path":          {body: encoded(sidecarapi.Request{Nonce: nonce, Files: []string{"etc/passwd"}}), wantErr: "etc/passwd"},
		"a path with a detour":     {body: encoded(sidecarapi.Request{Nonce: nonce, Files: []string{"/etc/app/../passwd"}}), wantErr: "detours"},
		"a path with a zero byte":  {body: encoded(sidecarapi.Request{Nonce: nonce, Files: []string{"/etc/\x00"}}), wantErr: "no absolute path"},
		"a path that is too long":  {body: encoded(sidecarapi.Request{Nonce: nonce, Files: []string{"/" + strings.Repeat("a", 4096)}}), wantErr: "no absolute path"},
		"an empty path":            {body: encoded(sidecarapi.Request{Nonce: nonce, Files: []string{""}}), wantErr: "no absolute path"},
		"too many files":           {body: encoded(sidecarapi.Request{Nonce: nonce, Files: many}), wantErr: "513 files"},
		"a body that is too large": {body: strings.Repeat(" ", sidecarapi.MaxRequest+1), wantErr: "more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := sidecarapi.ParseRequest([]byte(tc.body))
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("error = %v, want %q in it", err, tc.wantErr)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	if _, err := sidecarapi.NewRequest([]string{"relative"}); err == nil {
		t.Error("a bad path is noticed only by the sidecar")
	}
}

// A reply may come from anybody, since the key to encrypt with is public.
func TestOpenRefusesNonsense(t *testing.T) {
	t.Parallel()
	key, nonce := keyOf(t, installation(7)), bytes.Repeat([]byte{1}, 16)
	many := map[string]string{}
	for i := range sidecarapi.MaxFiles + 1 {
		many["/"+strings.Repeat("a", i)] = ""
	}
	for name, tc := range map[string]struct {
		reply   sidecarapi.Response
		wantErr string
	}{
		"no result":              {sidecarapi.Response{}, "unknown result"},
		"another result":         {sidecarapi.Response{Result: "fine"}, `unknown result "fine"`},
		"a later version":        {sidecarapi.Response{Result: "fine", Version: "v9.0.1-rc.1+x"}, "unknown result"},
		"a digest in capitals":   {sidecarapi.Response{Result: sidecarapi.None, Files: map[string]string{"/a": strings.Repeat("A", 32)}}, "no digest"},
		"a digest of 15 bytes":   {sidecarapi.Response{Result: sidecarapi.None, Files: map[string]string{"/a": strings.Repeat("a", 30)}}, "no digest"},
		"too many files":         {sidecarapi.Response{Result: sidecarapi.None, Files: many}, "513 files"},
		"a count below zero":     {sidecarapi.Response{Result: sidecarapi.None, Changes: -1}, "below zero"},
		"attempts without count": {sidecarapi.Response{Result: sidecarapi.None, Attempts: -1}, "below zero"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			encrypted, err := key.Encrypt(nonce, tc.reply)
			if err != nil {
				t.Fatal(err)
			}
			got, err := sidecarapi.Open(installation(7), nonce, encrypted)
			unknown, is := errors.AsType[*sidecarapi.NotUnderstoodError](err)
			if !is || !strings.Contains(err.Error(), tc.wantErr) || unknown.Version != tc.reply.Version {
				t.Errorf("opened as %+v, %v; want that it is not understood, with %q and version %q", got, err, tc.wantErr, tc.reply.Version)
			}
		})
	}
}

func TestMessageIsOneShortLine(t *testing.T) {
	t.Parallel()
	key, nonce := keyOf(t, installation(7)), bytes.Repeat([]byte{1}, 16)
	encrypted, err := key.Encrypt(nonce, sidecarapi.Response{Result: sidecarapi.Rejected, Message: "a\x00\nb\xff" + strings.Repeat("é", 2000)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := sidecarapi.Open(installation(7), nonce, encrypted)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Message) > 1<<10 || !strings.HasPrefix(got.Message, "a  b?é") || !strings.HasSuffix(got.Message, "é…") {
		t.Errorf("message of %d bytes: %.10q … %q", len(got.Message), got.Message, got.Message[len(got.Message)-8:])
	}
}

// BenchmarkEncrypt is what a stranger can make a sidecar do with one request.
func BenchmarkEncrypt(b *testing.B) {
	key, nonce, reply := keyOf(b, installation(7)), bytes.Repeat([]byte{1}, 16), full()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.Encrypt(nonce, reply); err != nil {
			b.Fatal(err)
		}
	}
}

// docs/adr/0018-default-port.md has what was checked. These ports belong to no service, need no privilege, are no
// NodePorts, and no system gives them to outgoing connections by default.
func TestTheDefaultPortBelongsToNoService(t *testing.T) {
	t.Parallel()
	const first, last = 27443, 27503
	if sidecarapi.DefaultPort < first || sidecarapi.DefaultPort > last {
		t.Errorf("%d is not among the ports %d to %d, which were checked", sidecarapi.DefaultPort, first, last)
	}
}
