package reconcile_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/controller/internal/act"
	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/inplace"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/controller/internal/reloader"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// tolerated is what a failure may cost others.
const tolerated = 5 * time.Second

// failure is what goes wrong for others. A new resource that workloads share adds a row.
type failure struct {
	observe   func(*testing.T, *contract, *observe.Options) // what is watched, and how that fails from the start
	reconcile func(*contract, *reconcile.Options)
	begin     func(*contract) // when everything has a baseline
	restart   bool            // another replica leads after begin
	nudged    bool            // the pod of the other workload has to be nudged as soon
}

// TestAFailureCostsOthersNothing is the contract: whatever goes wrong for others, a workload in another namespace is rolled within
// the settle time and five seconds of an edit. Observer, queue and loop are the real ones.
func TestAFailureCostsOthersNothing(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]failure{
		"nothing fails": {},
		"a kind that is served and cannot be listed": {observe: unlistable},
		"a kind of source whose watch stays broken":  {observe: breakableWatch("secrets"), begin: (*contract).breakWatch},
		"200 workloads behind a 30 s admission time-out": {begin: func(h *contract) {
			h.others(200, nil)
			h.failWrites(30*time.Second, "failed calling webhook: context deadline exceeded")
			h.editTheirs()
		}},
		"200 workloads whose pods are listed, which takes 30 s": {
			reconcile: func(_ *contract, o *reconcile.Options) {
				o.Pods = func(ctx context.Context, _ workload.View) ([]decide.PodStart, error) {
					return nil, cmp.Or(pass(ctx, 30*time.Second), errors.New("no answer"))
				}
			},
			begin: func(h *contract) {
				h.others(200, nil)
				h.set(func() { h.asks = true })
				h.editTheirs()
			},
		},
		"a webhook that is down": {begin: func(h *contract) {
			h.others(200, nil)
			h.failWrites(15*time.Second, "calling the webhook: no answer")
			h.editTheirs()
		}},
		"a receiver of alerts that takes none": {
			reconcile: func(h *contract, o *reconcile.Options) {
				alerter, err := alert.New(alert.Options{Sink: alert.JSON, URL: "http://example.com/", Log: o.Log, Registerer: o.Registerer})
				if err != nil {
					h.Fatal(err)
				}
				o.Alert = alerter.Send // nothing takes messages from its queue
			},
			begin: func(h *contract) { h.others(200, nil); h.editTheirs() },
		},
		"a receiver of alerts that is down, after others have filled its queue": {
			reconcile: func(h *contract, o *reconcile.Options) {
				alerter, err := alert.New(alert.Options{Sink: alert.JSON, URL: nobody, Log: o.Log, Registerer: o.Registerer})
				if err != nil {
					h.Fatal(err)
				}
				h.background(nil, alerter.Run)
				o.Alert = alerter.Send
			},
			begin: func(h *contract) {
				h.others(200, nil)
				for i := range 6 { // 1,200 messages
					h.apply("theirs", strconv.Itoa(i+1))
					time.Sleep(2 * settle)
				}
			},
		},
		"a receiver of the webhook that is down": {
			reconcile: func(h *contract, o *reconcile.Options) {
				poster, err := alert.NewPoster(nobody, "")
				if err != nil {
					h.Fatal(err)
				}
				o.Writer = delegating{h, &act.Delegate{Post: poster.Post}}
			},
			begin: func(h *contract) { h.others(200, nil); h.editTheirs() },
		},
		"evictions that budgets refuse, and few slots": {
			reconcile: func(_ *contract, o *reconcile.Options) {
				o.InPlace, o.Rules.Evict, o.Limits.Total = failedReloads{}, true, 2
			},
			begin: func(h *contract) {
				h.others(50, reloadedLive)
				h.failWrites(0, "Cannot evict pod as it would violate the pod's disruption budget.")
				h.editTheirs()
			},
		},
		"evictions that budgets refuse late": {
			reconcile: func(_ *contract, o *reconcile.Options) { o.InPlace, o.Rules.Evict = failedReloads{}, true },
			begin: func(h *contract) {
				h.others(200, reloadedLive)
				h.failWrites(8*time.Second, "Cannot evict pod as it would violate the pod's disruption budget.")
				h.editTheirs()
			},
		},
		"nudges that are refused late": {
			reconcile: slowNudges, nudged: true,
			begin: func(h *contract) {
				h.others(200, reloadedLive)
				h.failWrites(9*time.Second, "denied by a policy")
				h.editTheirs()
			},
		},
		"workloads that never become ready, at a change of leader": {
			reconcile: func(_ *contract, o *reconcile.Options) { o.Limits.Total = 5 },
			begin:     func(h *contract) { h.others(20, func(d *appsv1.Deployment) { d.Status = appsv1.DeploymentStatus{} }) },
			restart:   true,
		},
		"rollouts that are refused at once": {begin: func(h *contract) {
			h.others(200, nil)
			h.failWrites(0, "denied by a policy")
			h.editTheirs()
		}},
		"rollouts that wait for few slots, with writes that are refused late": {
			reconcile: func(_ *contract, o *reconcile.Options) { o.Limits.Total = 4 },
			begin: func(h *contract) {
				h.others(50, nil)
				h.failWrites(30*time.Second, "context deadline exceeded")
				h.editTheirs()
			},
		},
		"leaders that come and go before all have a baseline": {
			reconcile: func(_ *contract, o *reconcile.Options) { o.BaselineRate = 20 },
			begin: func(h *contract) {
				h.stop()
				h.others(500, nil)
				for range 5 {
					stop := h.lead()
					time.Sleep(2 * time.Second)
					stop()
				}
				h.stop = h.lead()
				time.Sleep(time.Second)
			},
		},
		"pods with a mounted secret that are recreated all the time": {observe: classes, begin: func(h *contract) { h.background(h.recreatePods) }},
		"a clock that is set, with many that wait for a window": {begin: func(h *contract) {
			h.others(500, func(d *appsv1.Deployment) { d.Annotations["inpod.dev/window"] = "03:00-03:01 Europe/Berlin" })
			h.editTheirs()
			time.Sleep(time.Minute)
			h.set(func() { h.clock = 20 * time.Hour })
		}},
		"a source that is edited ten times a second, without pause and back-off": {begin: func(h *contract) {
			h.others(10, func(d *appsv1.Deployment) {
				d.Annotations["inpod.dev/back-off"], d.Annotations["inpod.dev/settle"] = "off", "0s"
				d.Annotations["deployment.reloader.stakater.com/pause-period"] = "0s"
			})
			h.background(func(i int) { h.apply("theirs", strconv.Itoa(i)); time.Sleep(100 * time.Millisecond) })
		}},
		"decisions that panic": {begin: func(h *contract) {
			h.others(200, nil)
			h.set(func() { h.panics = true })
			h.editTheirs()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newContract(t, f).check(f) })
		})
	}
}

// contract is a controller without a network: the API server is a fake, and its own writer.
type contract struct {
	*testing.T

	api      *fake.Clientset
	dynamic  *dynamicfake.FakeDynamicClient
	observer *observe.Observer
	loop     func() *reconcile.Loop // a new replica
	stop     func()                 // of the one that leads
	digester source.Digester

	mu      sync.Mutex
	version int
	rolls   map[string][]time.Time // by namespace
	slow    time.Duration          // what writes of others take
	refused error                  // what comes of them
	clock   time.Duration          // how far it was set
	panics  bool
	asks    bool // decisions on others depend on their pods
	broken  bool // no watch of the breakable resource can be opened
	watches []watch.Interface

	nudges *inplace.NudgeQueue                                  // nil for none
	around func(ctx context.Context, run func(context.Context)) // what leads beside the loop; nil for nothing
	nudged []time.Time                                          // when the pod of ours was
}

func newContract(t *testing.T, f failure) *contract {
	t.Helper()
	digester, err := source.NewDigester(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	h := &contract{T: t, api: fake.NewSimpleClientset(), digester: digester, rolls: map[string][]time.Time{}}
	h.dynamic = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		workload.Rollout().Resource: "RolloutList", classStatus: "SecretProviderClassPodStatusList", class: "SecretProviderClassList",
	})
	queue := reconcile.NewQueue(reconcile.QueueOptions{Settle: settle, SettleMax: settleMax})
	watched := observe.Options{
		Client: h.api, Dynamic: h.dynamic, Keys: annotation.DefaultKeys(), Kinds: workload.Kinds(), Log: slog.New(slog.DiscardHandler),
		Sources: []source.Kind{source.ConfigMap, source.Secret}, Enqueue: queue.Enqueue,
	}
	if f.observe != nil {
		f.observe(t, h, &watched)
	}
	for _, namespace := range []string{"ours", "theirs"} {
		h.apply(namespace, "0")
	}
	h.create("ours", "web", nil)
	if h.observer, err = observe.New(watched); err != nil {
		t.Fatal(err)
	}
	h.loop = func() *reconcile.Loop {
		registry := prometheus.NewRegistry()
		options := reconcile.Options{
			Cache: h.observer, Sources: h.observer, Writer: h, Kinds: watched.Kinds, Digester: digester, Rules: decide.Options{OnCreate: true, OnDelete: true},
			Decide: h.decide, Queue: queue, Keys: watched.Keys, Workers: 8, BaselineRate: 1000, Grace: grace,
			Limits: reconcile.Limits{Timeout: 10 * time.Minute}, Emit: func(*corev1.ObjectReference, string, string, string) {},
			Log: watched.Log, Registerer: registry, Compat: reloader.New(registry, false),
		}
		if f.reconcile != nil {
			f.reconcile(h, &options)
		}
		return reconcile.New(options)
	}
	return h
}

// check runs the failure, and edits the source of the other workload a few times.
func (h *contract) check(f failure) {
	begin := time.Now()
	h.background(nil, h.observer.Run)
	if !h.observer.WaitForSync(h.Context()) {
		h.Fatal("not in sync")
	}
	if took := time.Since(begin); took > 16*time.Second {
		h.Errorf("the start took %s", took)
	}
	h.stop = h.lead()
	h.Cleanup(func() { h.stop() })
	time.Sleep(time.Minute)
	if f.begin != nil {
		f.begin(h)
	}
	if f.restart {
		h.stop()
		h.stop = h.lead()
	}
	for i := range 4 {
		time.Sleep(13 * time.Second)
		edited := time.Now()
		h.apply("ours", strconv.Itoa(i+1))
		if f.nudged { // as the observer does for pods with the sidecar
			h.nudges.Add(workload.Key{Kind: "Deployment", Namespace: "ours", Name: "web"}, source.Ref{Kind: source.ConfigMap, Namespace: "ours", Name: "conf"})
		}
		time.Sleep(settle + tolerated)
		h.mu.Lock()
		rolled, nudged := h.rolls["ours"], h.nudged
		h.mu.Unlock()
		if f.nudged && (len(nudged) != i+1 || nudged[i].Sub(edited) > tolerated) {
			h.Fatalf("edit %d: %d nudges within %s of it, want %d", i, len(nudged), tolerated, i+1)
		}
		if len(rolled) != i+1 || rolled[i].Sub(edited) > settle+tolerated {
			h.Fatalf("edit %d: %d rollouts within %s of it, want %d", i, len(rolled), settle+tolerated, i+1)
		}
	}
}

// lead has a replica lead until stop is called.
func (h *contract) lead() (stop func()) {
	ctx, cancel := context.WithCancel(h.Context())
	loop := h.loop()
	var running sync.WaitGroup
	running.Go(func() {
		if h.around != nil {
			h.around(ctx, loop.Run)
		} else {
			loop.Run(ctx)
		}
	})
	return sync.OnceFunc(func() { cancel(); running.Wait() })
}

// background repeats f, and runs what else is given, until the test ends.
func (h *contract) background(f func(int), others ...func(context.Context)) {
	ctx, cancel := context.WithCancel(h.Context())
	var running sync.WaitGroup
	if f != nil {
		others = append(others, func(ctx context.Context) {
			for i := 1; ctx.Err() == nil; i++ {
				f(i)
			}
		})
	}
	for _, other := range others {
		running.Go(func() { other(ctx) })
	}
	h.Cleanup(func() { cancel(); running.Wait() })
}

func (h *contract) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// stamp gives an object what an API server gives it; h.mu is held.
func (h *contract) stamp(object metav1.Object, manager, fields string) uint64 {
	h.version++
	object.SetResourceVersion(strconv.Itoa(h.version))
	entry := metav1.ManagedFieldsEntry{Manager: manager, Time: new(metav1.Now()), FieldsV1: metav1.NewFieldsV1(fields)}
	var entries []metav1.ManagedFieldsEntry
	for _, other := range object.GetManagedFields() {
		if other.Manager != manager {
			entries = append(entries, other)
		}
	}
	object.SetManagedFields(append(entries, entry))
	return uint64(h.version)
}

// apply writes the ConfigMap "conf" of a namespace.
func (h *contract) apply(namespace, value string) {
	h.mu.Lock()
	object := in(namespace, objtest.ConfigMap("conf", "k", value))
	h.stamp(object, "kubectl", "{}")
	resource := corev1.SchemeGroupVersion.WithResource("configmaps")
	err := h.api.Tracker().Update(resource, object, namespace)
	if apierrors.IsNotFound(err) {
		err = h.api.Tracker().Create(resource, object, namespace)
	}
	h.mu.Unlock()
	if err != nil {
		h.Fatal(err)
	}
}

var deploymentResource = appsv1.SchemeGroupVersion.WithResource("deployments")

// create makes a Deployment that uses the ConfigMap of its namespace and is complete.
func (h *contract) create(namespace, name string, change func(*appsv1.Deployment)) {
	object := objtest.Deployment(name, objtest.Annotation("reloader.stakater.com/auto", "true"), objtest.EnvFrom(objtest.CM("conf")))
	object.SetNamespace(namespace)
	object.Status = appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
	if change != nil {
		change(object)
	}
	h.mu.Lock()
	h.stamp(object, "kubectl", "{}")
	err := h.api.Tracker().Create(deploymentResource, object, namespace)
	h.mu.Unlock()
	if err != nil {
		h.Fatal(err)
	}
	time.Sleep(time.Millisecond) // a fake watch has a bounded channel
}

// others makes so many workloads in the other namespace, and has them get a baseline.
func (h *contract) others(n int, change func(*appsv1.Deployment)) {
	for i := range n {
		h.create("theirs", fmt.Sprintf("web-%d", i), change)
	}
	time.Sleep(10 * time.Second)
}

func (h *contract) editTheirs() {
	h.apply("theirs", "1")
	time.Sleep(2 * settle)
}

func (h *contract) failWrites(slow time.Duration, why string) {
	h.set(func() { h.slow, h.refused = slow, errors.New(why) })
}

func (h *contract) decide(input decide.Input) decide.Decision {
	h.mu.Lock()
	clock, panics, asks := h.clock, h.panics, h.asks
	h.mu.Unlock()
	if asks && input.Workload.Key.Namespace == "theirs" && input.Pods == nil {
		return decide.Decision{Action: decide.None, Reason: decide.TemplateRolling, AskPods: true}
	}
	if panics && input.Workload.Key.Namespace == "theirs" {
		panic("a fault")
	}
	input.Now = input.Now.Add(clock)
	return decide.Decide(input)
}

// Rollout implements [reconcile.Writer], as do the methods below.
func (h *contract) Rollout(ctx context.Context, view workload.View, d decide.Decision, _ time.Time) (uint64, error) {
	return h.write(ctx, view, `{"f:spec":{}}`, func(object *appsv1.Deployment) error {
		h.rolls[view.Key.Namespace] = append(h.rolls[view.Key.Namespace], time.Now())
		container := &object.Spec.Template.Spec.Containers[0]
		container.Env = nil
		for _, hash := range d.ConfigHashes {
			container.Env = append(container.Env, corev1.EnvVar{Name: hash.Variable, Value: hash.Hash})
		}
		return h.record(object, d.Baseline)
	})
}

func (h *contract) Record(ctx context.Context, view workload.View, baseline source.Baseline) (uint64, error) {
	return h.write(ctx, view, `{"f:metadata":{}}`, func(object *appsv1.Deployment) error { return h.record(object, baseline) })
}

func (h *contract) RecordNotified(context.Context, workload.View, string, string) (uint64, error) {
	return 0, errors.ErrUnsupported
}

func (h *contract) Resume(context.Context, workload.View) (uint64, error) {
	return 0, errors.ErrUnsupported
}

func (h *contract) Evict(ctx context.Context, _ workload.View, _ decide.FailedPod) error {
	h.mu.Lock()
	takes, refused := h.slow, h.refused
	h.mu.Unlock()
	return cmp.Or(pass(ctx, takes), error(apierrors.NewTooManyRequests(fmt.Sprint(refused), 0)))
}

func (h *contract) Recreate(context.Context, workload.View, decide.Decision) (bool, error) {
	return false, errors.ErrUnsupported
}

func (h *contract) record(object *appsv1.Deployment, baseline source.Baseline) error {
	text, err := h.digester.Encode(baseline)
	object.Annotations = with(object.Annotations, annotation.Baseline, text)
	return err
}

func (h *contract) write(ctx context.Context, view workload.View, fields string, change func(*appsv1.Deployment) error) (uint64, error) {
	h.mu.Lock()
	takes, refused := time.Millisecond, h.refused
	if view.Key.Namespace == "theirs" {
		takes += h.slow
	} else {
		refused = nil
	}
	h.mu.Unlock()
	if err := pass(ctx, takes); err != nil {
		return 0, err
	}
	if refused != nil {
		return 0, refused
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	found, err := h.api.Tracker().Get(deploymentResource, view.Key.Namespace, view.Key.Name)
	if err != nil {
		return 0, err
	}
	object, ok := found.DeepCopyObject().(*appsv1.Deployment)
	if !ok {
		return 0, fmt.Errorf("a %T", found)
	}
	if err := change(object); err != nil {
		return 0, err
	}
	version := h.stamp(object, annotation.FieldManager, fields)
	return version, h.api.Tracker().Update(deploymentResource, object, view.Key.Namespace)
}

// nobody is an address that refuses connections.
const nobody = "http://127.0.0.1:1/"

// delegating asks a webhook to roll the workloads of others.
type delegating struct {
	*contract

	to *act.Delegate
}

func (d delegating) Rollout(ctx context.Context, view workload.View, decision decide.Decision, now time.Time) (uint64, error) {
	if view.Key.Namespace == "theirs" {
		return d.to.Rollout(ctx, view, decision, now)
	}
	return d.contract.Rollout(ctx, view, decision, now)
}

// reloadedLive has a workload mount its ConfigMap, and its pods evicted where they fail.
func reloadedLive(d *appsv1.Deployment) {
	mounts := objtest.Deployment(d.Name, objtest.Mount(objtest.CM("conf")))
	d.Spec = mounts.Spec
	d.Annotations["inpod.dev/on-failure"] = "evict"
}

// failedReloads are reloads of the workloads of others that fail in one pod.
type failedReloads struct{}

func (failedReloads) State(view workload.View, _ bool, _ string) decide.InPlace {
	if view.Key.Namespace != "theirs" {
		return decide.InPlace{}
	}
	return decide.InPlace{
		Sidecar: true, Verdict: decide.Failed, Pod: "pod", Message: "no answer", Failing: 1, Failed: []decide.FailedPod{{Name: "pod", UID: "uid"}},
	}
}

func (failedReloads) StartReload(workload.Key, string, []source.SourceState, []decide.Cause, time.Time) {
}
func (failedReloads) CancelReload(workload.Key)       {}
func (failedReloads) Evicted(workload.Key, types.UID) {}

// slowNudges has reloads in the pods, whose nudges take as long as writes and are refused as they are.
func slowNudges(h *contract, o *reconcile.Options) {
	h.nudges = inplace.NewNudgeQueue()
	reloader := inplace.New(inplace.Options{
		Cache: podsOf{h.observer},
		Ask: func(context.Context, observe.Pod, inplace.Question) (sidecarapi.Response, error) {
			return sidecarapi.Response{}, errors.New("no answer")
		},
		Nudge: func(ctx context.Context, pod observe.Pod, _ string) error {
			h.mu.Lock()
			slow, refused := h.slow, h.refused
			if pod.Namespace == "ours" {
				h.nudged, slow, refused = append(h.nudged, time.Now()), 0, nil
			}
			h.mu.Unlock()
			return cmp.Or(pass(ctx, slow), refused)
		},
		Nudges: h.nudges, NudgeText: func(workload.Key, source.Ref) (string, bool) { return "early", true },
		Enqueue:  func(workload.Key) {},
		Deadline: 2 * time.Minute, Settle: settle, NudgeRate: 50, Log: o.Log, Registerer: o.Registerer,
	})
	o.InPlace, h.around = reloader, reloader.Lead
}

// podsOf has five pods of each workload, which mount its ConfigMap.
type podsOf struct{ *observe.Observer }

func (p podsOf) Pods(key workload.Key) []observe.Pod {
	most := 5
	if key.Namespace == "ours" {
		most = 1
	}
	var pods []observe.Pod
	for i := range most {
		name := fmt.Sprintf("%s-%d", key.Name, i)
		pods = append(pods, observe.Pod{
			Namespace: key.Namespace, Name: name, UID: types.UID(key.Namespace + name), Workload: key, Address: "10.0.0.1", Running: true, Ready: true,
			Mounts: []observe.Mount{{Ref: source.Ref{Kind: source.ConfigMap, Namespace: key.Namespace, Name: "conf"}, Path: "/etc/conf"}},
		})
	}
	return pods
}

// breakableWatch has a resource watched until it is broken.
func breakableWatch(resource string) func(*testing.T, *contract, *observe.Options) {
	return func(_ *testing.T, h *contract, _ *observe.Options) {
		h.api.PrependWatchReactor(resource, func(action clienttesting.Action) (bool, watch.Interface, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.broken {
				return true, nil, apierrors.NewInternalError(errors.New("no"))
			}
			w, err := h.api.Tracker().Watch(action.GetResource(), action.GetNamespace())
			h.watches = append(h.watches, w)
			return true, w, err
		})
	}
}

// breakWatch ends such watches, and none can be opened any more.
func (h *contract) breakWatch() {
	h.mu.Lock()
	h.broken = true
	watches := h.watches
	h.mu.Unlock()
	for _, w := range watches {
		w.Stop()
	}
}

// unlistable has a kind served that cannot be listed.
func unlistable(_ *testing.T, h *contract, o *observe.Options) {
	o.Kinds = o.Kinds.With(workload.Rollout())
	h.api.Resources = []*metav1.APIResourceList{{GroupVersion: "argoproj.io/v1alpha1", APIResources: []metav1.APIResource{
		{Name: "rollouts", Kind: "Rollout", Namespaced: true, Verbs: []string{"list", "watch", "patch"}},
	}}}
	down := apierrors.NewInternalError(errors.New("conversion webhook failed: connection refused"))
	h.dynamic.PrependReactor("list", "rollouts", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, down })
	h.dynamic.PrependWatchReactor("rollouts", func(clienttesting.Action) (bool, watch.Interface, error) { return true, nil, down })
}

var (
	classGroup  = schema.GroupVersion{Group: "secrets-store.csi.x-k8s.io", Version: "v1"}
	class       = classGroup.WithResource("secretproviderclasses")
	classStatus = classGroup.WithResource("secretproviderclasspodstatuses")
)

// classes has SecretProviderClasses watched.
func classes(_ *testing.T, h *contract, o *observe.Options) {
	o.Sources = append(o.Sources, source.SecretProviderClass)
	h.api.Resources = []*metav1.APIResourceList{{GroupVersion: classGroup.String(), APIResources: []metav1.APIResource{
		{Name: class.Resource, Kind: "SecretProviderClass", Namespaced: true, Verbs: []string{"list", "watch", "patch"}},
		{Name: classStatus.Resource, Kind: "SecretProviderClassPodStatus", Namespaced: true, Verbs: []string{"list", "watch", "patch"}},
	}}}
}

// recreatePods has the driver write the status of a pod that comes back under its name.
func (h *contract) recreatePods(i int) {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": classGroup.String(), "kind": "SecretProviderClassPodStatus",
		"status": map[string]any{
			"secretProviderClassName": "vault", "podName": "web-0", "targetPath": fmt.Sprintf("/pods/%d", i),
			"objects": []any{map[string]any{"id": "password", "version": strconv.Itoa(i)}},
		},
	}}
	u.SetNamespace("theirs")
	u.SetName("web-0-theirs-vault")
	u.SetUID(types.UID("status"))
	u.SetGeneration(int64(i))
	h.mu.Lock()
	h.stamp(u, "driver", "{}")
	err := h.dynamic.Tracker().Update(classStatus, u, "theirs")
	if apierrors.IsNotFound(err) {
		err = h.dynamic.Tracker().Create(classStatus, u, "theirs")
	}
	h.mu.Unlock()
	if err != nil && !strings.Contains(err.Error(), "closed") {
		h.Error(err)
	}
	time.Sleep(100 * time.Millisecond)
}
