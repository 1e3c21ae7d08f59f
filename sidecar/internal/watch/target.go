package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
}

// look is what one look at a target found.
type look struct {
	volume digest.Volume
	// dirs are the directories whose events announce a change.
	dirs []string
	// link is the text of "..data", print the identity of the metadata, for the shortcuts of the next look.
	link  string
	trace digest.Sum
	// steady is true when the look before had the same trace: what is written after that shows in the trace, while a
	// write in the same clock tick as a single look might not.
	steady bool
}

// at looks at a target. prev is the look before; with quick set, content is not read again where the "..data" link
// or the metadata prove that it is the same.
func (t Target) at(prev look, quick bool) (look, error) {
	dir, keys, kind := t.Path, t.Keys, digest.KindFolder
	if info, err := os.Stat(t.Path); err == nil && !info.IsDir() || err != nil && prev.volume.Kind == digest.KindFile {
		dir, keys, kind = filepath.Dir(t.Path), []string{filepath.Base(t.Path)}, digest.KindFile
		t.Ignored = nil
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return t.absent(prev), nil
	}
	if err != nil {
		return look{}, fmt.Errorf("open watched path %s: %w", t.Path, err)
	}
	defer func() { _ = root.Close() }()

	if link, err := root.Readlink(dataLink); err == nil {
		return t.volume(root, dir, keys, link, prev, quick)
	}
	if quick && prev.steady {
		if skim, err := digest.Skim(t.seen(root), keys); err == nil && skim.Print == prev.trace {
			return prev, nil
		}
	}
	tree, err := digest.Of(t.seen(root), keys)
	if err != nil {
		return look{}, fmt.Errorf("look at watched path %s: %w", t.Path, err)
	}
	found := t.result(kind, dir, tree, "")
	found.steady = tree.Print == prev.trace
	return found, nil
}

// volume looks at a directory written by the kubelet. The generation that "..data" points to is opened once, so that
// a swap in the middle cannot mix two generations.
func (t Target) volume(root *os.Root, dir string, keys []string, link string, prev look, quick bool) (look, error) {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		if quick && prev.link == link && len(prev.volume.Missing) == 0 {
			return prev, nil // the kubelet never edits a generation in place: same link, same content
		}
		found, err := t.generation(root, dir, keys, link)
		if err == nil {
			return found, nil
		}
		now, linkErr := root.Readlink(dataLink)
		if linkErr != nil || now == link || attempt == attempts {
			return look{}, fmt.Errorf("look at watched volume %s: %w", t.Path, err)
		}
		link, quick = now, false
	}
}

func (t Target) generation(root *os.Root, dir string, keys []string, link string) (look, error) {
	swapped, err := root.Lstat(dataLink)
	if err != nil {
		return look{}, err
	}
	generation, err := root.OpenRoot(link)
	if err != nil {
		return look{}, err
	}
	defer func() { _ = generation.Close() }()
	tree, err := digest.Of(t.seen(generation), keys)
	if err != nil {
		return look{}, err
	}
	found := t.result(digest.KindVolume, dir, tree, link)
	found.dirs = []string{dir}
	// The files are written a moment before the swap that shows them.
	found.volume.Changed = swapped.ModTime()
	return found, nil
}

// seen is what counts of a directory.
func (t Target) seen(root *os.Root) fs.FS { return digest.Without(root.FS(), t.Ignored) }

func (t Target) result(kind digest.Kind, dir string, tree digest.Tree, link string) look {
	found := look{link: link, trace: tree.Print, volume: digest.Volume{
		Path: t.Path, Kind: kind, Sum: tree.Sum, Changed: tree.Changed,
		Files: tree.Files, Opaque: tree.Opaque, Tokens: tree.Tokens, Outside: tree.Outside,
		Keys: t.Keys, Ignored: t.Ignored, Entries: tree.Entries,
	}}
	for _, key := range tree.Missing {
		found.volume.Missing = append(found.volume.Missing, filepath.Join(dir, key))
	}
	for _, d := range tree.Dirs {
		found.dirs = append(found.dirs, filepath.Join(dir, d))
	}
	return found
}

func (t Target) absent(prev look) look {
	volume := digest.Volume{Path: t.Path, Kind: prev.volume.Kind, Missing: []string{t.Path}, Keys: t.Keys, Ignored: t.Ignored}
	if volume.Kind == "" {
		volume.Kind = digest.KindFolder
	}
	return look{volume: volume}
}
