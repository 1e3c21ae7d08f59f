package watch

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// trail is the way to a path.
type trail struct {
	// real is where the path leads, without any link in it.
	real string
	// links are the links on the way, each by its real path. One that is replaced announces itself in its directory, and
	// nowhere else.
	links []string
}

// resolve goes to an absolute path link by link. Where it leads nowhere, the error comes with the way so far, and what is
// missing counts as a link: it announces itself in the same way.
func resolve(path string) (trail, error) {
	const maxLinks = 40 // as many as the kernel follows
	var t trail
	at, rest := "/", path
	for rest != "" {
		part, after, _ := strings.Cut(rest, "/")
		rest = after
		switch part {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := strings.TrimSuffix(at, "/") + "/" + part
		info, err := os.Lstat(next)
		if err == nil && info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		t.links = append(t.links, next)
		if err != nil {
			return t, err
		}
		if len(t.links) > maxLinks {
			return t, &fs.PathError{Op: "follow", Path: path, Err: syscall.ELOOP}
		}
		text, err := os.Readlink(next)
		if err != nil {
			return t, err
		}
		if filepath.IsAbs(text) {
			at = "/"
		}
		rest = text + "/" + rest
	}
	t.real = at
	return t, nil
}

// tree is the file system below an os.Root, where no file blocks when it is opened: a pipe would, until somebody writes
// to it.
type tree struct {
	inner interface {
		fs.StatFS
		fs.ReadDirFS
		fs.ReadLinkFS
	}
	root *os.Root
}

func treeOf(root *os.Root) tree {
	t := tree{root: root}
	t.inner, _ = root.FS().(interface {
		fs.StatFS
		fs.ReadDirFS
		fs.ReadLinkFS
	})
	return t
}

func (t tree) Open(name string) (fs.File, error) {
	return t.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}
func (t tree) Stat(name string) (fs.FileInfo, error)      { return t.inner.Stat(name) }
func (t tree) Lstat(name string) (fs.FileInfo, error)     { return t.inner.Lstat(name) }
func (t tree) ReadDir(name string) ([]fs.DirEntry, error) { return t.inner.ReadDir(name) }
func (t tree) ReadLink(name string) (string, error)       { return t.inner.ReadLink(name) }

// pseudo reports whether name is on a file system without files of its own.
func (t tree) pseudo(name string) bool {
	f, err := t.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return pseudoName(f) != ""
}

// pseudoName names the file system that f is on when it has no files of its own: they change with each read, may block,
// and are without end. The numbers are of statfs(2).
func pseudoName(f *os.File) string {
	var info syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &info); err != nil {
		return ""
	}
	switch uint32(info.Type) { //nolint:gosec // the numbers have 32 bits
	case 0x9fa0:
		return "proc"
	case 0x62656572:
		return "sysfs"
	case 0x27e0eb, 0x63677270:
		return "cgroup"
	case 0x1cd1:
		return "devpts"
	case 0x64626720, 0x74726163:
		return "debugfs or tracefs"
	case 0x73636673, 0xf97cff8c, 0xcafe4a11, 0x62656570, 0x19800202, 0x6165676c, 0xde5e81e4, 0x42494e4d, 0x65735543, 0x6e736673:
		return "securityfs, selinuxfs, bpf, configfs, mqueue, pstore, efivarfs, binfmt_misc, fusectl or nsfs"
	}
	return ""
}

// pseudoError means that a path is on a file system of the kernel, which holds no configuration.
type pseudoError struct{ path, kind string }

func (e pseudoError) Error() string {
	return fmt.Sprintf("%s is on a file system of the kernel (%s), whose files change by themselves; watch a directory of files", e.path, e.kind)
}
