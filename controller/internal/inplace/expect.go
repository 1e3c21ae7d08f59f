package inplace

import (
	"path"

	"inpod.dev/inpod/controller/internal/decide"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/confirm"
	"inpod.dev/inpod/internal/source"
)

// expectation is what the sidecar of one pod has to say once the pod has the content.
type expectation struct {
	// files are digests by path, as [confirm.Digest] writes them, [confirm.Missing] for a file that has to go. Only files
	// of what changed are in it.
	files map[string]string
	// swapped tells that the files do not say everything: the volume has to be newer than the content. Of a source with
	// many keys it is not known which of them went.
	swapped bool
	// concerned tells that the pod has anything of what changed. One of an older template may not.
	concerned bool
	// beyond is a changed source that containers see which the sidecar does not look after; no name for none.
	beyond source.Ref
}

// expected says what a pod has to have, of all that it uses and what of that changed. In a projected volume a later
// source wins over an earlier one.
func expected(pod observe.Pod, uses []source.Use, causes []decide.Cause) expectation {
	e := expectation{files: map[string]string{}}
	changed := make(map[source.Ref]decide.Cause, len(causes))
	for _, cause := range causes {
		changed[cause.Ref] = cause
	}
	for _, mount := range pod.Mounts {
		if cause, ok := changed[mount.Ref]; ok {
			e.concerned = true
			e.gone(mount, cause.Diff)
		}
	}
	for _, ref := range pod.Beyond {
		if _, ok := changed[ref]; ok {
			e.beyond = ref
		}
	}
	used := make(map[source.Ref]*source.Snapshot, len(uses))
	for _, use := range uses {
		used[use.Scope.Ref] = use.Snapshot
	}
	for _, mount := range pod.Mounts {
		_, isChanged := changed[mount.Ref]
		for file, digest := range filesOf(mount, used[mount.Ref]) {
			switch {
			case isChanged:
				e.files[file] = digest
			case digest != confirm.Missing:
				delete(e.files, file) // it hides, or fills the place of, one of what changed
			}
		}
	}
	return e
}

// gone notes the files of all keys that changed as ones that have to go; those that are still there replace that.
func (e *expectation) gone(mount observe.Mount, diff source.Diff) {
	if mount.Items != nil {
		return // these name every file
	}
	for _, change := range diff.Changes {
		if change.Key == "" {
			e.swapped = e.swapped || !diff.Created
			continue
		}
		e.files[path.Join(mount.Path, change.Key)] = confirm.Missing
	}
}

// filesOf returns the digests of the files that a mount shows of a source; nil is a source that is not there.
func filesOf(mount observe.Mount, snapshot *source.Snapshot) map[string]string {
	files := map[string]string{}
	if snapshot == nil {
		snapshot = &source.Snapshot{}
	}
	if mount.Items == nil {
		for key, entry := range snapshot.Keys {
			files[path.Join(mount.Path, key)] = confirm.Digest(entry.Digest)
		}
		return files
	}
	for _, item := range mount.Items {
		file := path.Join(mount.Path, item.Path)
		files[file] = confirm.Missing
		if entry, ok := snapshot.Keys[item.Key]; ok {
			files[file] = confirm.Digest(entry.Digest)
		}
	}
	return files
}
