package inplace

import (
	"maps"
	"path"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/confirm"
	"inpod.dev/inpod/internal/source"
)

// expected returns what the files of a pod have to be, by path, once its kubelet has brought it the content: digests as
// [confirm.Digest] writes them, [confirm.Missing] for a file that has to go. Only files of the given sources are in it.
// In a projected volume a later source wins over an earlier one.
func expected(pod observe.Pod, uses []source.Use) map[string]string {
	files := map[string]string{}
	for _, mount := range pod.Mounts {
		for _, use := range uses {
			if use.Scope.Ref != mount.Ref {
				continue
			}
			maps.Copy(files, filesOf(mount, use))
		}
	}
	return files
}

func filesOf(mount observe.Mount, use source.Use) map[string]string {
	files := map[string]string{}
	digestOf := func(key string) string {
		if use.Snapshot == nil {
			return confirm.Missing
		}
		entry, ok := use.Snapshot.Keys[key]
		if !ok {
			return confirm.Missing
		}
		return confirm.Digest(entry.Digest)
	}
	if mount.Items != nil {
		for _, item := range mount.Items {
			files[path.Join(mount.Path, item.Path)] = digestOf(item.Key)
		}
		return files
	}
	if use.Snapshot != nil {
		for key := range use.Snapshot.Keys {
			files[path.Join(mount.Path, key)] = digestOf(key)
		}
	}
	return files
}
