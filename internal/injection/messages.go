package injection

import "inpod.dev/inpod/internal/annotation"

// row is a reason, and a sentence about pods that have no sidecar for it. The sentence is "" where there is nothing
// to say.
type row struct {
	reason   Reason
	sentence string
}

// rows are the sentences of all events about pods without a sidecar: what is the case, then what to do.
func rows() []row {
	return []row{
		{Injected, ""},
		{NotRequested, ""},
		{AlreadyInjected, ""},
		{InvalidAnnotation, "an annotation of the pod or of its namespace is invalid"},
		{MirrorPod, "the kubelet runs a static pod as its manifest says; add the sidecar to the manifest"},
		{WindowsPod, "the sidecar is a Linux program"},
		{NothingUsed, "no container uses anything that can change, so there is nothing to reload"},
		{OnlyFrozenUsages, "what the pod uses does not change while it runs, so each change starts a rollout; to reload in place, mount a volume as a whole"},
		{NoSuchContainer, "inpod.dev/reload-container names no container that keeps running"},
		{AmbiguousContainer, "several containers mount something that changes while they run; name one with inpod.dev/reload-container"},
		{NoTrigger, "no annotation says how the application reloads; set one of inpod.dev/preset, inpod.dev/reload-signal, inpod.dev/reload-url and inpod.dev/reload-command"},
		{PresetRefused, "this server cannot reload, so each change starts a rollout"},
		{HostProcesses, "the pod has hostPID: true, so a signal may reach a process of the node; use inpod.dev/reload-url"},
		{ProcessesNotShared, "the pod has shareProcessNamespace: false, and the sidecar must see the application to signal it; remove the field, or use inpod.dev/reload-url"},
		{RootForbidden, "the sidecar would run as root, and the pod has runAsNonRoot: true; correct inpod.dev/sidecar-run-as-user"},
		{ApplicationImageRefused, "the sidecar needs the application's image, and inpod.dev/application-image is false; remove the annotation, or set inpod.dev/sidecar-run-as-user"},
		{NativeUnsupported, "inpod.dev/native-sidecar is true, and the cluster has no native sidecars; remove the annotation"},
		{WouldBlockCompletion, "an ordinary sidecar container keeps the pod from completing; use a native sidecar"},
		{HostNetwork, "the pod uses the network of its node; set a port that is free there with inpod.dev/status-port"},
		{PortTaken, "a container uses the status port of the sidecar; set another one with inpod.dev/status-port"},
		{PathNotMounted, "an annotation names a path that the sidecar cannot mount"},
		{NestedMount, "something is mounted inside a volume that the sidecar would mount read-only, where its folder may be missing; mount it elsewhere, or reload by inpod.dev/reload-url or inpod.dev/reload-signal"},
		{NotWatchable, "inpod.dev/watch names something that never changes there, or is not for the sidecar; name the volume, or mount it as a whole"},
		{CapabilitiesRefused, "as root a validator needs capabilities, which inpod.dev/sidecar-capabilities refuses; set a runAsUser, or use a trigger without a validator"},
		{NeedsSharedProcesses, "only the namespace requests the sidecar, and a signal needs shareProcessNamespace, under which a few images end; set inpod.dev/share-processes on the namespace, inpod.dev/inject on the pod template, or use inpod.dev/reload-url"},
		{LimitRangeForbids, "the sidecar does not meet a LimitRange of the namespace; set the requests and limits under inpod.dev/sidecar-"},
		{QuotaExceeded, "a ResourceQuota of the namespace has room for the pod and none for the sidecar; raise it, or ask for less under inpod.dev/sidecar-"},
		{RefusedBefore, "the API server refuses the pods of this owner with the sidecar, so they run without; change inpod.dev/sidecar-capabilities or the requests and limits under inpod.dev/sidecar-, or set inpod.dev/inject: disabled"},
		{TooLarge, "with the sidecar the pod would be too large; mount large values as files, or reload by inpod.dev/reload-url or inpod.dev/reload-signal"},
		{InternalError, "the injector would add something that breaks a rule of Kubernetes; please report it with the injector's log"},
	}
}

func (s Skip) sentence() string {
	for _, r := range rows() {
		if r.reason == s.Reason {
			return r.sentence
		}
	}
	return ""
}

// String is a sentence for an event, without its end.
func (s Skip) String() string {
	text := string(s.Reason) + ": " + s.sentence()
	if s.Keys != "" {
		text += "; check " + s.Keys
	}
	if s.HasUnknownKey {
		text += "; a key that begins with " + annotation.Domain + " is not one of inpod's"
	}
	return text
}
