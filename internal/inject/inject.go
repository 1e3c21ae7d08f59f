// Package inject decides whether a pod gets the sidecar, in which form, and what the pod then looks like.
//
// It is pure: a pod and options in, what is added to the pod and a report out. It knows neither the webhook that calls it nor the
// cluster; what it has to know of them (the defaults of the namespace, whether native sidecars exist) is in the
// options.
//
//	pod, options ──► asked? ──► what is live? ──► trigger ──► processes ──► user ──► image ──► kind ──► port, paths
//	                    │            │               │            │          │         │        │           │
//	                    └────────────┴───────────────┴── skip: a Reason and a sentence ┴────────┴───────────┤
//	                                                                                                        ▼
//	                                                                        build: containers, volume, label, record
package inject

import (
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"inpod.dev/inpod/internal/annotation"
)

// ContainerName is the name of the sidecar's container.
const ContainerName = "inpod"

// Options are what an injection depends on besides the pod.
type Options struct {
	// Namespace is that of the pod, Defaults its annotations, and NamespaceAsks reports that its label asks for the
	// sidecar in every pod.
	Namespace     string
	Defaults      map[string]string
	NamespaceAsks bool

	// Server is the version of the API server, for messages, and NativeSidecars reports that it has them.
	Server         string
	NativeSidecars bool

	Image      string
	PullPolicy corev1.PullPolicy
	// What the sidecar asks for by default; zero for none. Without a limit on processors it still gets one where the application
	// has one, or the namespace wants one.
	CPURequest, CPULimit, MemoryRequest, MemoryLimit, StorageRequest, StorageLimit resource.Quantity
	// Capabilities says which ones it gets by default.
	Capabilities annotation.Capabilities
	// Limits are those of the namespace, nil where they are not known.
	Limits *Limits
	// Refused is what the API server has against pods of the same owner with the sidecar, "" for nothing.
	Refused    string
	StatusPort int32
	// ConfirmKey is the public key with which the sidecar encrypts what it reports to the controller, "" for none.
	ConfirmKey string
}

// Inject returns what the sidecar adds to the pod, and a report. The pod is not modified. Where the pod gets no sidecar
// nothing is added, but for the record of the reason when the pod itself has asked. A change that would break one of the
// invariants of [Check] is a fault of this package: nothing is added then, and the reason is [InternalError].
func Inject(pod *corev1.Pod, options Options) (Change, Report) {
	p := &plan{pod: pod, spec: &pod.Spec, options: options, volumes: make(map[string]*corev1.Volume, len(pod.Spec.Volumes))}
	for i := range pod.Spec.Volumes {
		p.volumes[pod.Spec.Volumes[i].Name] = &pod.Spec.Volumes[i]
	}
	for _, step := range steps() {
		if skip := step(p); skip != nil {
			return p.skipped(skip)
		}
	}
	change, report := p.build()
	if skip := p.checkSize(change); skip != nil {
		return p.skipped(skip)
	}
	if err := Check(pod, change); err != nil {
		return p.skipped(brokenRule(err))
	}
	return change, report
}

// steps are what has to be decided, in this order. Each fills a part of the plan or ends it.
func steps() []func(*plan) *skip {
	return []func(*plan) *skip{
		notYetInjected,   // a second call changes nothing
		fitsAnnotations,  // else it is refused whatever is done
		asked,            // by the pod or its namespace, in a way that can be understood
		onLinux,          // neither a mirror pod nor Windows
		fewComparisons,   // of mounts, of the files of their volumes, and of what was named
		pickTarget,       // the container that mounts something live, or what was named
		pickWatched,      // what is live, and what was named
		pickTrigger,      // signal, URL or command, and what that needs
		shareProcesses,   // where the trigger needs them
		pickUser,         // who may signal and read what the application reads
		pickImage,        // ours where that suffices, else the application's
		pickCapabilities, // for root alone, and only what its task takes
		pickKind,         // native where the cluster can, else an ordinary container
		pickPort,         // for the status page
		pickMounts,       // of what is watched, and of files and sockets that were named
		hasFolders,       // for mounts inside of mounts, without which the sidecar could not start
		pickResources,    // small, and without breaking the pod's class, its own limits or those of the namespace
		notRefused,       // not again where the API server refuses what comes of it
	}
}

// plan is what has been decided so far.
type plan struct {
	pod     *corev1.Pod
	spec    *corev1.PodSpec
	volumes map[string]*corev1.Volume // by name
	options Options
	ask     annotation.Injection
	// authored are the containers that the author of the pod wrote, once that was asked; see authored.
	authored      map[string]bool
	authoredKnown bool

	target    *corev1.Container
	live      []corev1.VolumeMount // of the target
	watched   []watched            // what the sidecar watches
	trigger   trigger
	share     bool // set shareProcessNamespace
	user      user
	inApp     bool   // the sidecar runs in the application's image
	why       string // that image
	native    bool
	port      int32
	mounts    []corev1.VolumeMount
	resources corev1.ResourceRequirements
	notes     []string
}

// skip ends a plan.
type skip struct {
	reason  Reason
	message string
	keys    []string // that it is about
}

// skipped returns what a pod gets in place of the sidecar: the reason, where the pod or its namespace requests the
// sidecar, and a label by which the controller sees that. A namespace that asks for all of its pods does not ask about
// those that have nothing to reload.
func (p *plan) skipped(s *skip) (Change, Report) {
	report := Report{Reason: s.reason, Message: s.message, ByPod: p.ask.ByPod}
	report.Record = annotation.Record{Reason: string(s.reason), Message: s.message, Keys: s.keys}
	if s.reason.Quiet() || !p.ask.ByPod && s.reason.Expected() && s.reason != OnlyFrozenUsages {
		return Change{}, report
	}
	report.Record.Message = cut(s.message)
	change := Change{Annotations: recorded(report.Record), Labels: map[string]string{annotation.InjectedLabel: "false"}}
	if Check(p.pod, change) != nil {
		change = Change{} // there is no room for another annotation
	}
	return change, report
}

// longestMessage bounds what a record says, in bytes: a message may quote an annotation, and the annotations of a pod are bounded
// together.
const longestMessage = 1000

// cut shortens a text without splitting a character.
func cut(text string) string {
	if len(text) <= longestMessage {
		return text
	}
	end := longestMessage - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

func recorded(record annotation.Record) map[string]string {
	return map[string]string{annotation.InjectionRecord: record.String()}
}
