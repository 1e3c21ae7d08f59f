package agent

import (
	"maps"
	"path/filepath"
	"slices"

	"inpod.dev/inpod/sidecar/internal/digest"
)

// changeFrom describes what the application lacks: now, compared with what it has, and the files that may or may not be
// read: whether it has them. known says whether has is known.
func changeFrom(has, now digest.State, known bool, suspect map[string]bool) Change {
	change := Change{State: now, FilesUnknown: !known}
	if !known {
		return change
	}
	var unread []string
	compare := func(path string, old, entry digest.Entry, was, is bool) {
		switch {
		case !was || !is || old != entry:
			change.Files = append(change.Files, path)
		case entry.Kind == digest.EntryOpaque:
			unread = append(unread, path)
		}
	}
	if sameVolumes(has, now) {
		for i, volume := range now.Volumes {
			each(has.Volumes[i].Entries, volume.Entries, func(name string, old, entry digest.Entry, was, is bool) {
				compare(pathOf(volume, name), old, entry, was, is)
			})
		}
	} else {
		each(files(has), files(now), compare)
	}
	if len(change.Files) == 0 && has.Sum != now.Sum {
		change.Files = unread // one of them it must be
	}
	change.Files = slices.AppendSeq(change.Files, maps.Keys(suspect))
	slices.Sort(change.Files)
	change.Files = slices.Compact(change.Files)
	return change
}

// sameVolumes reports whether two states are of the same volumes, in the same order.
func sameVolumes(a, b digest.State) bool {
	return slices.EqualFunc(a.Volumes, b.Volumes, func(a, b digest.Volume) bool { return a.Path == b.Path && a.Kind == b.Kind })
}

// each gives the entries of both sides by their names, and whether either side has one.
func each(before, after map[string]digest.Entry, do func(name string, old, entry digest.Entry, was, is bool)) {
	for name, entry := range after {
		old, was := before[name]
		do(name, old, entry, was, true)
	}
	for name, old := range before {
		if _, is := after[name]; !is {
			do(name, old, digest.Entry{}, true, false)
		}
	}
}

// files are the watched files by their absolute paths. Of a file below two watched paths, either entry counts.
func files(state digest.State) map[string]digest.Entry {
	all := map[string]digest.Entry{}
	for _, v := range state.Volumes {
		for name, entry := range v.Entries {
			all[pathOf(v, name)] = entry
		}
	}
	return all
}

// pathOf is the absolute path of an entry of a volume.
func pathOf(v digest.Volume, name string) string {
	if v.Kind == digest.KindFile {
		return v.Path
	}
	return filepath.Join(v.Path, name)
}
