package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Kind says how a watched path keeps its content.
type Kind string

// The kinds of watched paths.
const (
	// KindVolume is a directory written by the kubelet: its files are reached through the "..data" link, which
	// is swapped as a whole.
	KindVolume Kind = "volume"
	// KindFolder is an ordinary directory, which may be edited in any way.
	KindFolder Kind = "folder"
	// KindFile is one file of an ordinary directory.
	KindFile Kind = "file"
)

// Volume is what is known of one watched path. It holds no content and is safe to show, except Sum.
type Volume struct {
	// Path is the watched path as the user gave it, made absolute.
	Path string
	Kind Kind
	// Sum identifies the wanted content. It is not keyed and must not leave the process.
	Sum Sum
	// Changed is when the content came to be, by the file system's clock.
	Changed time.Time
	// Files is the number of files behind Sum.
	Files int
	// Opaque is the number of wanted files that may not be read, and are compared by their metadata.
	Opaque int
	// Large is the number of wanted files that are too large to be read, and are compared by their metadata.
	Large int
	// Tokens is the number of service account tokens that were left out.
	Tokens int
	// Outside is the number of wanted keys that are links to somewhere outside, where only the link itself counts.
	Outside int
	// Missing are wanted keys that are not there, or the path itself.
	Missing []string
	// Keys are the wanted files below a directory; none means all.
	Keys []string
	// Ignored are files and directories below a directory whose changes are none.
	Ignored []string
	// Entries are the files by their paths below a directory, or by the name of the one file. Like Sum, they must not
	// leave the process unsealed.
	Entries map[string]Entry
}

// State is the content of everything that is watched, at one moment.
type State struct {
	// Sum identifies the content of all volumes together. It is not keyed and must not leave the process.
	Sum Sum
	// Changed is the newest Changed of the volumes.
	Changed time.Time
	Volumes []Volume
}

// Combine makes the state of several volumes. Their order is part of the sum, so callers keep it fixed.
func Combine(volumes []Volume) State {
	state := State{Volumes: volumes}
	hash := sha256.New()
	var length [8]byte
	for _, v := range volumes {
		binary.BigEndian.PutUint64(length[:], uint64(len(v.Path)))
		hash.Write(length[:])
		hash.Write([]byte(v.Path))
		hash.Write(v.Sum[:])
		if v.Changed.After(state.Changed) {
			state.Changed = v.Changed
		}
	}
	hash.Sum(state.Sum[:0])
	return state
}

// Missing lists what is wanted and not there, over all volumes.
func (s State) Missing() []string {
	var all []string
	for _, v := range s.Volumes {
		all = append(all, v.Missing...)
	}
	return all
}
