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
	before, after := files(has), files(now)
	var unread []string
	for path, entry := range after {
		switch old, was := before[path]; {
		case !was || old != entry:
			change.Files = append(change.Files, path)
		case entry.Kind == digest.EntryOpaque:
			unread = append(unread, path)
		}
	}
	for path := range before {
		if _, is := after[path]; !is {
			change.Files = append(change.Files, path)
		}
	}
	if len(change.Files) == 0 && has.Sum != now.Sum {
		change.Files = unread // one of them it must be
	}
	change.Files = slices.AppendSeq(change.Files, maps.Keys(suspect))
	slices.Sort(change.Files)
	change.Files = slices.Compact(change.Files)
	return change
}

// files are the watched files by their absolute paths. Of a file below two watched paths, either entry counts.
func files(state digest.State) map[string]digest.Entry {
	all := map[string]digest.Entry{}
	for _, v := range state.Volumes {
		for name, entry := range v.Entries {
			path := v.Path
			if v.Kind != digest.KindFile {
				path = filepath.Join(v.Path, name)
			}
			all[path] = entry
		}
	}
	return all
}
