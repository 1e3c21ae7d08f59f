package observe

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

const (
	// SidecarName is the name of the container that the injector adds.
	SidecarName = "inpod"
	// accountPath is where every container has the token of the pod, and a ConfigMap with it that nobody is reloaded for.
	accountPath = "/var/run/secrets/kubernetes.io/serviceaccount"
	byWorkload  = "workload"
)

// podLabel is on the pods that are watched: those that carry the sidecar, and those that have asked for it and got none.
const podLabel = annotation.InjectedLabel

// Pod is what the controller keeps of a pod that carries the sidecar.
type Pod struct {
	Namespace, Name string
	UID             types.UID
	// Workload is what the pod belongs to. If that is of no kind that inpod knows it is what controls the pod, or the pod itself;
	// it has no name for one that is left alone.
	Workload workload.Key
	// Address is the pod's address, "" before it has one; Port is where its sidecar listens.
	Address string
	Port    int32
	// Created is when the pod was made.
	Created time.Time
	// Running reports whether the pod has started and will not end by itself soon.
	Running bool
	// Ready reports whether the pod is ready.
	Ready bool
	// Over reports whether the pod has ended or is about to: nobody waits for it.
	Over bool
	// Started is when the application that the sidecar looks after started, zero if that is not known.
	Started time.Time
	// Starting reports whether the application has not been ready since it started: it may not take part in a reload yet.
	Starting bool
	// Container is the application's container, "" if that is not known.
	Container string
	// Crash is what its kubelet says of an application that does not come up.
	Crash Crash
	// SidecarDown reports whether the sidecar's container does not run.
	SidecarDown bool
	// Lost reports whether the pod's node is not heard of, by what the node controller has written. The pod may be over
	// as well: it is deleted, and nobody ends it.
	Lost bool
	// Mounts are what the sidecar watches. Of those with the same path a later one wins.
	Mounts []Mount
	// Ignored are the files that the sidecar leaves out.
	Ignored []string
	// Beyond are sources whose changes running containers see, and which the sidecar does not watch.
	Beyond []source.Ref
}

// Crash is an application that ends again and again; its zero value is one that does not, or has come up in between.
type Crash struct {
	// Ends is how often it has ended in this pod. It may run again.
	Ends int32
	// Shared reports whether inpod has set shareProcessNamespace.
	Shared bool
}

const (
	// fewestEnds is how often an application has to have ended before it is said to crash.
	fewestEnds = 3
	// StaysUp is how long an application has to run to have come up, and longestPause how long a kubelet waits at most before it
	// starts one again (k8s.io/kubernetes/pkg/kubelet: MaxContainerBackOff, and twice that without a crash).
	StaysUp      = 2 * longestPause
	longestPause = 5 * time.Minute
)

// crashOf returns how an application crashes. One that has come up in this pod since it was injected does not: what has changed
// then is not the injection.
func crashOf(pod *corev1.Pod, container string) Crash {
	status, ok := statusOf(pod, container)
	ends, last := status.RestartCount, status.LastTerminationState.Terminated
	if status.State.Running == nil {
		ends++
		last = cmp.Or(status.State.Terminated, last)
	}
	if !ok || ends < fewestEnds || last == nil || last.FinishedAt.Sub(last.StartedAt.Time) >= StaysUp {
		return Crash{}
	}
	// So often it can have ended in that time without having come up once. Not when it ran for a week first.
	if since, known := initialized(pod); known && last.FinishedAt.Sub(since) >= time.Duration(ends)*(StaysUp+longestPause) {
		return Crash{}
	}
	record, err := annotation.ParseRecord(pod.Annotations[annotation.InjectionRecord])
	if err != nil {
		return Crash{}
	}
	return Crash{Ends: ends, Shared: record.SharedProcesses}
}

// initialized is when the containers of a pod could start.
func initialized(pod *corev1.Pod) (since time.Time, known bool) {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodInitialized && condition.Status == corev1.ConditionTrue {
			return condition.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}

// Mount is one source at one path of the sidecar.
type Mount struct {
	// Ref is the source; without a name it is none, and Items are files of something else in the same volume: a token, or
	// the downward API.
	Ref  source.Ref
	Path string
	// Items map keys to paths below Path; nil means that each key is a file of its own name. Of a SecretProviderClass no file
	// is known.
	Items []corev1.KeyToPath
	// Mounted is what the driver says that this pod has of a SecretProviderClass; nil for other sources, and where it says
	// nothing.
	Mounted *source.Mounted
}

type podItem struct {
	kept
	Pod

	// skipped is set on a pod that has asked for the sidecar and got none; nothing else of it is kept then but its names.
	skipped *Skipped
	// stray is set on a pod with the sidecar whose workload is of no kind that inpod knows.
	stray *stray
}

func (i *podItem) carriesSidecar() bool { return i.skipped == nil }

func indexByWorkload(object any) ([]string, error) {
	item, ok := object.(*podItem)
	if !ok || !item.carriesSidecar() || item.Workload.Name == "" {
		return nil, nil
	}
	return []string{item.Workload.String()}, nil
}

// Pods returns the pods that carry the sidecar, of a workload and of those that it acts for, sorted by name.
func (o *Observer) Pods(key workload.Key) []Pod {
	pods := o.podsOf(key)
	if item, ok := o.item(key); ok {
		_, actsFor := o.acting(item)
		for _, other := range actsFor {
			pods = append(pods, o.podsOf(other)...)
		}
	}
	slices.SortFunc(pods, func(a, b Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods
}

// podsOf returns the pods that belong to the workload itself, in no particular order.
func (o *Observer) podsOf(key workload.Key) []Pod {
	var pods []Pod
	for _, item := range o.cacheOf(key.Namespace).podsUnder(byWorkload, key.String()) {
		pods = append(pods, o.withClasses(item.Pod))
	}
	return pods
}

// podsUnder returns what an index of pods has under a value, in no particular order.
func (p *namespaceCache) podsUnder(index, value string) []*podItem {
	if p.pods == nil {
		return nil
	}
	objects, err := p.pods.GetIndexer().ByIndex(index, value)
	if err != nil {
		return nil // the indices are made in podInformer
	}
	items := make([]*podItem, 0, len(objects))
	for _, object := range objects {
		if item, ok := object.(*podItem); ok {
			items = append(items, item)
		}
	}
	return items
}

// withClasses adds what the driver says of the classes that a pod mounts. What is in the cache stays as it is.
func (o *Observer) withClasses(pod Pod) Pod {
	isClass := func(m Mount) bool { return m.Ref.Kind == source.SecretProviderClass }
	if !slices.ContainsFunc(pod.Mounts, isClass) {
		return pod
	}
	pod.Mounts = slices.Clone(pod.Mounts)
	for i, mount := range pod.Mounts {
		if isClass(mount) {
			pod.Mounts[i].Mounted = o.mounted(pod.Name, mount.Ref)
		}
	}
	return pod
}

func (o *Observer) podInformer(namespace string) (cache.SharedIndexInformer, cache.DoneChecker, error) {
	only := metav1.ListOptions{LabelSelector: podLabel, FieldSelector: o.fields(namespace)}
	lw := listWatch(o.options.Client, o.options.Client.CoreV1().Pods(namespace), only)
	informer := cache.NewSharedIndexInformerWithOptions(lw, &corev1.Pod{},
		cache.SharedIndexInformerOptions{Indexers: cache.Indexers{byWorkload: indexByWorkload, bySubject: indexBySubject, bySource: indexStraysBySource}})
	if err := informer.SetTransform(o.reducePod); err != nil {
		return nil, nil, fmt.Errorf("observing pods: %w", err)
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, isInInitialList bool) {
			// A namespace may have asked for the sidecar, and the workload itself says nothing about it.
			item, ok := object.(*podItem)
			if ok && !isInInitialList && item.carriesSidecar() && item.Workload.Name != "" {
				o.enqueueRelated(item.Workload, o.templateOwnerOf(item.Workload))
			}
			if ok && !isInInitialList {
				o.noteSubject(nil, item)
			}
		},
		UpdateFunc: func(before, after any) {
			was, ok1 := before.(*podItem)
			is, ok2 := after.(*podItem)
			if ok1 && ok2 {
				o.noteSubject(was, is)
				o.noteCrash(was, is)
			}
		},
		DeleteFunc: func(object any) {
			if item, ok := deleted[*podItem](object); ok {
				o.noteSubject(item, nil)
			}
			o.strayGone(object)
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("observing pods: %w", err)
	}
	return informer, registration.HasSyncedChecker(), nil
}

// carriesSidecar reports whether a pod of the workload has the sidecar.
func (o *Observer) carriesSidecar(key workload.Key) bool {
	informer := o.cacheOf(key.Namespace).pods
	if informer == nil {
		return false
	}
	pods, err := informer.GetIndexer().IndexKeys(byWorkload, key.String())
	return err == nil && len(pods) > 0
}

// reducePod is the transform.
func (o *Observer) reducePod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	if pod.Labels[podLabel] != "true" {
		return o.reduceSkipped(pod), nil
	}
	item := &podItem{kept: keptOf(pod), Pod: Pod{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Workload: o.options.Kinds.OwnerOf(pod), Address: pod.Status.PodIP, Port: sidecarapi.DefaultPort,
		Created: pod.CreationTimestamp.Time, Running: pod.Status.Phase == corev1.PodRunning,
		Ready: conditionOf(pod, corev1.PodReady).Status == corev1.ConditionTrue,
		Over:  pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed,
	}}
	if item.Workload.Name == "" {
		item.Workload, item.stray = o.strayOf(pod)
	}
	var others []Mount
	for i, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		isInit := i >= len(pod.Spec.Containers)
		switch {
		case c.Name == SidecarName:
			item.Mounts, item.Ignored = withoutUnknownBundles(mountsOf(pod, &c), argsOf(&c, "--trust-bundle=")), argsOf(&c, "--ignore=")
			item.Port = portOf(&c)
		case !isInit || c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways:
			others = append(others, mountsOf(pod, &c)...)
		}
	}
	item.Beyond = notIn(item.Mounts, others)
	item.Container, item.Started = applicationOf(pod)
	item.Starting = isStarting(pod, item.Started)
	item.Crash = crashOf(pod, item.Container)
	item.SidecarDown = sidecarIsDown(pod)
	item.Lost = isLost(pod)
	return item, nil
}

// portOf returns the port at which the sidecar listens: the one that it declares, as the injector has it do, or the one of its
// arguments. Pods outlive the default.
func portOf(c *corev1.Container) int32 {
	for _, port := range c.Ports {
		if port.Name == SidecarName || len(c.Ports) == 1 {
			return port.ContainerPort
		}
	}
	const flag = "--listen-address="
	for _, arg := range c.Args {
		_, text, _ := strings.Cut(strings.TrimPrefix(arg, flag), ":")
		if port, err := strconv.ParseUint(text, 10, 16); err == nil && strings.HasPrefix(arg, flag) {
			return int32(port)
		}
	}
	return sidecarapi.DefaultPort
}

// notIn returns the sources of mounts that are not among the watched ones, sorted.
func notIn(watched, mounts []Mount) []source.Ref {
	var refs []source.Ref
	for _, mount := range mounts {
		if mount.Ref.Name != "" && !slices.ContainsFunc(watched, func(w Mount) bool { return w.Ref == mount.Ref }) {
			refs = append(refs, mount.Ref)
		}
	}
	slices.SortFunc(refs, source.Ref.Compare)
	return slices.Compact(refs)
}

// applicationOf returns the container that the injector has noted as the application's, and when it started.
func applicationOf(pod *corev1.Pod) (name string, started time.Time) {
	record, err := annotation.ParseRecord(pod.Annotations[annotation.InjectionRecord])
	if err != nil {
		return "", time.Time{} // somebody else's
	}
	if status, ok := statusOf(pod, record.Container); ok && status.State.Running != nil {
		started = status.State.Running.StartedAt.Time
	}
	return record.Container, started
}

func statusOf(pod *corev1.Pod, container string) (corev1.ContainerStatus, bool) {
	for _, status := range slices.Concat(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses) {
		if status.Name == container {
			return status, true
		}
	}
	return corev1.ContainerStatus{}, false
}

// isStarting reports whether the containers of a pod have not been ready since its application started. The kubelet sets the
// condition before the first container starts, and again when one that was ready ends (k8s.io/kubernetes/pkg/kubelet/status).
func isStarting(pod *corev1.Pod, started time.Time) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.ContainersReady {
			return condition.Status == corev1.ConditionFalse && !started.IsZero() && !condition.LastTransitionTime.After(started)
		}
	}
	return false
}

// sidecarIsDown reports whether the kubelet says of the sidecar that it does not run.
func sidecarIsDown(pod *corev1.Pod) bool {
	status, ok := statusOf(pod, SidecarName)
	return ok && status.State.Running == nil
}

// isLost reports whether the pod's node is not heard of. The node controller leaves one of these traces
// (k8s.io/kubernetes/pkg/controller/util/node): Ready is false while the containers are ready and no readiness gate is
// closed, which no kubelet writes; Ready is unknown; or a reason names the node. A pod whose eviction for the taint of
// its node waits for tolerationSeconds has the first trace, and keeps it when it is deleted, since nobody ends it.
func isLost(pod *corev1.Pod) bool {
	if pod.Status.Reason == nodeLost || conditionOf(pod, corev1.PodReady).Status == corev1.ConditionUnknown {
		return true
	}
	ready := conditionOf(pod, corev1.PodReady)
	if ready.Status != corev1.ConditionFalse {
		return false
	}
	if ready.Reason == nodeLost || ready.Reason == nodeNotReady {
		return true
	}
	open := !slices.ContainsFunc(pod.Spec.ReadinessGates, func(gate corev1.PodReadinessGate) bool {
		return conditionOf(pod, gate.ConditionType).Status != corev1.ConditionTrue
	})
	return open && conditionOf(pod, corev1.ContainersReady).Status == corev1.ConditionTrue
}

// These are reasons of a pod on a node that is not heard of (k8s.io/kubernetes/pkg/util/node).
const (
	nodeLost     = "NodeLost"
	nodeNotReady = "NodeNotReady"
)

func conditionOf(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == kind {
			return condition
		}
	}
	return corev1.PodCondition{}
}

// mountsOf lists the sources that a container mounts without subPath.
func mountsOf(pod *corev1.Pod, c *corev1.Container) []Mount {
	volumes := make(map[string]*corev1.Volume, len(pod.Spec.Volumes))
	for i := range pod.Spec.Volumes {
		volumes[pod.Spec.Volumes[i].Name] = &pod.Spec.Volumes[i]
	}
	var mounts []Mount
	for _, mount := range c.VolumeMounts {
		volume, ok := volumes[mount.Name]
		if !ok || mount.SubPath != "" || mount.SubPathExpr != "" || mount.MountPath == accountPath {
			continue
		}
		add := func(kind source.Kind, name string, items []corev1.KeyToPath) {
			mounts = append(mounts, Mount{
				Ref: source.Ref{Kind: kind, Namespace: pod.Namespace, Name: name}, Path: path.Join("/", mount.MountPath), Items: items,
			})
		}
		switch {
		case volume.ConfigMap != nil:
			add(source.ConfigMap, volume.ConfigMap.Name, volume.ConfigMap.Items)
		case volume.Secret != nil:
			add(source.Secret, volume.Secret.SecretName, volume.Secret.Items)
		case source.ClassOf(volume) != "":
			add(source.SecretProviderClass, source.ClassOf(volume), nil)
		case volume.Projected != nil:
			for _, s := range volume.Projected.Sources {
				if s.ConfigMap != nil {
					add(source.ConfigMap, s.ConfigMap.Name, s.ConfigMap.Items)
				}
				if s.Secret != nil {
					add(source.Secret, s.Secret.Name, s.Secret.Items)
				}
				if ref, items, ok := source.Bundle(&s); ok {
					mounts = append(mounts, Mount{Ref: ref, Path: path.Join("/", mount.MountPath), Items: items})
				}
				if files := source.OtherFiles(&s); len(files) > 0 {
					mounts = append(mounts, Mount{Path: path.Join("/", mount.MountPath), Items: files})
				}
			}
		}
	}
	return mounts
}

// argsOf returns the values that the injector gave the sidecar for a flag.
func argsOf(c *corev1.Container, flag string) []string {
	var values []string
	for _, arg := range c.Args {
		if value, is := strings.CutPrefix(arg, flag); is {
			values = append(values, strings.ReplaceAll(value, "$$", "$")) // how Kubernetes has it written
		}
	}
	return values
}

// withoutUnknownBundles drops the bundles whose order counts for the sidecar, as one of an earlier version or written
// by hand: nobody could say which digest it has of them.
func withoutUnknownBundles(mounts []Mount, known []string) []Mount {
	return slices.DeleteFunc(mounts, func(m Mount) bool {
		return m.Ref.Kind == source.ClusterTrustBundle && !slices.Contains(known, path.Join(m.Path, m.Items[0].Path))
	})
}
