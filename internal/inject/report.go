package inject

import (
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/injection"
)

// Reason says in one word what came of a pod.
type Reason = injection.Reason

// The reasons, by the names that this package uses.
const (
	Injected                = injection.Injected
	NotRequested            = injection.NotRequested
	AlreadyInjected         = injection.AlreadyInjected
	InvalidAnnotation       = injection.InvalidAnnotation
	MirrorPod               = injection.MirrorPod
	WindowsPod              = injection.WindowsPod
	NothingUsed             = injection.NothingUsed
	OnlyFrozenUsages        = injection.OnlyFrozenUsages
	NoSuchContainer         = injection.NoSuchContainer
	AmbiguousContainer      = injection.AmbiguousContainer
	NoTrigger               = injection.NoTrigger
	PresetRefused           = injection.PresetRefused
	HostProcesses           = injection.HostProcesses
	ProcessesNotShared      = injection.ProcessesNotShared
	RootForbidden           = injection.RootForbidden
	ApplicationImageRefused = injection.ApplicationImageRefused
	NativeUnsupported       = injection.NativeUnsupported
	WouldBlockCompletion    = injection.WouldBlockCompletion
	HostNetwork             = injection.HostNetwork
	PortTaken               = injection.PortTaken
	PathNotMounted          = injection.PathNotMounted
	NestedMount             = injection.NestedMount
	NotWatchable            = injection.NotWatchable
	CapabilitiesRefused     = injection.CapabilitiesRefused
	NeedsSharedProcesses    = injection.NeedsSharedProcesses
	LimitRangeForbids       = injection.LimitRangeForbids
	QuotaExceeded           = injection.QuotaExceeded
	RefusedBefore           = injection.RefusedBefore
	TooLarge                = injection.TooLarge
	InternalError           = injection.InternalError
)

// Reasons lists every reason in a fixed order.
func Reasons() []Reason { return injection.Reasons() }

// Report is what came of a pod and why. It is all that log, event, metric and annotation report.
type Report struct {
	Reason Reason
	// Message is a sentence for people; "" when the pod was injected.
	Message string
	// ByPod reports whether the pod itself asks, rather than its namespace.
	ByPod bool
	// Record is what the annotation of the pod says.
	Record annotation.Record
}
