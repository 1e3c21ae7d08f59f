package confirm_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/confirm"
)

// installation is the key of an installation of which nothing is secret.
func installation(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// wantPublic is the public key of installation(7). Pods carry it for as long as they live, so it must never change.
const wantPublic = "5fd3f789f18aa8360ab4b6a3c25a6dbb25b7dbff7e8d7237c29bda316541f34d"

func sealerOf(t testing.TB, digestKey []byte) *confirm.Key {
	t.Helper()
	text, err := confirm.PublicKey(digestKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := confirm.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func full() confirm.Reply {
	at := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	sum := sha256.Sum256([]byte("hunter2"))
	return confirm.Reply{
		Result: confirm.Rejected, Message: "nginx: unknown directive", Changes: 3, Attempts: 2,
		Trigger: "SIGHUP to nginx (PID 7)", Proof: "workers renewed",
		Files: map[string]string{
			"/etc/nginx/nginx.conf": confirm.Digest([16]byte(sum[:16])), "/etc/tls/tls.key": confirm.Opaque,
			"/etc/nginx/gone": confirm.Missing, "/etc/app/token": confirm.Ignored,
		},
		Mounts: map[string]time.Time{"/secrets": at.Add(-time.Minute)},
		At:     at, Started: at.Add(-time.Hour), Changed: at.Add(-time.Minute), AttemptAt: at.Add(-time.Second), Version: "v1.2.3",
	}
}

func TestReplyReachesTheController(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]confirm.Reply{
		"with everything":                 full(),
		"with a proof":                    {Result: confirm.Applied, Proven: true, Proof: "metrics", Files: map[string]string{}},
		"with a result of its own":        {Result: confirm.NeedsRestart, Files: map[string]string{}},
		"with no answer yet":              {Result: confirm.Late, Files: map[string]string{}},
		"with nothing":                    {Result: confirm.None, Files: map[string]string{}},
		"as long as the padding or so":    {Result: confirm.Failed, Message: strings.Repeat("x", 460), Files: map[string]string{}},
		"longer than one unit of padding": {Result: confirm.Died, Message: strings.Repeat("x", 900), Files: map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := confirm.NewRequest(nil)
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := sealerOf(t, installation(7)).Seal(request.Nonce, reply)
			if err != nil {
				t.Fatal(err)
			}
			got, err := confirm.Open(installation(7), request.Nonce, sealed)
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
	sealed, err := sealerOf(t, installation(7)).Seal(nonce, full())
	if err != nil {
		t.Fatal(err)
	}
	flip := func(i int) []byte {
		other := bytes.Clone(sealed)
		other[i] ^= 1
		return other
	}
	for name, tc := range map[string]struct {
		key, nonce, sealed []byte
	}{
		"another installation":        {installation(8), nonce, sealed},
		"the answer to another nonce": {installation(7), bytes.Repeat([]byte{2}, 16), sealed},
		"another head":                {installation(7), nonce, flip(0)},
		"another ciphertext":          {installation(7), nonce, flip(40)},
		"another tag":                 {installation(7), nonce, flip(len(sealed) - 1)},
		"cut short":                   {installation(7), nonce, sealed[:len(sealed)-1]},
		"only a head":                 {installation(7), nonce, sealed[:32]},
		"shorter than a head":         {installation(7), nonce, sealed[:31]},
		"nothing":                     {installation(7), nonce, nil},
		"a point of low order":        {installation(7), nonce, make([]byte, 100)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := confirm.Open(tc.key, tc.nonce, tc.sealed)
			if !errors.Is(err, confirm.ErrSealed) {
				t.Errorf("opened as %+v, %v; want ErrSealed", got, err)
			}
		})
	}
	if _, err := confirm.Open(installation(7), nonce, make([]byte, confirm.MaxReply+1)); !isNotUnderstood(err) {
		t.Errorf("a reply of any length: %v; want that it is not understood", err)
	}
}

func isNotUnderstood(err error) bool {
	_, is := errors.AsType[*confirm.NotUnderstoodError](err)
	return is
}

// What goes over the network says nothing: two replies of the same content differ, one about another content has the
// same length, and neither the value nor its digest occurs.
func TestReplySaysNothingToOthers(t *testing.T) {
	t.Parallel()
	key, nonce := sealerOf(t, installation(7)), bytes.Repeat([]byte{1}, 16)
	seal := func(value string) []byte {
		sum := sha256.Sum256([]byte(value))
		reply := full()
		reply.Files = map[string]string{"/etc/a": confirm.Digest([16]byte(sum[:16]))}
		sealed, err := key.Seal(nonce, reply)
		if err != nil {
			t.Fatal(err)
		}
		for what, part := range map[string][]byte{"value": []byte(value), "digest": sum[:8], "digest text": []byte(reply.Files["/etc/a"][:8])} {
			if bytes.Contains(sealed, part) {
				t.Errorf("the %s is in the sealed reply", what)
			}
		}
		return sealed
	}
	first, again, other := seal("1234"), seal("1234"), seal("a much longer value than that")
	if bytes.Equal(first, again) {
		t.Error("sealing the same content twice gives the same bytes")
	}
	if len(first) != len(other) {
		t.Errorf("the lengths tell contents apart: %d and %d", len(first), len(other))
	}
}

func TestPublicKeyIsForEver(t *testing.T) {
	t.Parallel()
	got, err := confirm.PublicKey(installation(7))
	if err != nil || got != wantPublic {
		t.Errorf("public key %q, %v; want %q: pods that live already would answer with what nobody can open", got, err, wantPublic)
	}
	if other, _ := confirm.PublicKey(installation(8)); other == got {
		t.Error("two installations have the same key")
	}
	if _, err := confirm.PublicKey(make([]byte, 31)); err == nil || !strings.Contains(err.Error(), "31") {
		t.Errorf("a key of 31 bytes: %v, want an error with the length", err)
	}
	if _, err := confirm.Open(nil, nil, nil); err == nil {
		t.Error("a reply is opened without a key")
	}
}

func TestParseKeyRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing": "", "no hexadecimal": strings.Repeat("g", 64), "too short": strings.Repeat("a", 62), "too long": strings.Repeat("a", 66),
	} {
		if _, err := confirm.ParseKey(text); err == nil || !strings.Contains(err.Error(), "64 hexadecimal digits") {
			t.Errorf("%s: %v, want what it should be", name, err)
		}
	}
}

func TestParseRequest(t *testing.T) {
	t.Parallel()
	many := make([]string, confirm.MaxFiles+1)
	for i := range many {
		many[i] = "/a"
	}
	encoded := func(r confirm.Request) string {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	nonce := bytes.Repeat([]byte{1}, 16)
	for name, tc := range map[string]struct {
		body    string
		want    confirm.Request
		wantErr string
	}{
		"good":                     {body: encoded(confirm.Request{Nonce: nonce, Files: []string{"/a/b"}}), want: confirm.Request{Nonce: nonce, Files: []string{"/a/b"}}},
		"no files":                 {body: encoded(confirm.Request{Nonce: nonce}), want: confirm.Request{Nonce: nonce}},
		"a folder":                 {body: encoded(confirm.Request{Nonce: nonce, Mounts: []string{"/secrets"}}), want: confirm.Request{Nonce: nonce, Mounts: []string{"/secrets"}}},
		"a relative folder":        {body: encoded(confirm.Request{Nonce: nonce, Mounts: []string{"secrets"}}), wantErr: "secrets"},
		"too many folders":         {body: encoded(confirm.Request{Nonce: nonce, Mounts: many}), wantErr: "513 files"},
		"a field of a later time":  {body: `{"nonce":"AQEBAQEBAQEBAQEBAQEBAQ==","later":1}`, want: confirm.Request{Nonce: nonce}},
		"empty":                    {wantErr: "want {"},
		"no JSON":                  {body: "hello", wantErr: "want {"},
		"more behind it":           {body: encoded(confirm.Request{Nonce: nonce}) + "{}", wantErr: "want {"},
		"no nonce":                 {body: `{}`, wantErr: "nonce has 0 bytes"},
		"a short nonce":            {body: encoded(confirm.Request{Nonce: nonce[:15]}), wantErr: "nonce has 15 bytes"},
		"a long nonce":             {body: encoded(confirm.Request{Nonce: bytes.Repeat(nonce, 5)}), wantErr: "nonce has 80 bytes"},
		"a relative path":          {body: encoded(confirm.Request{Nonce: nonce, Files: []string{"etc/passwd"}}), wantErr: "etc/passwd"},
		"a path with a detour":     {body: encoded(confirm.Request{Nonce: nonce, Files: []string{"/etc/app/../passwd"}}), wantErr: "detours"},
		"a path with a zero byte":  {body: encoded(confirm.Request{Nonce: nonce, Files: []string{"/etc/\x00"}}), wantErr: "no absolute path"},
		"a path that is too long":  {body: encoded(confirm.Request{Nonce: nonce, Files: []string{"/" + strings.Repeat("a", 4096)}}), wantErr: "no absolute path"},
		"an empty path":            {body: encoded(confirm.Request{Nonce: nonce, Files: []string{""}}), wantErr: "no absolute path"},
		"too many files":           {body: encoded(confirm.Request{Nonce: nonce, Files: many}), wantErr: "513 files"},
		"a body that is too large": {body: strings.Repeat(" ", confirm.MaxRequest+1), wantErr: "more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := confirm.ParseRequest([]byte(tc.body))
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
	if _, err := confirm.NewRequest([]string{"relative"}); err == nil {
		t.Error("a bad path is noticed only by the sidecar")
	}
}

// A reply may come from anybody, since the key to seal with is public.
func TestOpenRefusesNonsense(t *testing.T) {
	t.Parallel()
	key, nonce := sealerOf(t, installation(7)), bytes.Repeat([]byte{1}, 16)
	many := map[string]string{}
	for i := range confirm.MaxFiles + 1 {
		many["/"+strings.Repeat("a", i)] = ""
	}
	for name, tc := range map[string]struct {
		reply   confirm.Reply
		wantErr string
	}{
		"no result":              {confirm.Reply{}, "unknown result"},
		"another result":         {confirm.Reply{Result: "fine"}, `unknown result "fine"`},
		"a later version":        {confirm.Reply{Result: "fine", Version: "v9.0.1-rc.1+x"}, "unknown result"},
		"a digest in capitals":   {confirm.Reply{Result: confirm.None, Files: map[string]string{"/a": strings.Repeat("A", 32)}}, "no digest"},
		"a digest of 15 bytes":   {confirm.Reply{Result: confirm.None, Files: map[string]string{"/a": strings.Repeat("a", 30)}}, "no digest"},
		"too many files":         {confirm.Reply{Result: confirm.None, Files: many}, "513 files"},
		"a count below zero":     {confirm.Reply{Result: confirm.None, Changes: -1}, "below zero"},
		"attempts without count": {confirm.Reply{Result: confirm.None, Attempts: -1}, "below zero"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sealed, err := key.Seal(nonce, tc.reply)
			if err != nil {
				t.Fatal(err)
			}
			got, err := confirm.Open(installation(7), nonce, sealed)
			unknown, is := errors.AsType[*confirm.NotUnderstoodError](err)
			if !is || !strings.Contains(err.Error(), tc.wantErr) || unknown.Version != tc.reply.Version {
				t.Errorf("opened as %+v, %v; want that it is not understood, with %q and version %q", got, err, tc.wantErr, tc.reply.Version)
			}
		})
	}
}

func TestMessageIsOneShortLine(t *testing.T) {
	t.Parallel()
	key, nonce := sealerOf(t, installation(7)), bytes.Repeat([]byte{1}, 16)
	sealed, err := key.Seal(nonce, confirm.Reply{Result: confirm.Rejected, Message: "a\x00\nb\xff" + strings.Repeat("é", 2000)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := confirm.Open(installation(7), nonce, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Message) > 1<<10 || !strings.HasPrefix(got.Message, "a  b?é") || !strings.HasSuffix(got.Message, "é…") {
		t.Errorf("message of %d bytes: %.10q … %q", len(got.Message), got.Message, got.Message[len(got.Message)-8:])
	}
}

// BenchmarkSeal is what a stranger can make a sidecar do with one request.
func BenchmarkSeal(b *testing.B) {
	key, nonce, reply := sealerOf(b, installation(7)), bytes.Repeat([]byte{1}, 16), full()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.Seal(nonce, reply); err != nil {
			b.Fatal(err)
		}
	}
}
