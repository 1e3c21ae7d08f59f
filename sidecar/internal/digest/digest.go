// Package digest decides whether two looks at a directory saw the same content.
//
// It hashes the wanted files, framed so that no two different sets of files give the same input, and leaves out what
// changes without meaning: service account tokens that the kubelet renews, times and modes. It reads through an
// io/fs.FS that the caller has confined (os.Root), and knows no clock and no watcher.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Sum is a SHA-256 over framed content.
type Sum [sha256.Size]byte

// Limits that keep a mistake ("--watch /") from becoming an outage of the node.
const (
	maxEntries = 20_000
	maxDepth   = 32
)

// ErrTooLarge means that a tree has more entries or levels than anybody keeps configuration in.
var ErrTooLarge = errors.New("more than 20000 entries or 32 levels; watch a smaller directory, or name the keys")

// Tree is the result of one look.
type Tree struct {
	Sum Sum
	// Changed is the newest status change time among what was looked at.
	Changed time.Time
	// Files, Opaque, Tokens, Outside and Missing are described at Volume.
	Files, Opaque, Tokens, Outside int
	Missing                        []string
	// Entries are the files that were looked at, by their slash-separated paths, and directories that may not be read.
	Entries map[string]Entry
	// Dirs are the directories that were entered, "." among them: where events must be asked for.
	Dirs []string
	// Print identifies the metadata of everything seen. Equal prints mean equal content, unless a file was written
	// within the last clock tick before the look.
	Print Sum
}

// Of looks at fsys. With keys (slash-separated paths) only these are looked at, without the whole tree is.
//
// Names that start with ".." are the kubelet's own bookkeeping and are skipped. A symbolic link that leads to a file
// inside fsys stands for that file; any other link stands for its text, so what it points to is never opened.
func Of(fsys fs.FS, keys []string) (Tree, error) {
	return (&walker{fsys: fsys}).walk(keys)
}

// Skim is Of without opening a file: all but Sum, Tokens and Entries is filled in.
func Skim(fsys fs.FS, keys []string) (Tree, error) {
	return (&walker{fsys: fsys, skim: true}).walk(keys)
}

func (w *walker) walk(keys []string) (Tree, error) {
	w.content, w.print = sha256.New(), sha256.New()
	w.tree.Entries = map[string]Entry{}
	var err error
	if len(keys) == 0 {
		err = w.dir(".", 0)
	} else {
		err = w.keys(keys)
	}
	if err != nil {
		return Tree{}, err
	}
	w.content.Sum(w.tree.Sum[:0])
	w.print.Sum(w.tree.Print[:0])
	return w.tree, nil
}

// Kinds of entries, the first byte of each frame.
const (
	frameFile   = 'f'
	frameDir    = 'd'
	frameLink   = 'l'
	frameOpaque = 'o'
	frameOther  = 'x'
	frameAbsent = '-'
)

type walker struct {
	fsys    fs.FS
	skim    bool
	content hash.Hash
	print   hash.Hash
	tree    Tree
	entries int
}

func (w *walker) keys(keys []string) error {
	sorted := slices.Clone(keys)
	slices.Sort(sorted)
	dirs := map[string]bool{".": true}
	for _, key := range slices.Compact(sorted) {
		key = path.Clean(key)
		for d := path.Dir(key); d != "." && !dirs[d]; d = path.Dir(d) {
			dirs[d] = true
		}
		info, err := fs.Stat(w.fsys, key)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			w.frame(frameAbsent, key, nil)
			w.tree.Missing = append(w.tree.Missing, key)
		case err != nil:
			if err := w.link(key, err); err != nil {
				return err
			}
		case info.IsDir():
			if err := w.dir(key, 0); err != nil {
				return err
			}
		default:
			if err := w.file(key, info, true); err != nil {
				return err
			}
		}
	}
	for d := range dirs {
		w.tree.Dirs = append(w.tree.Dirs, d)
	}
	slices.Sort(w.tree.Dirs)
	w.tree.Dirs = slices.Compact(w.tree.Dirs)
	return nil
}

func (w *walker) dir(name string, depth int) error {
	if depth > maxDepth {
		return ErrTooLarge
	}
	info, err := fs.Stat(w.fsys, name)
	if err != nil {
		return fmt.Errorf("look at directory %s: %w", name, err)
	}
	// The directory's own time moves when an entry is removed, which no remaining entry shows.
	w.stat(name, info)
	w.tree.Dirs = append(w.tree.Dirs, name)
	entries, err := fs.ReadDir(w.fsys, name)
	if errors.Is(err, fs.ErrPermission) && name != "." {
		w.frame(frameOpaque, name, nil)
		w.found(name, EntryOpaque)
		w.tree.Opaque++
		return nil
	}
	if err != nil {
		return fmt.Errorf("list directory %s: %w", name, err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "..") {
			continue
		}
		if err := w.entry(path.Join(name, entry.Name()), entry, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(name string, entry fs.DirEntry, depth int) error {
	w.entries++
	if w.entries > maxEntries {
		return ErrTooLarge
	}
	switch {
	case entry.IsDir():
		w.frame(frameDir, name, nil)
		err := w.dir(name, depth+1)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed between the listing and now; the removal brings an event of its own
		}
		return err
	case entry.Type()&fs.ModeSymlink != 0:
		info, err := fs.Stat(w.fsys, name)
		if err != nil || !info.Mode().IsRegular() {
			return w.link(name, nil)
		}
		return w.file(name, info, false)
	}
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", name, err)
	}
	return w.file(name, info, false)
}

// link stands a link for its text. cause is why it could not be followed; it is returned when name is no link at all.
func (w *walker) link(name string, cause error) error {
	text, err := fs.ReadLink(w.fsys, name)
	if err != nil {
		if cause == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("look at %s: %w", name, cause)
	}
	if info, err := fs.Lstat(w.fsys, name); err == nil {
		w.stat(name, info)
	}
	w.frame(frameLink, name, []byte(text))
	w.found(name, EntryOpaque)
	if cause != nil {
		w.tree.Outside++
	}
	return nil
}

// file adds one file. wanted means that the user named it, which also makes a token count.
func (w *walker) file(name string, info fs.FileInfo, wanted bool) error {
	w.stat(name, info)
	if w.skim {
		return nil
	}
	if !info.Mode().IsRegular() {
		// Opening a pipe would block, and a device has no content to compare.
		w.frame(frameOther, name, nil)
		w.found(name, EntryOpaque)
		return nil
	}
	sum, token, err := w.read(name, info, wanted)
	switch {
	case errors.Is(err, fs.ErrPermission):
		w.tree.Files++
		w.tree.Opaque++
		w.frame(frameOpaque, name, metadata(info))
		w.found(name, EntryOpaque)
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", name, err)
	case token:
		w.tree.Tokens++
		w.found(name, EntryToken)
		return nil
	}
	w.tree.Files++
	w.frame(frameFile, name, sum[:])
	entry := Entry{Kind: EntryFile}
	copy(entry.Short[:], sum[:])
	w.tree.Entries[name] = entry
	return nil
}

func (w *walker) read(name string, info fs.FileInfo, wanted bool) (sum Sum, token bool, err error) {
	f, err := w.fsys.Open(name)
	if err != nil {
		return Sum{}, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if !wanted && info.Size() > 0 && info.Size() <= maxTokenSize {
		text, err := io.ReadAll(io.LimitReader(f, maxTokenSize))
		if err != nil {
			return Sum{}, false, err
		}
		if isServiceAccountToken(text) {
			return Sum{}, true, nil
		}
		h.Write(text)
	}
	if _, err := io.Copy(h, f); err != nil {
		return Sum{}, false, err
	}
	h.Sum(sum[:0])
	return sum, false, nil
}

func (w *walker) found(name string, kind EntryKind) { w.tree.Entries[name] = Entry{Kind: kind} }

// frame adds one entry: its kind, then name and rest, each after its length. The lengths make it unambiguous.
func (w *walker) frame(kind byte, name string, rest []byte) {
	var length [8]byte
	w.content.Write([]byte{kind})
	binary.BigEndian.PutUint64(length[:], uint64(len(name)))
	w.content.Write(length[:])
	w.content.Write([]byte(name))
	binary.BigEndian.PutUint64(length[:], uint64(len(rest)))
	w.content.Write(length[:])
	w.content.Write(rest)
}

func (w *walker) stat(name string, info fs.FileInfo) {
	if t := changeTime(info); t.After(w.tree.Changed) {
		w.tree.Changed = t
	}
	w.print.Write([]byte(name))
	w.print.Write([]byte{0})
	w.print.Write(metadata(info))
}
