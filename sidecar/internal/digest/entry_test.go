package digest_test

import (
	"crypto/sha256"
	"io/fs"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/sidecar/internal/digest"
)

func short(text string) digest.Entry {
	sum := sha256.Sum256([]byte(text))
	return digest.Entry{Kind: digest.EntryFile, Short: [16]byte(sum[:16])}
}

// walled refuses what may not be read, as the kernel does for another user's files.
type walled struct {
	fstest.MapFS
	names map[string]bool
}

func (c walled) Open(name string) (fs.File, error) {
	if c.names[name] {
		return nil, &fs.PathError{Op: "open", Path: name, Err: os.ErrPermission}
	}
	return c.MapFS.Open(name)
}

func (c walled) ReadDir(name string) ([]fs.DirEntry, error) {
	if c.names[name] {
		return nil, &fs.PathError{Op: "open", Path: name, Err: os.ErrPermission}
	}
	return c.MapFS.ReadDir(name)
}

func TestEntries(t *testing.T) {
	t.Parallel()
	jwt := token("system:serviceaccount:a:b")
	tree := of(t, walled{
		MapFS: fstest.MapFS{
			"nginx.conf": file("worker_processes 2;"), "empty": file(""), "conf.d/site": file("server {}"), "token": file(jwt),
			"tls.key": file("secret"), "private/a": file("secret"),
			"out": &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("/etc/passwd")}, "pipe": &fstest.MapFile{Mode: fs.ModeNamedPipe},
			"..data/nginx.conf": file("of the kubelet"),
		},
		names: map[string]bool{"tls.key": true, "private": true},
	})
	opaque := digest.Entry{Kind: digest.EntryOpaque}
	want := map[string]digest.Entry{
		"nginx.conf": short("worker_processes 2;"), "empty": short(""), "conf.d/site": short("server {}"),
		"token": {Kind: digest.EntryToken}, "tls.key": opaque, "private": opaque, "out": opaque, "pipe": opaque,
	}
	if diff := cmp.Diff(want, tree.Entries); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	// A token that was asked for by its name is a file like any other.
	if got := of(t, fstest.MapFS{"token": file(jwt)}, "token", "gone").Entries; !cmp.Equal(got, map[string]digest.Entry{"token": short(jwt)}) {
		t.Errorf("wanted token: %+v", got)
	}
}

func TestFileOfState(t *testing.T) {
	t.Parallel()
	opaque := digest.Entry{Kind: digest.EntryOpaque}
	at := func(n int64) time.Time { return time.Unix(n, 0) }
	state := digest.Combine([]digest.Volume{
		{Path: "/etc/app", Kind: digest.KindFolder, Changed: at(1), Entries: map[string]digest.Entry{
			"a": short("1"), "d/b": short("2"), "tls/cert": short("outer"), "private": opaque, "dir.d/x": short("3"),
		}},
		{Path: "/etc/app/tls", Kind: digest.KindVolume, Changed: at(2), Entries: map[string]digest.Entry{"cert": short("inner")}},
		{Path: "/etc/keyed", Kind: digest.KindVolume, Changed: at(3), Keys: []string{"a", "sub"}, Entries: map[string]digest.Entry{
			"a": short("4"), "sub/x": short("5"),
		}},
		{Path: "/etc/mixed", Kind: digest.KindVolume, Changed: at(5), Ignored: []string{"labels", "pod/x"}, Entries: map[string]digest.Entry{"a": short("8")}},
		{Path: "/etc/hosts", Kind: digest.KindFile, Changed: at(4), Entries: map[string]digest.Entry{"hosts": short("6")}},
		{Path: "/gone", Kind: digest.KindFolder, Missing: []string{"/gone"}},
		{Path: "/", Kind: digest.KindFolder, Keys: []string{"root"}, Entries: map[string]digest.Entry{"root": short("7")}},
	})
	for file, tc := range map[string]struct {
		want    digest.Entry
		in      string
		watched bool
	}{
		"/etc/app/a":           {short("1"), "/etc/app", true},
		"/etc/app/d/b":         {short("2"), "/etc/app", true},
		"/etc/app/not-there":   {digest.Entry{}, "/etc/app", true},
		"/etc/app/dir.d":       {digest.Entry{}, "/etc/app", true},
		"/etc/app/a/b":         {digest.Entry{}, "/etc/app", true}, // below a file is nothing
		"/etc/app/private/x/y": {opaque, "/etc/app", true},
		"/etc/app/tls/cert":    {short("inner"), "/etc/app/tls", true},
		"/etc/keyed/a":         {short("4"), "/etc/keyed", true},
		"/etc/keyed/sub/x":     {short("5"), "/etc/keyed", true},
		"/etc/keyed/b":         {},
		"/etc/keyed/subway":    {},
		"/etc/mixed/a":         {short("8"), "/etc/mixed", true},
		"/etc/mixed/labels":    {digest.Entry{Kind: digest.EntryToken}, "/etc/mixed", true},
		"/etc/mixed/pod/x":     {digest.Entry{Kind: digest.EntryToken}, "/etc/mixed", true},
		"/etc/mixed/pod/y":     {digest.Entry{}, "/etc/mixed", true},
		"/etc/hosts":           {short("6"), "/etc/hosts", true},
		"/etc/hosts/x":         {},
		"/etc/hosts2":          {},
		"/gone/x":              {digest.Entry{}, "/gone", true},
		"/etc/app":             {},
		"/etc/application/a":   {},
		"/etc/shadow":          {},
		"/root":                {short("7"), "/", true},
		"/etc/app/../shadow":   {digest.Entry{}, "/etc/app", true}, // no such name; package sidecarapi refuses it before
		"/":                    {},
	} {
		entry, volume, watched := state.File(file)
		if entry != tc.want || volume.Path != tc.in || watched != tc.watched {
			t.Errorf("%s: %+v in %q, %v; want %+v", file, entry, volume.Path, watched, tc)
		}
	}
}
