package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"inpod.dev/inpod/sidecar/internal/digest"
)

// dataLink is the link that the kubelet swaps, see pkg/volume/util/atomic_writer.go in Kubernetes.
const dataLink = "..data"

// Target is one thing to watch.
type Target struct {
	// Path is an absolute directory or file.
	Path string
	// Keys are the wanted files below Path, slash-separated; none means all. Only for a directory.
	Keys []string
	// Ignored are files and directories below Path, slash-separated, whose changes are none. Only for a directory.
	Ignored []string
	// Anchors are files below Path, slash-separated, that count by their set of certificates. Only for a directory.
	Anchors []string
}

// scan is what one scan of a target found.
type scan struct {
	volume digest.Volume
	// dirs are the directories in which every event may be a change, links the single paths for which that is so.
	dirs, links []string
	// real is the directory that was scanned, without links in its path, and link the text of "..data" in it.
	real, link string
	// known saves the next scan from reading what has not changed.
	known digest.Known
	// pseudo are the directories that were passed over since they have no files of their own.
	pseudo []string
	// place is the directory at the target's path, nil for what is no directory.
	place fs.FileInfo
}

// trail returns the way to a target's directory, which is at place. A way without links to the same directory is the one
// of the scan before; the re-check, which is quick, finds where a directory on the way became a link to the same.
func (l *scan) trail(dir string, place fs.FileInfo, quick bool) (trail, error) {
	if !quick && l.place != nil && place != nil && len(l.links) == 0 && os.SameFile(l.place, place) {
		return trail{real: l.real}, nil
	}
	return resolve(dir)
}

// at scans a target. prev is the scan before; with quick set, a volume of the kubelet is not scanned again where its
// "..data" link proves that it is the same.
func (t Target) at(ctx context.Context, prev scan, quick bool) (scan, error) {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		dir, keys, kind := t.Path, t.Keys, digest.KindFolder
		place, err := os.Stat(t.Path)
		if err == nil && !place.IsDir() || err != nil && prev.volume.Kind == digest.KindFile {
			place = nil
			dir, keys, kind = filepath.Dir(t.Path), []string{filepath.Base(t.Path)}, digest.KindFile
			t.Ignored, t.Anchors = nil, nil
		}
		way, err := prev.trail(dir, place, quick)
		found := scan{}
		if err == nil {
			found, err = t.scan(ctx, way.real, keys, kind, prev, quick)
			// Where a link was replaced meanwhile, this was a scan of what is being removed.
			if len(way.links) > 0 && attempt < attempts {
				if now, _ := resolve(dir); now.real != way.real {
					continue
				}
			}
		} else if errors.Is(err, fs.ErrNotExist) {
			err = errAbsent
		}
		if errors.Is(err, errAbsent) {
			found, err = t.absent(prev), nil
		}
		if err != nil {
			return scan{}, fmt.Errorf("scan watched path %s: %w", t.Path, err)
		}
		found.links, found.place = way.links, place
		if found.link == "" {
			found.behind(way.real, keys)
		}
		return found, nil
	}
}

// errAbsent means that a watched directory is not there.
var errAbsent = errors.New("not there")

// behind adds what lies between the keys in a directory and their files: a key may be a link, or behind one.
func (l *scan) behind(dir string, keys []string) {
	inside := func(path string) bool { return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") }
	for _, key := range keys {
		way, err := resolve(filepath.Join(dir, key))
		if err == nil && inside(way.real) {
			l.dirs = append(l.dirs, filepath.Dir(way.real))
		}
		for _, link := range way.links {
			if inside(link) {
				l.links = append(l.links, link)
			}
		}
	}
}

// scan scans a target in a directory whose path has no links.
func (t Target) scan(ctx context.Context, dir string, keys []string, kind digest.Kind, prev scan, quick bool) (scan, error) {
	if prev.real != dir {
		prev, quick = scan{}, false
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return scan{}, errAbsent
	}
	if err != nil {
		return scan{}, err
	}
	defer func() { _ = root.Close() }()
	// A file system of the kernel has no such link, so a volume needs no check for one.
	if link, err := root.Readlink(dataLink); err == nil {
		return t.volume(ctx, root, dir, keys, link, prev, quick)
	}
	if err := t.refuse(root); err != nil {
		return scan{}, err
	}
	fsys := treeOf(root)
	tree, err := digest.Of(ctx, digest.Without(fsys, t.Ignored), digest.Scan{Keys: keys, Anchors: t.Anchors, Known: prev.known, Now: time.Now(), Pseudo: fsys.pseudo})
	if err != nil {
		return scan{}, err
	}
	found := t.result(kind, dir, tree, "")
	found.known = tree.Known
	return found, nil
}

func (t Target) refuse(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if kind := pseudoName(f); kind != "" {
		return pseudoError{path: t.Path, kind: kind}
	}
	return nil
}

// volume scans a directory written by the kubelet. The generation that "..data" points to is opened once, so that
// a swap in the middle cannot mix two generations.
func (t Target) volume(ctx context.Context, root *os.Root, dir string, keys []string, link string, prev scan, quick bool) (scan, error) {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		if quick && prev.link == link && len(prev.volume.Missing) == 0 {
			prev.dirs = []string{dir}
			return prev, nil // the kubelet never edits a generation in place: same link, same content
		}
		found, err := t.generation(ctx, root, dir, keys, link)
		if err == nil {
			return found, nil
		}
		now, linkErr := root.Readlink(dataLink)
		if linkErr != nil || now == link || attempt == attempts {
			return scan{}, err
		}
		link, quick = now, false
	}
}

func (t Target) generation(ctx context.Context, root *os.Root, dir string, keys []string, link string) (scan, error) {
	swapped, err := root.Lstat(dataLink)
	if err != nil {
		return scan{}, err
	}
	generation, err := root.OpenRoot(link)
	if err != nil {
		return scan{}, err
	}
	defer func() { _ = generation.Close() }()
	tree, err := digest.Of(ctx, digest.Without(treeOf(generation), t.Ignored), digest.Scan{Keys: keys, Anchors: t.Anchors})
	if err != nil {
		return scan{}, err
	}
	found := t.result(digest.KindVolume, dir, tree, link)
	found.dirs = []string{dir}
	// The files are written a moment before the swap that shows them.
	found.volume.Changed = swapped.ModTime()
	return found, nil
}

func (t Target) result(kind digest.Kind, dir string, tree digest.Tree, link string) scan {
	found := scan{link: link, real: dir, pseudo: tree.Pseudo, volume: digest.Volume{
		Path: t.Path, Kind: kind, Sum: tree.Sum, Changed: tree.Changed,
		Files: tree.Files, Opaque: tree.Opaque, Large: tree.Large, Tokens: tree.Tokens, Outside: tree.Outside,
		Keys: t.Keys, Ignored: t.Ignored, Entries: tree.Entries,
	}}
	for _, key := range tree.Missing {
		missing := filepath.Join(t.Path, key)
		if kind == digest.KindFile {
			missing = t.Path
		}
		found.volume.Missing = append(found.volume.Missing, missing)
	}
	for _, d := range tree.Dirs {
		found.dirs = append(found.dirs, filepath.Join(dir, d))
	}
	return found
}

func (t Target) absent(prev scan) scan {
	volume := digest.Volume{Path: t.Path, Kind: prev.volume.Kind, Missing: []string{t.Path}, Keys: t.Keys, Ignored: t.Ignored}
	if volume.Kind == "" {
		volume.Kind = digest.KindFolder
	}
	return scan{volume: volume}
}
