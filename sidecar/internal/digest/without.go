package digest

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Without returns fsys without the files and directories at these slash-separated paths: what changes in them is no
// change. With no paths it is fsys itself.
func Without(fsys fs.FS, paths []string) fs.FS {
	if len(paths) == 0 {
		return fsys
	}
	return without{FS: fsys, paths: paths}
}

// without is a file system from which some paths are left out. It has the optional methods that a walk uses.
type without struct {
	fs.FS

	paths []string
}

func (w without) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(w.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return covers(w.paths, path.Join(name, e.Name())) }), err
}

func (w without) Stat(name string) (fs.FileInfo, error) {
	if covers(w.paths, name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return fs.Stat(w.FS, name)
}

func (w without) ReadLink(name string) (string, error)   { return fs.ReadLink(w.FS, name) }
func (w without) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(w.FS, name) }

// covers reports whether a name is one of the paths, or lies below one.
func covers(paths []string, name string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return name == p || strings.HasPrefix(name, p+"/") })
}
