package inject

import "inpod.dev/inpod/internal/annotation"

// Reason says in one word what came of a pod: it is a label of metrics, the reason of events, and part of the record in
// the pod's annotation.
type Reason string

// The reasons. All but the first mean that the pod gets no sidecar.
const (
	Injected Reason = "Injected"
	// NotAsked: neither the pod nor its namespace asks, or the pod opted out.
	NotAsked Reason = "NotAsked"
	// AlreadyInjected: it carries the sidecar, from an earlier call or written by hand.
	AlreadyInjected Reason = "AlreadyInjected"
	// BadAnnotation: a value cannot be understood.
	BadAnnotation Reason = "BadAnnotation"
	// MirrorPod: it shows a static pod, which its kubelet runs whatever the API server says.
	MirrorPod Reason = "MirrorPod"
	// WindowsPod: the sidecar is a Linux program.
	WindowsPod Reason = "WindowsPod"
	// NothingUsed: nothing is used that could change: no source, and no certificate that is renewed.
	NothingUsed Reason = "NothingUsed"
	// OnlyFrozen: what is used cannot change under a running container, so there is nothing to reload.
	OnlyFrozen Reason = "OnlyFrozenUsages"
	// NoSuchContainer: the container that was named does not exist, or has ended when the application runs.
	NoSuchContainer Reason = "NoSuchContainer"
	// AmbiguousContainer: several containers mount something live and none is named.
	AmbiguousContainer Reason = "AmbiguousContainer"
	// NoTrigger: nothing says how the application is told.
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
	// WouldNotFinish: an ordinary container would keep a Job from ever finishing.
	WouldNotFinish Reason = "WouldNotFinish"
	// HostNetwork: the status port would be taken on the node, and none was chosen.
	HostNetwork Reason = "HostNetwork"
	// PortTaken: another container uses the status port.
	PortTaken Reason = "PortTaken"
	// PathNotMounted: a file or socket that was named lies in no volume that the sidecar could mount too.
	PathNotMounted Reason = "PathNotMounted"
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
	// InternalError: what would be added breaks a rule of Kubernetes or of ours, which is a fault of the injector.
	InternalError Reason = "InternalError"
)

// Reasons lists every reason in a fixed order.
func Reasons() []Reason {
	return []Reason{
		Injected, NotAsked, AlreadyInjected, BadAnnotation, MirrorPod, WindowsPod, NothingUsed, OnlyFrozen,
		NoSuchContainer, AmbiguousContainer, NoTrigger, PresetRefused, HostProcesses, ProcessesNotShared, RootForbidden,
		ApplicationImageRefused, NativeUnsupported, WouldNotFinish, HostNetwork, PortTaken, PathNotMounted, NotWatchable,
		CapabilitiesRefused, NeedsSharedProcesses, LimitRangeForbids, QuotaExceeded, RefusedBefore, InternalError,
	}
}

// Quiet tells reasons that are nobody's concern: nothing was asked, or it is there already.
func (r Reason) Quiet() bool { return r == NotAsked || r == AlreadyInjected }

// Expected tells reasons that are no mistake: the pod has nothing that could be reloaded in place, and its changes
// are rolled out.
func (r Reason) Expected() bool {
	return r == Injected || r.Quiet() || r == NothingUsed || r == OnlyFrozen || r == MirrorPod || r == WindowsPod
}

// Report is what came of a pod and why. It is all that log, event, metric and annotation tell.
type Report struct {
	Reason Reason
	// Message is a sentence for people; "" when the pod was injected.
	Message string
	// ByPod tells that the pod itself asks, rather than its namespace.
	ByPod bool
	// Record is what the annotation of the pod says.
	Record annotation.Record
}
