// Package injection holds what the injector and the controller share: the reasons for which a pod gets no sidecar, and
// a sentence for each.
//
// Any client that can write a pod can write its record. So the controller repeats none of its text: it knows the
// reasons and the keys, and says its own sentence about them.
package injection

import (
	"slices"
	"strings"

	"inpod.dev/inpod/internal/annotation"
)

// Reason is the result of an injection in one word: it is a label of metrics, begins the events, and is part of the
// record in the annotation of the pod.
type Reason string

// The reasons. All but the first mean that the pod gets no sidecar.
const (
	Injected Reason = "Injected"
	// NotRequested: neither the pod nor its namespace requests the sidecar, or the pod opted out.
	NotRequested Reason = "NotRequested"
	// AlreadyInjected: it carries the sidecar, from an earlier call or written by hand.
	AlreadyInjected Reason = "AlreadyInjected"
	// InvalidAnnotation: a value cannot be understood.
	InvalidAnnotation Reason = "InvalidAnnotation"
	// MirrorPod: it shows a static pod, which its kubelet runs whatever the API server says.
	MirrorPod Reason = "MirrorPod"
	// WindowsPod: the sidecar is a Linux program.
	WindowsPod Reason = "WindowsPod"
	// NothingUsed: nothing is used that could change: no source, and no certificate that is renewed.
	NothingUsed Reason = "NothingUsed"
	// OnlyFrozenUsages: what is used cannot change under a running container, so there is nothing to reload.
	OnlyFrozenUsages Reason = "OnlyFrozenUsages"
	// NoSuchContainer: the container that was named does not exist, or has ended when the application runs.
	NoSuchContainer Reason = "NoSuchContainer"
	// AmbiguousContainer: several containers mount something live and none is named.
	AmbiguousContainer Reason = "AmbiguousContainer"
	// NoTrigger: nothing says how the application is reloaded.
	NoTrigger Reason = "NoTrigger"
	// PresetRefused: the server is known, and cannot reload.
	PresetRefused Reason = "PresetRefused"
	// HostProcesses: the pod sees the processes of the node, and a signal might hit one of them.
	HostProcesses Reason = "HostProcesses"
	// ProcessesNotShared: the pod says that its containers must not see each other's processes, which a signal needs.
	ProcessesNotShared Reason = "ProcessesNotShared"
	// RootForbidden: the sidecar would have to run as root, which the pod forbids.
	RootForbidden Reason = "RootForbidden"
	// ApplicationImageRefused: the sidecar would have to run in the application's image, which the pod forbids.
	ApplicationImageRefused Reason = "ApplicationImageRefused"
	// NativeUnsupported: a native sidecar is demanded, and the cluster has none.
	NativeUnsupported Reason = "NativeUnsupported"
	// WouldBlockCompletion: an ordinary container would keep a Job from ever finishing.
	WouldBlockCompletion Reason = "WouldBlockCompletion"
	// HostNetwork: the status port would be taken on the node, and none was chosen.
	HostNetwork Reason = "HostNetwork"
	// PortTaken: another container uses the status port.
	PortTaken Reason = "PortTaken"
	// PathNotMounted: a file or socket that was named lies in no volume that the sidecar could mount too.
	PathNotMounted Reason = "PathNotMounted"
	// NestedMount: something is mounted inside a volume that outlives the pod and that the sidecar would only read, so that nobody knows
	// whether there is a folder for it.
	NestedMount Reason = "NestedMount"
	// NotWatchable: a path that inpod.dev/watch names never changes there, or is not for the sidecar.
	NotWatchable Reason = "NotWatchable"
	// CapabilitiesRefused: the sidecar would run a program of the application as root, which takes capabilities that are refused.
	CapabilitiesRefused Reason = "CapabilitiesRefused"
	// NeedsSharedProcesses: a signal needs a shared process namespace, and only the namespace of the pod asks for the sidecar.
	NeedsSharedProcesses Reason = "NeedsSharedProcesses"
	// LimitRangeForbids: a LimitRange of the namespace would refuse the pod for the sidecar.
	LimitRangeForbids Reason = "LimitRangeForbids"
	// QuotaExceeded: a ResourceQuota of the namespace has room for the pod, and none for the sidecar.
	QuotaExceeded Reason = "QuotaExceeded"
	// RefusedBefore: the API server refuses the pods of the same owner for as long as they carry the sidecar.
	RefusedBefore Reason = "RefusedBefore"
	// TooLarge: with the sidecar the pod, or the sidecar itself, would be larger than what is sure to be stored.
	TooLarge Reason = "TooLarge"
	// InternalError: what would be added breaks a rule of Kubernetes or of ours, which is a fault of the injector.
	InternalError Reason = "InternalError"
)

// Reasons lists every reason in a fixed order.
func Reasons() []Reason {
	var all []Reason
	for _, r := range rows() {
		all = append(all, r.reason)
	}
	return all
}

// Quiet reports whether a reason needs no report: the sidecar was not requested, or is there already.
func (r Reason) Quiet() bool { return r == NotRequested || r == AlreadyInjected }

// Expected reports whether a reason is no mistake: the pod has nothing that could be reloaded in place, and its changes are
// rolled out.
func (r Reason) Expected() bool {
	return r == Injected || r.Quiet() || r == NothingUsed || r == OnlyFrozenUsages || r == MirrorPod || r == WindowsPod
}

// Skip is what is believed of the record of a pod without sidecar. Its values come from closed sets.
type Skip struct {
	Reason Reason
	// Keys are those of inpod's keys that the reason is about, sorted, and joined by ", ".
	Keys string
	// HasUnknownKey reports that the pod has a key that begins like inpod's and is none.
	HasUnknownKey bool
}

// SkipOf returns what is believed of a record: a reason that is known and worth a word, and keys that are inpod's. ok is false
// where there is nothing to be said.
func SkipOf(record annotation.Record) (s Skip, ok bool) {
	s.Reason = Reason(record.Reason)
	if record.Injected || s.sentence() == "" {
		return Skip{}, false
	}
	known := append(annotation.InjectionKeys(), annotation.InjectKey)
	var keys []string
	for _, key := range record.Keys {
		if slices.Contains(known, key) {
			keys = append(keys, key)
		} else if key == annotation.Domain {
			s.HasUnknownKey = true
		}
	}
	slices.Sort(keys)
	s.Keys = strings.Join(slices.Compact(keys), ", ")
	return s, true
}
