package inject

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/api/validation"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

// The messages of all skips stand in this file, so that they can be read one after the other: a function for each,
// named after its reason, in the order of the reasons. A message says what is the case, then what to do. What the
// records of injected pods say is at the end. The sentences of the controller's events about the same reasons are in
// package injection.

func because(reason Reason, format string, args ...any) *skip {
	return &skip{reason: reason, message: fmt.Sprintf(format, args...)}
}

// about names the keys that a skip is about.
func (s *skip) about(keys ...string) *skip {
	s.keys = keys
	return s
}

func alreadyInjected() *skip {
	return because(AlreadyInjected, "the pod already has a container named %s", ContainerName)
}

func notRequested() *skip {
	return because(NotRequested, "neither the pod nor its namespace requests the sidecar")
}

func invalidAnnotations(problems []annotation.Problem, keys []string) *skip {
	var faults []string
	for _, problem := range problems {
		faults = append(faults, problem.String())
	}
	return because(InvalidAnnotation, "%s", strings.Join(faults, "; ")).about(keys...)
}

func unknownPreset(err error) *skip {
	return because(InvalidAnnotation, "annotation %spreset: %v", annotation.Domain, err).about(annotation.Domain + "preset")
}

func mirrorPod() *skip {
	return because(MirrorPod, "the kubelet runs a static pod as its manifest says; add the sidecar to the manifest")
}

func windowsPod() *skip { return because(WindowsPod, "the sidecar is a Linux program") }

func nothingUsed() *skip {
	return because(NothingUsed, "no container uses a ConfigMap, Secret, SecretProviderClass, ClusterTrustBundle or renewed certificate, so there is nothing to reload; "+
		"name other files that change with %s", watchKey)
}

func mountedBySubPath(r source.Rotation) *skip {
	return because(OnlyFrozenUsages, "container %s mounts volume %s (%s) at %s with subPath, where the kubelet never renews it; mount the volume as a whole",
		r.Container, r.Volume, r.Kind, r.Path)
}

// onlyFrozenUsages is about the target, or about the whole pod where it is nil.
func onlyFrozenUsages(target *corev1.Container) *skip {
	where := "the pod"
	if target != nil {
		where = "container " + target.Name
	}
	return because(OnlyFrozenUsages, "%s uses its ConfigMaps and Secrets as environment, by subPath or before it runs, so nothing changes while it runs; "+
		"each change starts a rollout", where)
}

func noSuchContainer(name string, running []*corev1.Container) *skip {
	return because(NoSuchContainer, "%sreload-container names %q, which is no container that keeps running; name one of: %s",
		annotation.Domain, name, strings.Join(containerNames(running), ", "))
}

func ambiguousContainer(candidates []*corev1.Container) *skip {
	return because(AmbiguousContainer, "containers %s mount something that is watched; name one with %sreload-container",
		strings.Join(containerNames(candidates), " and "), annotation.Domain)
}

func noTrigger() *skip {
	return because(NoTrigger, "no annotation says how the application reloads; set one of %[1]spreset, %[1]sreload-signal, %[1]sreload-url and %[1]sreload-command", annotation.Domain)
}

func presetRefused(preset, why string) *skip {
	return because(PresetRefused, "%s is not reloaded: %s", preset, why)
}

func hostProcesses() *skip {
	return because(HostProcesses, "the pod has hostPID: true, so a signal may reach a process of the node; use %sreload-url", annotation.Domain)
}

func processesNotShared() *skip {
	return because(ProcessesNotShared, "the pod has shareProcessNamespace: false, and the sidecar must see the processes of the application to signal it; "+
		"remove the field, or use %sreload-url", annotation.Domain)
}

func sharingForbidden() *skip {
	return because(ProcessesNotShared, "%[1]sshare-processes is \"false\", and the sidecar must see the processes of the application to signal it; "+
		"remove the annotation, or use %[1]sreload-url", annotation.Domain).about(annotation.Domain + "share-processes")
}

func rootForbidden(from string) *skip {
	return because(RootForbidden, "the sidecar would run as root, %s, and the pod has runAsNonRoot: true; set another user with %ssidecar-run-as-user", from, annotation.Domain)
}

func applicationImageRefused(container, why string) *skip {
	return because(ApplicationImageRefused, "the sidecar needs the image of container %s, because %s, and the pod has %[3]sapplication-image: false; "+
		"remove the annotation, or for a signal set %[3]ssidecar-run-as-user", container, why, annotation.Domain)
}

func nativeUnsupported(server string) *skip {
	return because(NativeUnsupported, "%snative-sidecar is true, and native sidecars need Kubernetes 1.29 and an injector that may use them; the API server is %s", annotation.Domain, server)
}

func wouldBlockCompletion(policy corev1.RestartPolicy) *skip {
	return because(WouldBlockCompletion, "the pod has restartPolicy: %s, and an ordinary sidecar container keeps it from completing; use a native sidecar", policy)
}

func hostNetwork() *skip {
	return because(HostNetwork, "the pod uses the network of its node; set a port that is free there with %sstatus-port", annotation.Domain)
}

func portTaken(container string, port int32) *skip {
	return because(PortTaken, "container %s uses port %d, the status port of the sidecar; set another one with %sstatus-port", container, port, annotation.Domain)
}

// watchedNotMounted is about a path of the key watch that no container mounts, or not the one of that name.
func watchedNotMounted(path, container string) *skip {
	where := "a container"
	if container != "" {
		where = "container " + container
	}
	return because(PathNotMounted, "%s names %s, which is in no volume that %s mounts", watchKey, path, where)
}

func pathNotMounted(named annotation.NamedPath, container string) *skip {
	return because(PathNotMounted, "%s names %s, which is in no volume that container %s mounts, so the sidecar cannot read it",
		named.Key, named.Path, container).about(named.Key)
}

func pathOfToken(named annotation.NamedPath) *skip {
	return because(PathNotMounted, "%s names %s, which is in the volume with the pod's token for the API server, and the sidecar never mounts that one; "+
		"for the cluster's certificate authority mount ConfigMap kube-root-ca.crt at another path", named.Key, named.Path).about(named.Key)
}

func nestedMount(container, inner, volume, at string) *skip {
	return because(NestedMount, "container %s has %s inside volume %s, which the sidecar would mount read-only, so it could not start if the volume "+
		"has no folder for that; move it out of %s, or reload by a signal or a URL instead of a program", container, inner, volume, at)
}

func notWatchable(path, fault string) *skip {
	return because(NotWatchable, "%s names %s, %s", watchKey, path, fault).about(watchKey)
}

// These are the faults of paths that are not watchable.

func inNoVolume(volume string) string {
	return fmt.Sprintf("which is in volume %s, and the pod has no such volume", volume)
}

func inVolumeOfToken() string {
	return "which is in the volume with the pod's token for the API server, and the sidecar never mounts that one"
}

func bySubPathExpr(container string) string {
	return fmt.Sprintf("which container %s mounts with subPathExpr, whose variables the sidecar does not have; mount the volume as a whole", container)
}

func bySubPath(container string) string {
	return fmt.Sprintf("which container %s mounts with subPath, where it never changes; mount the volume as a whole", container)
}

func nothingButBarred() string {
	return "where there is nothing but a token, or the annotations of the pod, for which nothing is reloaded, because they change by themselves"
}

func capabilitiesRefused(container, needed string) *skip {
	return because(CapabilitiesRefused, "as root the validator needs capabilities (%[2]s), which %[1]ssidecar-capabilities refuses, and without them it rejects good content; "+
		"set runAsUser of container %[3]s, or reload without a validator: %[1]sreload-signal or %[1]sreload-command",
		annotation.Domain, needed, container).about(annotation.Domain + "sidecar-capabilities")
}

func needsSharedProcesses() *skip {
	return because(NeedsSharedProcesses, "only the namespace requests the sidecar, and its signal needs shareProcessNamespace, under which a few images end at once; "+
		"if these do not, set %[1]sshare-processes: \"true\" on the namespace or %[1]sinject: enabled on the pod template; else use %[1]sreload-url", annotation.Domain)
}

func podResourcesExceeded(name corev1.ResourceName) *skip {
	return because(LimitRangeForbids, "LimitRanges give the sidecar more %s than spec.resources of the pod leaves; raise those", name)
}

func limitRangeForbids(limitRange string, name corev1.ResourceName, fault string) *skip {
	request, limit := annotation.Domain+"sidecar-"+string(name)+"-request", annotation.Domain+"sidecar-"+string(name)+"-limit"
	return because(LimitRangeForbids, "LimitRange %s requires %s of %s, which the sidecar does not meet; set %s and %s", limitRange, fault, name, request, limit).about(request, limit)
}

// exceeded is about a LimitRange or a ResourceQuota that bounds the whole pod.
func (r room) exceeded(wanted resource.Quantity) *skip {
	key := annotation.Domain + "sidecar-" + string(r.name) + suffix(r.isLimit)
	return because(r.reason, "%s, and the pod takes %s with the sidecar; raise it, or ask for less with %s", r.whose, wanted.String(), key).about(key)
}

func allowedByRange(limitRange string, most resource.Quantity, name corev1.ResourceName) string {
	return fmt.Sprintf("LimitRange %s allows a pod %s of %s", limitRange, most.String(), name)
}

func leftByQuota(quota string, left resource.Quantity, name corev1.ResourceName) string {
	return fmt.Sprintf("ResourceQuota %s has %s of %s left", quota, left.String(), name)
}

func refusedBefore(cause string) *skip {
	return because(RefusedBefore, "the API server refuses this pod with the sidecar (%s), so it runs without; change %[2]ssidecar-capabilities or the other %[2]ssidecar-… keys, "+
		"or set %[2]sinject: disabled", cause, annotation.Domain)
}

func sidecarTooLarge(size int, container string) *skip {
	return because(TooLarge, "the sidecar has %d bytes, most of them the environment and mounts of container %s for its programs, and at most %d are added; "+
		"mount large values as files, or reload without a program: %[4]sreload-signal or %[4]sreload-url", size, container, maxAdded, annotation.Domain)
}

func annotationsTooLarge(size int) *skip {
	return because(TooLarge, "the annotations of the pod have %d bytes, and the API server takes at most %d; move large values into a ConfigMap",
		size, validation.TotalAnnotationSizeLimitB)
}

func tooManyMounts(mounts, containers int) *skip {
	return because(TooLarge, "the pod has %d mounts in %d containers, and to compare them, the files that their volumes name, and the paths in annotations takes too long; "+
		"mount fewer volumes, or name fewer files and paths", mounts, containers)
}

func podTooLarge(size int) *skip {
	return because(TooLarge, "the pod has %d bytes with the sidecar, and at most %d are certain to be stored; move large values into a ConfigMap", size, maxPod)
}

// brokenRule is about a change that breaks a rule of [Check].
func brokenRule(err error) *skip { return because(InternalError, "%v", err) }

// These say in a record why the sidecar runs in an image.

func hasProgram(key string) string    { return "it has the program of " + annotation.Domain + key }
func hasValidator(name string) string { return "it has the validator of preset " + name }

func imageOfSignal(container string) string {
	return "it sets the user of container " + container + ", and a signal needs the same user"
}

func imageOfFiles(container string) string {
	return "it sets the user of container " + container + ", and only their owner can read the files"
}

func imageOfSocket(container string) string {
	return "it sets the user of container " + container + ", and a socket belongs to its user"
}

func imageRequested() string { return annotation.Domain + "application-image requests it" }

const imageSuffices = "it suffices"

// These are notes in a record.

func withoutResources(why string) string {
	return "the sidecar has no requests and limits, because " + why
}

const (
	podHasResources  = "the pod has its own"
	bestEffortQuota  = "a quota counts BestEffort pods apart"
	withoutKill      = "without the capability KILL: as root it can signal processes of root alone"
	withoutRootsMore = "without capabilities: as root its command may do less than in the application"
)

// squeezed is about a resource that was lowered to fit.
func (r room) squeezed() string {
	return fmt.Sprintf("less %s than usual, because %s", r.name, r.whose)
}
