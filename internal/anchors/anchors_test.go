package anchors_test

import (
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"inpod.dev/inpod/internal/anchors"
)

func block(kind, content string, headers map[string]string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(content), Headers: headers}))
}

func certificate(content string) string { return block("CERTIFICATE", content, nil) }

func TestOnlyTheSetOfCertificatesCounts(t *testing.T) {
	t.Parallel()
	one, two := certificate("one"), certificate("two")
	for name, tc := range map[string]struct {
		a, b      string
		wantEqual bool
	}{
		"another order":             {one + two, two + one, true},
		"a repeat":                  {one, one + one, true},
		"a comment":                 {one + two, "# roots\n" + one + "\n\n# and more\n" + two, true},
		"a header":                  {one, block("CERTIFICATE", "one", map[string]string{"Owner": "us"}), true},
		"one more":                  {one, one + two, false},
		"another one":               {one, two, false},
		"none, and one":             {"", one, false},
		"no text, and no block":     {"", "nothing", true},
		"two, and both in one":      {one + two, certificate("onetwo"), false},
		"a block that is cut short": {one + two, one + two[:len(two)/2], false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := anchors.Of([]byte(tc.a)).Digest() == anchors.Of([]byte(tc.b)).Digest(); got != tc.wantEqual {
				t.Errorf("equal: %v, want %v", got, tc.wantEqual)
			}
		})
	}
}

func TestAUnionIsTheSetOfBothTexts(t *testing.T) {
	t.Parallel()
	a, b := certificate("one")+certificate("two"), certificate("two")+certificate("three")
	union := anchors.Union(anchors.Of([]byte(a)), anchors.Of([]byte(b)))
	if want := anchors.Of([]byte(strings.Join([]string{b, a}, "\n"))); !slices.Equal(union, want) {
		t.Errorf("union %x, want %x", union, want)
	}
	if len(union) != 3 {
		t.Errorf("%d certificates, want 3", len(union))
	}
}
