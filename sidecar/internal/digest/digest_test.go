package digest_test

import (
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"inpod.dev/inpod/sidecar/internal/digest"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }

func token(subject string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"alg":"RS256"}`)) + "." + b64([]byte(`{"sub":"`+subject+`"}`)) + "." + b64([]byte("signature"))
}

func of(t *testing.T, fsys fs.FS, keys ...string) digest.Tree {
	t.Helper()
	tree, err := digest.Of(t.Context(), fsys, digest.Scan{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestSameOrDifferent(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		before, after fstest.MapFS
		keys          []string
		wantSame      bool
	}{
		"nothing changed": {
			before: fstest.MapFS{"a": file("1")}, after: fstest.MapFS{"a": file("1")}, wantSame: true,
		},
		"a file has other content": {
			before: fstest.MapFS{"a": file("1")}, after: fstest.MapFS{"a": file("2")},
		},
		"a file was added": {
			before: fstest.MapFS{"a": file("1")}, after: fstest.MapFS{"a": file("1"), "b": file("")},
		},
		"a file was removed": {
			before: fstest.MapFS{"a": file("1"), "b": file("")}, after: fstest.MapFS{"a": file("1")},
		},
		"content moved to another name": {
			before: fstest.MapFS{"a": file("1")}, after: fstest.MapFS{"b": file("1")},
		},
		"the border between name and content moved": {
			before: fstest.MapFS{"a": file("bc")}, after: fstest.MapFS{"ab": file("c")},
		},
		"the border between two files moved": {
			before: fstest.MapFS{"a": file("12"), "b": file("3")}, after: fstest.MapFS{"a": file("1"), "b": file("23")},
		},
		"a key that is not wanted changed": {
			before: fstest.MapFS{"a": file("1"), "b": file("1")}, after: fstest.MapFS{"a": file("1"), "b": file("2")},
			keys: []string{"a"}, wantSame: true,
		},
		"a wanted key disappeared": {
			before: fstest.MapFS{"a": file("1")}, after: fstest.MapFS{}, keys: []string{"a"},
		},
		"an absent key and an empty one are not the same": {
			before: fstest.MapFS{}, after: fstest.MapFS{"a": file("")}, keys: []string{"a"},
		},
		"the order of the keys does not matter to the content": {
			before: fstest.MapFS{"a/b": file("1")}, after: fstest.MapFS{"a/b": file("1")}, keys: []string{"a/b", "a/b"},
			wantSame: true,
		},
		"a file in a folder changed": {
			before: fstest.MapFS{"conf.d/a": file("1")}, after: fstest.MapFS{"conf.d/a": file("2")},
		},
		"a service account token was renewed": {
			before:   fstest.MapFS{"token": file(token("system:serviceaccount:a:b")), "a": file("1")},
			after:    fstest.MapFS{"token": file(token("system:serviceaccount:a:b") + "x"), "a": file("1")},
			wantSame: true,
		},
		"another kind of token changed": {
			before: fstest.MapFS{"token": file(token("alice"))}, after: fstest.MapFS{"token": file(token("bob"))},
		},
		"a token that was asked for by name was renewed": {
			before: fstest.MapFS{"token": file(token("system:serviceaccount:a:b"))},
			after:  fstest.MapFS{"token": file(token("system:serviceaccount:a:c"))},
			keys:   []string{"token"},
		},
		"the kubelet's own names changed": {
			before: fstest.MapFS{"..data/a": file("1")}, after: fstest.MapFS{"..data/a": file("2")}, wantSame: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			same := of(t, tc.before, tc.keys...).Sum == of(t, tc.after, tc.keys...).Sum
			if same != tc.wantSame {
				t.Errorf("same = %v, want %v", same, tc.wantSame)
			}
		})
	}
}

func TestLinkNeverLeadsOut(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, "1")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "real"), "x")
	for name, target := range map[string]string{"out": outside, "in": "real", "loop": ".", "nowhere": "gone"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })

	before := of(t, root.FS())
	if before.Files != 2 {
		t.Errorf("files = %d, want 2: the real one and the link to it", before.Files)
	}
	write(t, outside, "2")
	if of(t, root.FS()).Sum != before.Sum {
		t.Error("content outside was read")
	}
	write(t, filepath.Join(dir, "real"), "y")
	if of(t, root.FS()).Sum == before.Sum {
		t.Error("content inside was not read")
	}
	named := of(t, root.FS(), "out")
	if named.Outside != 1 {
		t.Errorf("outside = %d, want 1", named.Outside)
	}
	write(t, outside, "3")
	if of(t, root.FS(), "out").Sum != named.Sum {
		t.Error("content outside was read through a link that was named")
	}
}

func TestMissingAndDirs(t *testing.T) {
	t.Parallel()
	tree := of(t, fstest.MapFS{"a/b/c": file("1")}, "a/b/c", "gone")
	if len(tree.Missing) != 1 || tree.Missing[0] != "gone" {
		t.Errorf("missing = %v, want [gone]", tree.Missing)
	}
	if len(tree.Dirs) != 3 { // ".", "a", "a/b"
		t.Errorf("dirs = %v, want the parents of the keys", tree.Dirs)
	}
}

// closed is a file system with one file that may not be read.
type closed struct{ fstest.MapFS }

func (c closed) Open(name string) (fs.File, error) {
	if name == "secret" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return c.MapFS.Open(name)
}

func TestUnreadableFileCountsByItsMetadata(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(age time.Duration) closed {
		return closed{fstest.MapFS{"secret": {Data: []byte("x"), ModTime: now.Add(-age)}}}
	}
	before := of(t, at(time.Hour))
	if before.Opaque != 1 || before.Files != 1 {
		t.Errorf("%+v, want one file that cannot be read", before)
	}
	if of(t, at(time.Hour)).Sum != before.Sum {
		t.Error("an untouched file changed")
	}
	if of(t, at(time.Minute)).Sum == before.Sum {
		t.Error("a rewritten file did not change")
	}
}

func TestPipeIsNotOpened(t *testing.T) {
	t.Parallel()
	tree := of(t, fstest.MapFS{"pipe": {Mode: fs.ModeNamedPipe}, "a": file("1")})
	if tree.Files != 1 {
		t.Errorf("files = %d, want 1", tree.Files)
	}
}

func TestCombineKeepsVolumesApart(t *testing.T) {
	t.Parallel()
	one, two := digest.Sum{1}, digest.Sum{2}
	ab := digest.Combine([]digest.Volume{{Path: "/a", Sum: one}, {Path: "/b", Sum: two}})
	ba := digest.Combine([]digest.Volume{{Path: "/a", Sum: two}, {Path: "/b", Sum: one}})
	if ab.Sum == ba.Sum {
		t.Error("swapped content of two volumes is not seen")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
