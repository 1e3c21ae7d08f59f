package digest_test

import (
	"io/fs"
	"maps"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/sidecar/internal/digest"
)

func TestWhatIsLeftOutChangesNothing(t *testing.T) {
	t.Parallel()
	base := fstest.MapFS{"a": file("1"), "pod/labels": file("1"), "pod/name": file("1"), "link": {Mode: fs.ModeSymlink, Data: []byte("/x")}}
	with := func(name, text string) fstest.MapFS {
		all := maps.Clone(base)
		all[name] = file(text)
		return all
	}
	ignored := []string{"pod/labels", "gone"}
	scan := func(fsys fs.FS, keys ...string) digest.Sum {
		t.Helper()
		tree, err := digest.Of(t.Context(), digest.Without(fsys, ignored), digest.Scan{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return tree.Sum
	}
	for name, tc := range map[string]struct {
		after fstest.MapFS
		keys  []string
		want  bool // a change
	}{
		"an ignored file has other content":               {with("pod/labels", "2"), nil, false},
		"an ignored file comes to be":                     {with("gone", "2"), nil, false},
		"what lies below an ignored name":                 {with("gone/x", "2"), nil, false},
		"a file beside an ignored one":                    {with("pod/name", "2"), nil, true},
		"a name that begins like an ignored one":          {with("pod/labels2", "2"), nil, true},
		"an ignored file below a wanted folder":           {with("pod/labels", "2"), []string{"pod"}, false},
		"a file beside an ignored one in a wanted folder": {with("pod/name", "2"), []string{"pod"}, true},
	} {
		if got := scan(base, tc.keys...) != scan(tc.after, tc.keys...); got != tc.want {
			t.Errorf("%s: a change %t, want %t", name, got, tc.want)
		}
	}
	tree, err := digest.Of(t.Context(), digest.Without(base, ignored), digest.Scan{Keys: []string{"pod/labels"}})
	if diff := cmp.Diff([]string{"pod/labels"}, tree.Missing); err != nil || diff != "" {
		t.Errorf("a key that is ignored too: %v (-want +got):\n%s", err, diff)
	}
}
