package source

import (
	"cmp"
	"slices"
)

// Mounted is what one pod has mounted of a SecretProviderClass.
type Mounted struct {
	// Versions are those of its objects, by their identifiers. A version is opaque: it is known to differ and nothing else.
	Versions map[string]string
	// Rotated reports whether the driver has put other versions into the pod since it has started.
	Rotated bool
	// Written is when the versions were written.
	Written Moment
}

// Has reports whether a pod has the versions of a snapshot, all of them and no other.
func (m Mounted) Has(snapshot *Snapshot) bool {
	if snapshot == nil || len(snapshot.Keys) != len(m.Versions) {
		return false
	}
	for id, version := range m.Versions {
		if entry, ok := snapshot.Keys[id]; !ok || entry.Digest != DigestOf([]byte(version)) {
			return false
		}
	}
	return true
}

// OfSecretProviderClass returns the snapshot of a class by what its pods have mounted; nil where no pod has. A pod reads
// the current versions when it starts, so that only rotation makes what it started with old. While the driver rotates one
// pod after the other, they differ:
//
//   - the versions that were rotated into a pod last are the content;
//   - where no pod had anything rotated in, all of them started with what they have. The snapshot is then Fresh: it is no
//     reason to roll, whatever it says.
func OfSecretProviderClass(ref Ref, pods []Mounted) *Snapshot {
	if len(pods) == 0 {
		return nil
	}
	newest := slices.MaxFunc(pods, func(a, b Mounted) int {
		if a.Rotated != b.Rotated {
			if a.Rotated {
				return 1
			}
			return -1
		}
		return cmp.Or(a.Written.Time.Compare(b.Written.Time), cmp.Compare(a.Written.Version, b.Written.Version))
	})
	snapshot := &Snapshot{Ref: ref, Keys: map[string]Entry{}, Changed: newest.Written, Fresh: !newest.Rotated}
	for id, version := range newest.Versions {
		snapshot.Keys[id] = Entry{Digest: DigestOf([]byte(version))}
	}
	return snapshot
}
