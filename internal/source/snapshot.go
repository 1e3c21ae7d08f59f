package source

import (
	"crypto/sha256"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Digest identifies the bytes of one key: the first 16 bytes of their SHA-256. It rests in memory only. What leaves the
// process is keyed, see [Digester].
type Digest [16]byte

// Entry is what is remembered of one key.
type Entry struct {
	Digest Digest
	// Binary reports whether the key is in binaryData: it appears in volumes, but not in the environment.
	Binary bool
}

// Snapshot is the identity of a source plus one digest per key. It never
// holds a value.
type Snapshot struct {
	Ref  Ref
	Keys map[string]Entry
	// Ignore and Match report that the source carries the ignore or the match annotation.
	Ignore, Match bool
	// Immutable reports whether the API server refuses every edit of the content.
	Immutable bool
	// Fresh reports whether every pod has started with this content, where that is known: see [OfSecretProviderClass].
	Fresh bool
	// Changed says when the content was last changed.
	Changed Moment
	// ContentAt is the newest time at which a field manager that has content wrote the object, in seconds since 1970: an
	// edit of a label by another one does not move it. It is 0 where that is not known.
	ContentAt int64
	// Edited reports whether it was seen to have other content before.
	Edited bool
}

// ContentTime is when the content changed, in seconds as the API server says it, or later; zero if it does not say.
func (s *Snapshot) ContentTime() time.Time {
	if s.ContentAt != 0 {
		return time.Unix(s.ContentAt, 0)
	}
	return s.Changed.Time.Truncate(time.Second)
}

// DigestOf returns the digest of a value.
func DigestOf(value []byte) Digest {
	sum := sha256.Sum256(value)
	return Digest(sum[:16])
}

// OfConfigMap returns the snapshot of a ConfigMap, without its moment and annotations.
func OfConfigMap(cm *corev1.ConfigMap) Snapshot {
	keys := make(map[string]Entry, len(cm.Data)+len(cm.BinaryData))
	for name, value := range cm.Data {
		keys[name] = Entry{Digest: DigestOf([]byte(value))}
	}
	for name, value := range cm.BinaryData {
		keys[name] = Entry{Digest: DigestOf(value), Binary: true}
	}
	return Snapshot{Ref: Ref{Kind: ConfigMap, Namespace: cm.Namespace, Name: cm.Name}, Keys: keys, Immutable: isTrue(cm.Immutable)}
}

// OfSecret returns the snapshot of a Secret, without its moment and annotations.
func OfSecret(secret *corev1.Secret) Snapshot {
	keys := make(map[string]Entry, len(secret.Data))
	for name, value := range secret.Data {
		keys[name] = Entry{Digest: DigestOf(value)}
	}
	return Snapshot{Ref: Ref{Kind: Secret, Namespace: secret.Namespace, Name: secret.Name}, Keys: keys, Immutable: isTrue(secret.Immutable)}
}

func isTrue(b *bool) bool { return b != nil && *b }
