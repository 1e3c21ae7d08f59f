//go:build e2e

package framework

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	// hollowKey is the label and the taint of hollow nodes; its value is the name of the node.
	hollowKey = "e2e.inpod.dev/hollow"
	// hollowWorkers is how many pods are written at a time.
	hollowWorkers = 8
	// heartbeat is how often a hollow node says that it is there. Kubernetes calls a node lost after 50 seconds without.
	heartbeat = 5 * time.Second
)

// HollowNode is a Node object without a machine, as kubemark has them. Its pods cost an object and run nothing: they are
// Ready as soon as they are bound, and gone as soon as they are deleted.
type HollowNode struct {
	Name string

	client  kubernetes.Interface
	options HollowOptions
	pods    cache.Indexer
	queue   workqueue.TypedRateLimitingInterface[string]
	cancel  context.CancelFunc
	done    sync.WaitGroup

	mu   sync.Mutex
	lost bool
}

// HollowOptions are what is particular to a hollow node.
type HollowOptions struct {
	// Labels are on the Node object.
	Labels map[string]string
	// IP returns the address of a pod; without it pods have none.
	IP func(*corev1.Pod) string
	// Seen is called with each state of each pod; nil for nothing.
	Seen func(*corev1.Pod)
	// Unready reports whether a pod stays as it is; without it none does.
	Unready func(*corev1.Pod) bool
}

// StartHollowNode creates a hollow node, or takes one over that a program of before has left, and serves its pods until
// Stop.
func (c *Cluster) StartHollowNode(ctx context.Context, name string, options HollowOptions) (*HollowNode, error) {
	labels := map[string]string{hollowKey: name, corev1.LabelHostname: name}
	maps.Copy(labels, options.Labels)
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: hollowKey, Value: name, Effect: corev1.TaintEffectNoSchedule}}},
	}
	config := rest.CopyConfig(c.Config)
	config.ContentType = runtime.ContentTypeProtobuf // it may have ten thousand pods
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("hollow node %s: %w", name, err)
	}
	nodes := client.CoreV1().Nodes()
	if _, err := nodes.Create(ctx, node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("hollow node %s: %w", name, err)
	}
	plenty := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("10k"), corev1.ResourceMemory: resource.MustParse("100Ti"), corev1.ResourcePods: resource.MustParse("100k"),
	}
	now := metav1.Now()
	status, err := json.Marshal(map[string]any{"status": corev1.NodeStatus{Capacity: plenty, Allocatable: plenty, Conditions: []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "HollowNode", LastHeartbeatTime: now, LastTransitionTime: now,
	}}}})
	if err == nil {
		_, err = nodes.Patch(ctx, name, types.StrategicMergePatchType, status, metav1.PatchOptions{}, "status")
	}
	if err != nil {
		return nil, fmt.Errorf("status of hollow node %s: %w", name, err)
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n := &HollowNode{
		Name: name, client: client, options: options, cancel: cancel,
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
	if err := n.beat(ctx); err != nil {
		cancel()
		return nil, err
	}
	n.serve(serving)
	return n, nil
}

// Place puts the pods of a template on the node.
func (n *HollowNode) Place(spec *corev1.PodSpec) {
	spec.NodeSelector = map[string]string{hollowKey: n.Name}
	n.Tolerate(spec)
}

// Tolerate lets the pods of a template be on the node.
func (n *HollowNode) Tolerate(spec *corev1.PodSpec) {
	spec.Tolerations = append(spec.Tolerations, corev1.Toleration{Key: hollowKey, Operator: corev1.TolerationOpExists})
}

// Lose ends the heartbeats and leaves the pods alone, as if the machine were gone. Kubernetes notices in its own time.
func (n *HollowNode) Lose() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = true
}

func (n *HollowNode) isLost() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost
}

// Stop deletes the node. Kubernetes removes the pods that are left of it.
func (n *HollowNode) Stop(ctx context.Context) error {
	n.cancel()
	n.queue.ShutDown()
	n.done.Wait()
	err := n.client.CoreV1().Nodes().Delete(ctx, n.Name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("hollow node %s: %w", n.Name, err)
	}
	return nil
}

func (n *HollowNode) serve(ctx context.Context) {
	factory := informers.NewSharedInformerFactoryWithOptions(n.client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", n.Name).String()
	}))
	informer := factory.Core().V1().Pods().Informer()
	n.pods = informer.GetIndexer()
	enqueue := func(object any) {
		if pod, ok := object.(*corev1.Pod); ok && n.options.Seen != nil {
			n.options.Seen(pod)
		}
		if key, err := cache.MetaNamespaceKeyFunc(object); err == nil {
			n.queue.Add(key)
		}
	}
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: enqueue, UpdateFunc: func(_, now any) { enqueue(now) }})
	factory.Start(ctx.Done())
	n.done.Go(func() {
		ticker := time.NewTicker(heartbeat)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				_ = n.beat(ctx) // the next one is close
			}
		}
	})
	for range hollowWorkers {
		n.done.Go(func() {
			for n.next(ctx) {
			}
		})
	}
}

// beat renews the lease of the node.
func (n *HollowNode) beat(ctx context.Context) error {
	if n.isLost() {
		return nil
	}
	leases := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease, err := leases.Get(ctx, n.Name, metav1.GetOptions{})
	spec := coordinationv1.LeaseSpec{
		HolderIdentity: &n.Name, LeaseDurationSeconds: new(int32(40)), RenewTime: &metav1.MicroTime{Time: time.Now()},
	}
	switch {
	case apierrors.IsNotFound(err):
		_, err = leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: n.Name}, Spec: spec}, metav1.CreateOptions{})
	case err == nil:
		lease.Spec = spec
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("lease of hollow node %s: %w", n.Name, err)
	}
	return nil
}

func (n *HollowNode) next(ctx context.Context) bool {
	key, shutdown := n.queue.Get()
	if shutdown {
		return false
	}
	defer n.queue.Done(key)
	if err := n.tend(ctx, key); err != nil && ctx.Err() == nil {
		n.queue.AddRateLimited(key)
		return true
	}
	n.queue.Forget(key)
	return true
}

// tend does what a kubelet would do with a pod.
func (n *HollowNode) tend(ctx context.Context, key string) error {
	object, exists, err := n.pods.GetByKey(key)
	pod, ok := object.(*corev1.Pod)
	if err != nil || !exists || !ok || n.isLost() {
		return err
	}
	pods := n.client.CoreV1().Pods(pod.Namespace)
	switch {
	case pod.DeletionTimestamp != nil:
		err = pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0)), Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
	case pod.Status.Phase == corev1.PodPending && (n.options.Unready == nil || !n.options.Unready(pod)):
		_, err = pods.UpdateStatus(ctx, n.running(pod), metav1.UpdateOptions{})
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it is another one by now, or comes again
	}
	return err
}

// running is a pod whose containers run and are ready.
func (n *HollowNode) running(pod *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	now := metav1.Now()
	pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &now
	pod.Status.Conditions = nil
	for _, condition := range []corev1.PodConditionType{
		corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady, corev1.PodScheduled,
	} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	running := func(c corev1.Container) corev1.ContainerStatus {
		return corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: "hollow", ContainerID: "hollow://" + string(pod.UID) + "/" + c.Name, Ready: true, Started: new(true),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		}
	}
	pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses = nil, nil
	for _, c := range pod.Spec.InitContainers {
		status := running(c)
		if c.RestartPolicy == nil {
			status.Started = new(false)
			status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: now, FinishedAt: now}}
		}
		pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, status)
	}
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, running(c))
	}
	if n.options.IP != nil {
		pod.Status.PodIP = n.options.IP(pod)
		pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
	}
	return pod
}

// IsHollow reports whether a node has no kubelet.
func IsHollow(node corev1.Node) bool {
	_, hollow := node.Labels[hollowKey]
	return hollow
}
