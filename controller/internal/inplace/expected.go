package inplace

import (
	"maps"
	"path"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
)

// expectation is what the sidecar of one pod has to say once the pod has the content.
type expectation struct {
	// files are digests by path, as [sidecarapi.Digest] writes them, [sidecarapi.Missing] for a file that has to go. Only paths at
	// which something that changed has, or had, a file are in it.
	files map[string]string
	// swapped reports whether the files do not say everything: the volume has to be newer than the content. Of a source
	// with many keys it is not known which of them went.
	swapped bool
	// concerned reports whether the pod has anything of what changed. One of an older template may not.
	concerned bool
	// classes are the mounts of SecretProviderClasses that changed, by path, where the driver says that the pod has
	// what is wanted. unrotated is one without that statement yet; no name for none.
	classes   map[string]rotation
	unrotated source.Ref
	// beyond is a changed source that containers see which the sidecar does not look after, or with a key that it
	// leaves out that changed; no name for none.
	beyond source.Ref
}

// rotation is that a pod has got the versions of a class.
type rotation struct {
	class source.Ref
	// at is when the driver has written that it brought them, zero if the pod started with them.
	at time.Time
}

// ask is what the sidecar has to be asked for it.
func (e *expectation) ask() Question {
	return Question{Files: e.files, Mounts: slices.Sorted(maps.Keys(e.classes))}
}

// expected says what a pod has to have, of all that it uses and what of that changed. In a projected volume a later
// source wins over an earlier one, and behind what is gone an earlier one appears. A file that an unknown source may
// have is nothing to wait for.
func expected(pod observe.Pod, uses []source.SourceState, causes []decide.Cause) expectation {
	e := expectation{files: map[string]string{}}
	changed := make(map[source.Ref]decide.Cause, len(causes))
	for _, cause := range causes {
		changed[cause.Ref] = cause
	}
	for _, mount := range pod.Mounts {
		cause, ok := changed[mount.Ref]
		switch {
		case !ok:
		case mount.Ref.Kind == source.SecretProviderClass:
			e.concerned = true
			e.rotates(mount, uses)
		default:
			e.concerned = true
			e.gone(mount, cause.Diff)
		}
	}
	for _, ref := range pod.Beyond {
		if _, ok := changed[ref]; ok {
			e.beyond = ref
		}
	}
	used := make(map[source.Ref]source.SourceState, len(uses))
	for _, use := range uses {
		used[use.Usages.Ref] = use
	}
	winners := map[string]observe.Mount{}
	shown := map[string]string{}
	var unseen []observe.Mount
	for _, mount := range pod.Mounts {
		if mount.Ref.Kind == source.SecretProviderClass {
			continue
		}
		if used[mount.Ref].Unseen {
			unseen = append(unseen, mount)
			dropHidden(winners, mount)
		}
		_, isChanged := changed[mount.Ref]
		for file, digest := range filesOf(mount, used[mount.Ref].Snapshot) {
			if isChanged {
				e.files[file] = sidecarapi.Missing
			}
			if digest != sidecarapi.Missing {
				winners[file], shown[file] = mount, digest
			}
		}
	}
	for file := range e.files {
		winner, exists := winners[file]
		switch {
		case !exists && slices.ContainsFunc(unseen, func(m observe.Mount) bool { return mayHave(m, file) }):
			delete(e.files, file) // nobody knows what it holds
		case exists && winner.Ref.Name == "":
			delete(e.files, file) // no source has it
		case exists && changes(changed[winner.Ref].Diff, winner, file) && slices.Contains(pod.Ignored, file):
			e.beyond = winner.Ref
		case exists:
			e.files[file] = shown[file]
		}
	}
	return e
}

// dropHidden drops the files that a mount of an unknown source may hide.
func dropHidden(winners map[string]observe.Mount, mount observe.Mount) {
	maps.DeleteFunc(winners, func(file string, _ observe.Mount) bool { return mayHave(mount, file) })
}

// mayHave reports whether a mount may show a file, whatever keys its source has.
func mayHave(mount observe.Mount, file string) bool {
	if mount.Items == nil {
		return path.Dir(file) == path.Clean(mount.Path)
	}
	return slices.ContainsFunc(mount.Items, func(item corev1.KeyToPath) bool { return path.Join(mount.Path, item.Path) == file })
}

// changes reports whether the key that a mount without items shows at a file may be one of those that changed.
func changes(diff source.Diff, mount observe.Mount, file string) bool {
	return slices.ContainsFunc(diff.Changes, func(c source.Change) bool { return c.Key == "" || path.Join(mount.Path, c.Key) == file })
}

// rotates notes what is to be seen of a class. What its files hold is known to the driver alone, and which versions it has
// brought it says for each pod.
func (e *expectation) rotates(mount observe.Mount, uses []source.SourceState) {
	i := slices.IndexFunc(uses, func(u source.SourceState) bool { return u.Usages.Ref == mount.Ref })
	if mount.Mounted == nil || i < 0 || !mount.Mounted.Has(uses[i].Snapshot) {
		e.unrotated = mount.Ref
		return
	}
	if e.classes == nil {
		e.classes = map[string]rotation{}
	}
	one := rotation{class: mount.Ref}
	if mount.Mounted.Rotated {
		one.at = mount.Mounted.Written.Time
	}
	e.classes[mount.Path] = one
}

// gone notes the files of all keys that changed; some have to go.
func (e *expectation) gone(mount observe.Mount, diff source.Diff) {
	if mount.Items != nil {
		return // these name every file
	}
	for _, change := range diff.Changes {
		if change.Key == "" {
			e.swapped = e.swapped || !diff.Created
			continue
		}
		e.files[path.Join(mount.Path, change.Key)] = sidecarapi.Missing
	}
}

// filesOf returns the digests of the files that a mount shows of a source; nil is a source that is not there. Those of no
// source are [sidecarapi.Ignored].
func filesOf(mount observe.Mount, snapshot *source.Snapshot) map[string]string {
	files := map[string]string{}
	if mount.Ref.Name == "" {
		for _, item := range mount.Items {
			files[path.Join(mount.Path, item.Path)] = sidecarapi.Ignored
		}
		return files
	}
	if snapshot == nil {
		snapshot = &source.Snapshot{}
	}
	if mount.Items == nil {
		for key, entry := range snapshot.Keys {
			files[path.Join(mount.Path, key)] = sidecarapi.Digest(entry.Digest)
		}
		return files
	}
	for _, item := range mount.Items {
		file := path.Join(mount.Path, item.Path)
		files[file] = sidecarapi.Missing
		if mount.Ref.Kind == source.ClusterTrustBundle {
			files[file] = sidecarapi.Digest(source.NoAnchors()) // the kubelet writes an empty file for one that is not there
		}
		if entry, ok := snapshot.Keys[item.Key]; ok {
			files[file] = sidecarapi.Digest(entry.Digest)
		}
	}
	return files
}
