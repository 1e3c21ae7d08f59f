package reload

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// generation is the content of the watched Secrets, of one time or of several, as open files: what was replaced can still
// be read through them, and nothing of it is kept in this process.
type generation struct {
	files []*os.File
	// partial is true where a file may not be read now, dropped where one that was replaced could not be kept.
	partial, dropped bool
	// secret is true where anything that is watched or called may hold a Secret.
	secret bool
}

// The bounds of a generation: files, and bytes in them.
const (
	maxHeld      = 1024
	maxHeldBytes = 32 << 20
)

// present opens the files of the watched Secrets as they are.
func (r *Reloader) present() generation {
	var g generation
	for _, path := range r.Secrets {
		tmpfs, known := onTmpfs(path)
		g.secret = g.secret || tmpfs || !known
		if tmpfs {
			g.partial = !g.directory(path) || g.partial
		}
	}
	for _, file := range r.secretFiles() {
		g.secret = true
		// Without waiting, since it may be a pipe.
		g.partial = !g.add(os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)) || g.partial //nolint:gosec // the user names it
	}
	return g
}

func (g *generation) close() {
	for _, f := range g.files {
		_ = f.Close()
	}
	*g = generation{}
}

// merge moves the files of the present into g, but for those that g has.
func (g *generation) merge(now *generation) {
	g.partial, g.secret = now.partial, g.secret || now.secret
	if len(now.files) == 0 {
		return
	}
	have, size := map[fileID]bool{}, int64(0)
	for _, f := range g.files {
		if id, ok := identify(f); ok {
			have[id] = true
			size += id.size
		}
	}
	for _, f := range now.files {
		id, ok := identify(f)
		if ok && !have[id] && len(g.files) < maxHeld && size+id.size <= maxHeldBytes {
			have[id] = true
			size += id.size
			g.files = append(g.files, f)
			continue
		}
		g.dropped = g.dropped || !have[id]
		_ = f.Close()
	}
	now.files = nil
}

// directory opens all files below a directory, or beside a watched file. whole is false when one may not be read.
func (g *generation) directory(dir string) (whole bool) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false
	}
	defer func() { _ = root.Close() }()
	whole = true
	_ = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			whole = whole && errors.Is(err, fs.ErrNotExist)
		case entry.Type().IsRegular():
			whole = g.add(root.Open(name)) && whole
		}
		return nil
	})
	return whole
}

func (g *generation) add(f *os.File, err error) (whole bool) {
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) // replaced meanwhile
	}
	if len(g.files) == maxHeld {
		_ = f.Close()
		return false
	}
	g.files = append(g.files, f)
	return true
}

// each gives the content of all files. It returns whether that is all of it.
func (g *generation) each(do func(content string)) (whole bool) {
	whole = !g.partial && !g.dropped
	for _, f := range g.files {
		content, err := io.ReadAll(io.NewSectionReader(f, 0, maxSecret+1))
		if err != nil || len(content) > maxSecret {
			whole = false
			continue
		}
		do(string(content))
	}
	return whole
}

// fileID is a file with one content.
type fileID struct {
	dev, inode     uint64
	size, modified int64
}

func identify(f *os.File) (id fileID, ok bool) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return fileID{}, false
	}
	id = fileID{size: info.Size(), modified: info.ModTime().UnixNano()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		id.dev, id.inode = stat.Dev, stat.Ino
	}
	return id, true
}

// maxSecret bounds what is read of one file, in bytes; a Secret has no more.
const maxSecret = 1 << 20

// tmpfsMagic is the type of a tmpfs in statfs(2). The kubelet keeps Secret and projected volumes on one, and ConfigMap
// volumes on disk.
const tmpfsMagic = 0x01021994

// onTmpfs reports whether a path is on a tmpfs; known is false if nobody can say, as of one that is not there.
func onTmpfs(path string) (tmpfs, known bool) {
	var info syscall.Statfs_t
	err := syscall.Statfs(path, &info)
	return err == nil && info.Type == tmpfsMagic, err == nil
}
