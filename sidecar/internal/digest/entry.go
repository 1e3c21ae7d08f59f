package digest

import (
	"crypto/sha256"
	"path"
	"slices"
	"strings"
)

// Entry is what a scan found of one file.
type Entry struct {
	Kind EntryKind
	// Short is the first half of the SHA-256 of the content, of EntryFile only. It is not keyed and must not leave the
	// process unsealed.
	Short [sha256.Size / 2]byte
}

// EntryKind is a closed set.
type EntryKind uint8

// The kinds of entries. EntryAbsent is the zero value, so that a map says it of what it does not hold.
const (
	EntryAbsent EntryKind = iota
	EntryFile
	// EntryOpaque has no content to be read: not permitted, a link to elsewhere, or no ordinary file.
	EntryOpaque
	// EntryToken is left out: a service account token, or what the user said to ignore.
	EntryToken
)

// File is what is known of the file at an absolute path, and the volume that it is in; watched is false for a path that
// nothing watches. Where volumes lie within each other, the inner one counts.
func (s State) File(file string) (entry Entry, volume Volume, watched bool) {
	for _, v := range s.Volumes {
		if watched && len(v.Path) < len(volume.Path) {
			continue
		}
		if e, ok := v.file(file); ok {
			entry, volume, watched = e, v, true
		}
	}
	return entry, volume, watched
}

func (v Volume) file(file string) (entry Entry, watched bool) {
	if v.Kind == KindFile {
		return v.Entries[path.Base(v.Path)], file == v.Path
	}
	name, below := strings.CutPrefix(file, strings.TrimSuffix(v.Path, "/")+"/")
	if below && covers(v.Ignored, name) {
		return Entry{Kind: EntryToken}, true
	}
	if !below || name == "" || len(v.Keys) > 0 && !slices.ContainsFunc(v.Keys, func(key string) bool {
		return name == key || strings.HasPrefix(name, key+"/")
	}) {
		return Entry{}, false
	}
	// What lies below a directory that may not be read is not to be known either.
	for at := name; at != "."; at = path.Dir(at) {
		if e, ok := v.Entries[at]; ok && (at == name || e.Kind == EntryOpaque) {
			return e, true
		}
	}
	return Entry{}, true
}
