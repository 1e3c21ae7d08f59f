// Package source decides what a pod template consumes and what that content
// looked like: references to ConfigMaps, Secrets, SecretProviderClasses and ClusterTrustBundles,
// the ways they are used, and digests of their keys.
//
// It is pure: no cluster, no clock, no logging. Values of a source pass
// through it only on their way into a digest.
//
//	pod template ──► Usages ──► Scope per source ─┐
//	ConfigMap, Secret ──► Snapshot (digests) ─────┴─► Record ──► Baseline, as text on the workload
//	                                                    └─► Diff with an earlier Record, as far as Shadowing lets it show
package source

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Kind is the Kubernetes kind of a source.
type Kind string

// The kinds of source.
const (
	ConfigMap           Kind = "ConfigMap"
	Secret              Kind = "Secret"
	SecretProviderClass Kind = "SecretProviderClass"
	ClusterTrustBundle  Kind = "ClusterTrustBundle"
)

// Kinds lists every kind of source in a fixed order.
func Kinds() []Kind { return []Kind{ConfigMap, Secret, SecretProviderClass, ClusterTrustBundle} }

// ClusterScoped reports whether sources of the kind are in no namespace: workloads of all namespaces may use one.
func (k Kind) ClusterScoped() bool { return k == ClusterTrustBundle }

// Ref returns the reference to a source of the kind by the name that a workload in a namespace has for it.
func (k Kind) Ref(namespace, name string) Ref {
	if k.ClusterScoped() {
		namespace = ""
	}
	return Ref{Kind: k, Namespace: namespace, Name: name}
}

// Ref names one source.
type Ref struct {
	Kind      Kind
	Namespace string
	Name      string
}

// String returns "ConfigMap namespace/name", and "ClusterTrustBundle name".
func (r Ref) String() string {
	if r.Namespace == "" {
		return fmt.Sprintf("%s %s", r.Kind, r.Name)
	}
	return fmt.Sprintf("%s %s/%s", r.Kind, r.Namespace, r.Name)
}

// Compare orders references by kind, namespace and name.
func (r Ref) Compare(other Ref) int {
	return cmp.Or(
		cmp.Compare(r.Kind, other.Kind),
		cmp.Compare(r.Namespace, other.Namespace),
		cmp.Compare(r.Name, other.Name),
	)
}

// Via is the way in which a template consumes a source.
type Via string

// The ways of consuming a source.
const (
	// ViaVolume is a configMap or secret volume, mounted without subPath.
	ViaVolume Via = "Volume"
	// ViaProjected is a source of a projected volume, mounted without subPath.
	ViaProjected Via = "Projected"
	// ViaSubPath is any volume mounted with subPath or subPathExpr. The kubelet
	// bind-mounts the file once and never refreshes it (kubernetes/kubernetes#50345).
	ViaSubPath Via = "SubPath"
	// ViaEnv is env[].valueFrom.
	ViaEnv Via = "Env"
	// ViaEnvFrom is envFrom[].
	ViaEnvFrom Via = "EnvFrom"
	// ViaCSI is a volume of the secrets-store CSI driver.
	ViaCSI Via = "CSI"
	// ViaNamed is a source that an annotation names and the template does not reference.
	ViaNamed Via = "Named"
)

// Usage is one way in which one container consumes one source.
type Usage struct {
	Ref Ref
	Via Via
	// Container is the name of the consuming container; empty for ViaNamed.
	Container string
	// Init reports whether the container is in initContainers, restartable or not.
	Init bool
	// RunsOnce reports whether the container is an ordinary init container: it has run by the time that a change
	// arrives, so that it sees nothing of it.
	RunsOnce bool
	// Keys are the keys consumed, sorted; nil means every key there is.
	Keys []string
	// Except are the keys that ViaNamed leaves to other usages, sorted.
	Except []string
	// Items are the keys that the items of the volume select, sorted, whether this mount shows them or not. The kubelet
	// does not mount a volume when one of them is missing.
	Items []string
	// Shared reports whether the volume has several sources, so that the path of a ViaSubPath may lead into another
	// one.
	Shared bool
	// Place is where what it brings meets other content, and Layer its index there. Place is nil where nothing can hide it.
	Place Place
	Layer int
	// Optional reports whether a pod starts without the source, or without the keys.
	Optional bool
}

// Live reports whether a running container sees new content by itself: the kubelet swaps ..data under volumes mounted
// without subPath, and nothing else.
func (u Usage) Live() bool {
	switch u.Via {
	case ViaVolume, ViaProjected, ViaCSI:
		return !u.RunsOnce
	case ViaSubPath, ViaEnv, ViaEnvFrom, ViaNamed:
		return false
	}
	return false
}

// consumes reports whether the usage sees a key. Kubernetes puts only data, never binaryData, of a ConfigMap into the
// environment.
func (u Usage) consumes(key string, binary bool) bool {
	if binary && u.inEnvironment() {
		return false
	}
	if slices.Contains(u.Except, key) {
		return false
	}
	return u.Keys == nil || slices.Contains(u.Keys, key)
}

func (u Usage) inEnvironment() bool { return u.Via == ViaEnv || u.Via == ViaEnvFrom }

// Moment says when something was last changed, as far as the API server says.
type Moment struct {
	// Version is the resource version of the write, or of a later one to the
	// same object; 0 if unknown.
	Version uint64
	// Time is the time of the write with the API server's clock, cut to
	// seconds as metadata.managedFields stores it; zero if unknown.
	Time time.Time
}

// MomentOf is the moment of the last write to an object: of its version, and of its newest field manager.
func MomentOf(object metav1.Object) Moment {
	var m Moment
	// Since Kubernetes 1.35 clients may compare versions as numbers (KEP-5504). Versions that are not numbers stay 0.
	m.Version, _ = strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	for _, entry := range object.GetManagedFields() {
		if entry.Time != nil && entry.Time.After(m.Time) {
			m.Time = entry.Time.Time
		}
	}
	return m
}

// ContentAt returns the newest time at which a field manager that has data of an object wrote it, in seconds since 1970;
// 0 if the object does not say.
func ContentAt(object metav1.Object) int64 {
	var newest int64
	for _, entry := range object.GetManagedFields() {
		if entry.Time == nil || entry.FieldsV1 == nil || entry.Time.Unix() <= newest {
			continue
		}
		fields := entry.FieldsV1.String()
		for _, content := range []string{`"f:data"`, `"f:binaryData"`, `"f:stringData"`} {
			if strings.Contains(fields, content) {
				newest = entry.Time.Unix()
			}
		}
	}
	return newest
}

// After reports whether m is certainly later than other. Resource versions are compared, which is sound where both
// objects are kept in one etcd (KEP-5504 promises an order within one resource only); a contradiction of the times
// shows that they are not. What is not known is never later.
func (m Moment) After(other Moment) bool {
	if m.Version == 0 || other.Version == 0 || m.Version <= other.Version {
		return false
	}
	return m.Time.IsZero() || other.Time.IsZero() || !m.Time.Before(other.Time)
}
