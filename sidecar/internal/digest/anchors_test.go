package digest_test

import (
	"encoding/pem"
	"testing"
	"testing/fstest"

	"inpod.dev/inpod/internal/anchors"
	"inpod.dev/inpod/sidecar/internal/digest"
)

func pemOf(content string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(content)}))
}

// The kubelet writes the anchors of a ClusterTrustBundle in another order every few minutes, which must reload nothing.
func TestTheOrderOfTrustAnchorsIsNoChange(t *testing.T) {
	t.Parallel()
	one, two := pemOf("one"), pemOf("two")
	for name, tc := range map[string]struct {
		before, after string
		anchors       []string
		keys          []string
		wantSame      bool
	}{
		"another order":                    {before: one + two, after: two + one, anchors: []string{"tls/ca.crt"}, wantSame: true},
		"another order of a wanted key":    {before: one + two, after: two + one, anchors: []string{"tls/ca.crt"}, keys: []string{"tls/ca.crt"}, wantSame: true},
		"another order of an unnamed file": {before: one + two, after: two + one},
		"another certificate":              {before: one, after: two, anchors: []string{"tls/ca.crt"}},
		"one more":                         {before: one, after: two + one, anchors: []string{"tls/ca.crt"}},
		"none any more":                    {before: one, after: "", anchors: []string{"tls/ca.crt"}},
		"text that is no certificate":      {before: "a", after: "b", anchors: []string{"tls/ca.crt"}},
		"text in place of nothing":         {before: "", after: "b", anchors: []string{"tls/ca.crt"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scan := func(text string) digest.Tree {
				tree, err := digest.Of(t.Context(), fstest.MapFS{"tls/ca.crt": file(text), "a": file("1")}, digest.Scan{Anchors: tc.anchors, Keys: tc.keys})
				if err != nil {
					t.Fatal(err)
				}
				return tree
			}
			before, after := scan(tc.before), scan(tc.after)
			if got := before.Sum == after.Sum; got != tc.wantSame {
				t.Errorf("the same: %v, want %v", got, tc.wantSame)
			}
		})
	}
}

// The controller, which knows the objects and not the files, expects this digest.
func TestADigestOfAnchorsIsThatOfTheirSet(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"two": pemOf("two") + pemOf("one"), "none": ""} {
		tree, err := digest.Of(t.Context(), fstest.MapFS{"ca.crt": file(text)}, digest.Scan{Anchors: []string{"ca.crt"}})
		if err != nil {
			t.Fatal(err)
		}
		want := anchors.Of([]byte(text)).Digest()
		if got := tree.Entries["ca.crt"].Short; [16]byte(want[:16]) != got {
			t.Errorf("%s: %x, want the first half of %x", name, got, want)
		}
	}
}
