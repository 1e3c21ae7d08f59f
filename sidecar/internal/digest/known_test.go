package digest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/sidecar/internal/digest"
)

// reads notes which files are opened.
type reads struct {
	fstest.MapFS
	names []string
}

func (r *reads) Open(name string) (fs.File, error) {
	if info, err := fs.Stat(r.MapFS, name); err == nil && info.Mode().IsRegular() {
		r.names = append(r.names, name)
	}
	return r.MapFS.Open(name)
}

func (r *reads) ReadDir(name string) ([]fs.DirEntry, error) { return r.MapFS.ReadDir(name) }

func TestWhatIsKnownIsNotReadAgain(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	text := func(text string, written time.Duration) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(text), ModTime: begin.Add(written)}
	}
	fsys := &reads{MapFS: fstest.MapFS{"a": text("1", 0), "b": text("1", 0), "token": text(token("system:serviceaccount:a:b"), 0)}}
	steps := []struct {
		name     string
		after    time.Duration
		edit     map[string]*fstest.MapFile
		wantRead []string
		wantSame bool
	}{
		{name: "the first scan reads everything", wantRead: []string{"a", "b", "token"}},
		{name: "what is written in the same moment may not show in the metadata", after: time.Millisecond, edit: map[string]*fstest.MapFile{"a": text("2", 0)}, wantRead: []string{"a", "b", "token"}},
		{name: "a later look reads once more", after: 3 * time.Second, wantRead: []string{"a", "b", "token"}, wantSame: true},
		{name: "from then on nothing is read", after: 4 * time.Second, wantSame: true},
		{name: "only what was written is read", after: 5 * time.Second, edit: map[string]*fstest.MapFile{"b": text("2", 5*time.Second)}, wantRead: []string{"b"}},
		{name: "and once more", after: 8 * time.Second, wantRead: []string{"b"}, wantSame: true},
		{name: "touched is read and not changed", after: 9 * time.Second, edit: map[string]*fstest.MapFile{"b": text("2", 9*time.Second)}, wantRead: []string{"b"}, wantSame: true},
	}
	var before digest.Tree
	for _, step := range steps {
		maps.Copy(fsys.MapFS, step.edit)
		fsys.names = nil
		now, err := digest.Of(t.Context(), fsys, digest.Scan{Known: before.Known, Now: begin.Add(step.after)})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(fsys.names)
		if diff := cmp.Diff(step.wantRead, fsys.names); diff != "" {
			t.Errorf("%s: -want +got of what was read:\n%s", step.name, diff)
		}
		if same := now.Sum == before.Sum; same != step.wantSame {
			t.Errorf("%s: same = %v, want %v", step.name, same, step.wantSame)
		}
		if now.Tokens != 1 || len(now.Entries) != 3 {
			t.Errorf("%s: %+v, want a token and three entries", step.name, now)
		}
		before = now
	}
}

func TestLargeFileCountsByItsMetadata(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "large")
	write(t, file, "x")
	if err := os.Truncate(file, 6<<30); err != nil {
		t.Skipf("no file of 6 GiB can be made here: %v", err)
	}
	before := of(t, os.DirFS(dir))
	if before.Large != 1 || before.Files != 1 || before.Entries["large"].Kind != digest.EntryOpaque {
		t.Errorf("%+v, want one large file", before)
	}
	if of(t, os.DirFS(dir)).Sum != before.Sum {
		t.Error("an untouched file changed")
	}
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(file, later, later); err != nil {
		t.Fatal(err)
	}
	if of(t, os.DirFS(dir)).Sum == before.Sum {
		t.Error("a rewritten file did not change")
	}
}

// endless is a file system with one file that has no end.
type endless struct{ read func() }

func (e endless) Open(name string) (fs.File, error) {
	f, err := fstest.MapFS{"a": {Data: []byte("1")}}.Open(name)
	if err != nil || name != "a" {
		return f, err
	}
	return endlessFile{File: f, read: e.read}, nil
}

type endlessFile struct {
	fs.File
	read func()
}

func (f endlessFile) Read(p []byte) (int, error) {
	f.read()
	return bytes.NewReader(make([]byte, math.MaxInt16)).Read(p)
}

func TestScanEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	left := 5
	_, err := digest.Of(ctx, endless{read: func() {
		if left--; left == 0 {
			cancel()
		}
		if left < -5 {
			t.Error("it goes on reading")
			panic(io.ErrNoProgress)
		}
	}}, digest.Scan{Keys: []string{"a"}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that it was canceled", err)
	}
	if _, err := digest.Of(ctx, fstest.MapFS{"a": file("1")}, digest.Scan{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that it was canceled", err)
	}
}

func TestEndlessFileIsLarge(t *testing.T) {
	t.Parallel()
	tree := of(t, endless{read: func() {}}, "a")
	if tree.Large != 1 {
		t.Errorf("%+v, want one large file", tree)
	}
}

// swapped is a file system on which a file has become a pipe between the listing and the opening.
type swapped struct{ fstest.MapFS }

func (s swapped) Open(name string) (fs.File, error) {
	if name == "a" {
		return fstest.MapFS{"a": {Mode: fs.ModeNamedPipe}}.Open(name)
	}
	return s.MapFS.Open(name)
}

func (s swapped) Stat(name string) (fs.FileInfo, error) { return s.MapFS.Stat(name) }

func TestPipeInThePlaceOfAFileIsNotRead(t *testing.T) {
	t.Parallel()
	tree := of(t, swapped{fstest.MapFS{"a": file("1"), "b": file("1")}})
	if tree.Files != 1 {
		t.Errorf("files = %d, want 1", tree.Files)
	}
}
