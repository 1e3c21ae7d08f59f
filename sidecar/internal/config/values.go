package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Watch is one path to watch.
type Watch struct {
	Path string
	// Keys are the wanted files below it; none means all.
	Keys []string
	// Ignored are files and folders below it whose changes are none.
	Ignored []string
	// Anchors are files below it that count by their set of certificates.
	Anchors []string
}

// ParseWatch understands PATH and PATH:KEY,KEY. The last ":" separates, so a path that itself holds one is written
// with a ":" at its end. A mount path in Kubernetes never holds one.
func ParseWatch(spec string) (Watch, error) {
	i := strings.LastIndexByte(spec, ':')
	if i < 0 {
		i = len(spec)
		spec += ":"
	}
	w := Watch{Path: spec[:i]}
	if w.Path == "" {
		return Watch{}, fmt.Errorf("%q has no path; want PATH or PATH:KEY,KEY", spec)
	}
	if strings.ContainsRune(spec, 0) {
		return Watch{}, fmt.Errorf("%q holds a zero byte", spec)
	}
	if spec[i+1:] == "" {
		return w, nil
	}
	for key := range strings.SplitSeq(spec[i+1:], ",") {
		clean := path.Clean(key)
		if key == "" || path.IsAbs(key) || clean == "." || clean == ".." || strings.HasPrefix(clean, "../") {
			return Watch{}, fmt.Errorf("%q: %q is no key; want a file name, or a path below %s", spec, key, w.Path)
		}
		if !slices.Contains(w.Keys, clean) {
			w.Keys = append(w.Keys, clean)
		}
	}
	return w, nil
}
