// Package digest decides whether two scans of a directory found the same content.
//
// It hashes the wanted files, framed so that no two different sets of files give the same input, and leaves out what
// changes without meaning: service account tokens that the kubelet renews, the order of trust anchors, times and modes. It reads through an
// io/fs.FS that the caller has confined (os.Root), and knows no clock and no watcher.
//
// A file is read again only when its metadata moved since the scan before, or so shortly before it that a later write
// might not show in them. One of more than 64 MiB is never read, and counts by its metadata.
package digest

import (
	"context"
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

	"inpod.dev/inpod/internal/anchors"
)

// Sum is a SHA-256 over framed content.
type Sum [sha256.Size]byte

// Limits that keep a mistake ("--watch /") from becoming an outage of the node.
const (
	maxEntries = 20_000
	maxDepth   = 32
	maxRead    = 64 << 20
)

// ErrTooLarge means that a tree has more entries or levels than a directory with configuration.
var ErrTooLarge = errors.New("more than 20000 entries or 32 levels; watch a smaller directory, or name the keys")

// Tree is the result of one scan.
type Tree struct {
	Sum Sum
	// Changed is the newest status change time among what was scanned.
	Changed time.Time
	// Files, Opaque, Large, Tokens, Outside and Missing are described at Volume.
	Files, Opaque, Large, Tokens, Outside int
	Missing                               []string
	// Pseudo are the places that were skipped because [Scan.Pseudo] reported them.
	Pseudo []string
	// Entries are the files that were scanned, by their slash-separated paths, and directories that may not be read.
	Entries map[string]Entry
	// Dirs are the directories that were entered, "." among them: where events must be asked for.
	Dirs []string
	// Known is for the next scan of the same place.
	Known Known
}

// Scan holds what to scan and what is known already. The zero value scans everything.
type Scan struct {
	// Keys are slash-separated paths. With keys only these are scanned, without them the whole tree is.
	Keys []string
	// Anchors are slash-separated paths of files with trust anchors in no particular order: their sets of certificates count.
	Anchors []string
	// Known is of the scan before at the same place, nil for the first.
	Known Known
	// Now is the time of the scan, on a clock that never goes back.
	Now time.Time
	// Pseudo reports whether something lies on a file system without files of its own, such as that of /proc. It is
	// asked where another file system begins. Nil stands for no.
	Pseudo func(name string) bool
}

// Of scans fsys. It returns soon after ctx ends, unless the file system itself hangs.
//
// Names that start with ".." are the kubelet's own bookkeeping and are skipped. A symbolic link that leads to a file
// inside fsys stands for that file; any other link stands for its text, so what it points to is never opened.
func Of(ctx context.Context, fsys fs.FS, l Scan) (Tree, error) {
	w := &walker{ctx: ctx, fsys: fsys, scan: l, content: sha256.New()}
	w.tree.Entries, w.tree.Known = map[string]Entry{}, Known{}
	var err error
	if len(l.Keys) == 0 {
		err = w.dir(".", 0)
	} else {
		err = w.keys(l.Keys)
	}
	if err != nil {
		return Tree{}, err
	}
	w.content.Sum(w.tree.Sum[:0])
	return w.tree, nil
}

// Kinds of entries, the first byte of each frame.
const (
	frameFile   = 'f'
	frameDir    = 'd'
	frameLink   = 'l'
	frameOpaque = 'o'
	frameLarge  = 'b'
	frameOther  = 'x'
	frameAbsent = '-'
)

type walker struct {
	ctx     context.Context //nolint:containedctx // a walker lives for one call
	fsys    fs.FS
	scan    Scan
	content hash.Hash
	tree    Tree
	entries int
	// device is of the directory that the walk is in.
	device uint64
	// buffer is for reading one file after the other.
	buffer []byte
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
	if err := w.ctx.Err(); err != nil {
		return err
	}
	info, err := fs.Stat(w.fsys, name)
	if err != nil {
		return fmt.Errorf("scan directory %s: %w", name, err)
	}
	if name != "." && w.pseudo(name, info) {
		return nil
	}
	around := w.device
	w.device = device(info)
	defer func() { w.device = around }()
	// The directory's own time moves when an entry is removed, which no remaining entry shows.
	w.stat(info)
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
	w.tree.Dirs = append(w.tree.Dirs, name)
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
	if err := w.ctx.Err(); err != nil {
		return err
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
		return fmt.Errorf("scan %s: %w", name, err)
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
		return fmt.Errorf("scan %s: %w", name, cause)
	}
	if info, err := fs.Lstat(w.fsys, name); err == nil {
		w.stat(info)
	}
	w.frame(frameLink, name, []byte(text))
	w.found(name, EntryOpaque)
	if cause != nil {
		w.tree.Outside++
	}
	return nil
}

// pseudo reports whether name begins a file system without files of its own, and passes over it.
func (w *walker) pseudo(name string, info fs.FileInfo) bool {
	if w.scan.Pseudo == nil || device(info) == w.device || !w.scan.Pseudo(name) {
		return false
	}
	w.frame(frameOther, name, nil)
	w.found(name, EntryOpaque)
	w.tree.Pseudo = append(w.tree.Pseudo, name)
	return true
}

// file adds one file. wanted means that the user named it, which also makes a token count.
func (w *walker) file(name string, info fs.FileInfo, wanted bool) error {
	w.stat(info)
	if !info.Mode().IsRegular() {
		// Opening a pipe would block, and a device has no content to compare.
		w.frame(frameOther, name, nil)
		w.found(name, EntryOpaque)
		return nil
	}
	if w.pseudo(name, info) {
		return nil
	}
	now := metadata(info)
	if info.Size() > maxRead {
		w.large(name, now)
		return nil
	}
	sum, token, err := w.fileSum(name, info, wanted)
	switch {
	case errors.Is(err, fs.ErrPermission):
		w.tree.Files++
		w.tree.Opaque++
		w.frame(frameOpaque, name, now[:])
		w.found(name, EntryOpaque)
		return nil
	case errors.Is(err, errGrows):
		w.large(name, now)
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

func (w *walker) large(name string, now [metadataSize]byte) {
	w.tree.Files++
	w.tree.Large++
	w.frame(frameLarge, name, now[:])
	w.found(name, EntryOpaque)
}

// errGrows means that a file was small enough when it was opened, and is not any more.
var errGrows = errors.New("too large to be read")

// fileSum is the digest of one file, or that it is a token: from the scan before, or by reading it.
func (w *walker) fileSum(name string, info fs.FileInfo, wanted bool) (sum Sum, token bool, err error) {
	now := w.scan.Known.next(name, metadata(info), w.scan.Now)
	if !now.fresh {
		now.sum, now.token, err = w.read(name, info, wanted)
		if err != nil {
			return Sum{}, false, err
		}
	}
	w.tree.Known[name] = now
	return now.sum, now.token, nil
}

func (w *walker) read(name string, info fs.FileInfo, wanted bool) (sum Sum, token bool, err error) {
	f, err := w.fsys.Open(name)
	if err != nil {
		return Sum{}, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if opened, err := f.Stat(); err != nil || !opened.Mode().IsRegular() {
		return Sum{}, false, fs.ErrNotExist // replaced by something else meanwhile, which the next scan finds
	}
	if slices.Contains(w.scan.Anchors, name) {
		text, err := io.ReadAll(io.LimitReader(until{w.ctx, f}, maxRead))
		if err != nil {
			return Sum{}, false, err
		}
		return sumOfAnchors(text), false, nil
	}
	buffer := w.bufferFor(info.Size())
	first, err := full(f, buffer)
	if err != nil {
		return Sum{}, false, err
	}
	if !wanted && info.Size() > 0 && info.Size() <= maxTokenSize && isServiceAccountToken(buffer[:min(first, maxTokenSize)]) {
		return Sum{}, true, nil
	}
	if first < len(buffer) { // most files end here
		return sha256.Sum256(buffer[:first]), false, nil
	}
	h := sha256.New()
	h.Write(buffer)
	n, err := io.CopyBuffer(h, io.LimitReader(until{w.ctx, f}, maxRead-int64(first)), buffer)
	if err != nil {
		return Sum{}, false, err
	}
	if n+int64(first) == maxRead && info.Size() < maxRead {
		return Sum{}, false, errGrows
	}
	h.Sum(sum[:0])
	return sum, false, nil
}

// bufferFor returns a buffer that holds a file of a size and shows its end, for all but large files. It is valid until the
// next call.
func (w *walker) bufferFor(size int64) []byte {
	const least, most int64 = 4 << 10, 32 << 10
	if need := int(min(most, max(least, size+1))); len(w.buffer) < need {
		w.buffer = make([]byte, need)
	}
	return w.buffer
}

// full reads until the buffer is full or the file ends. It returns the number of bytes.
func full(f io.Reader, buffer []byte) (int, error) {
	n, err := io.ReadFull(f, buffer)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

// sumOfAnchors is the digest of a text with trust anchors. One with text and no certificate counts as it is.
func sumOfAnchors(text []byte) Sum {
	if set := anchors.Of(text); len(set) > 0 || len(text) == 0 {
		return set.Digest()
	}
	return sha256.Sum256(text)
}

// until reads until a context ends.
type until struct {
	ctx context.Context //nolint:containedctx // it lives for one copy
	io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
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

func (w *walker) stat(info fs.FileInfo) {
	if t := changeTime(info); t.After(w.tree.Changed) {
		w.tree.Changed = t
	}
}
