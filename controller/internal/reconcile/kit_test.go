package reconcile_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/controller/internal/reloader"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

const (
	settle    = 2 * time.Second
	settleMax = 10 * time.Second
	grace     = 3 * time.Second
)

// fakeCluster is a cluster as the loop sees it: it is the loop's Cache and its Writer. What is written appears in the
// cache after the lag, as through a watch.
type fakeCluster struct {
	t        *testing.T
	loop     *reconcile.Loop
	queue    *reconcile.Queue
	digester source.Digester
	log      *bytes.Buffer // read it when the loop has stopped

	registry *prometheus.Registry
	start    time.Time

	mu        sync.Mutex
	version   uint64
	workloads map[workload.Key]observe.Workload
	sources   map[source.Ref]*source.Snapshot
	writes    []written
	evictions []string // the pods that were evicted
	refuses   error    // what each eviction comes to
	// evictionTries counts all.
	evictionTries int
	events        []string
	tries         map[string]int // writes by workload, with those that were refused
	lag           time.Duration
	unsteady      time.Duration                    // not 0 while a watch is away
	takes         time.Duration                    // until a write is done
	slow          func(workload.Key) time.Duration // what a write takes longer; nil for nothing
	answers       time.Duration                    // from then until its answer is here
	rolls         map[string]time.Duration         // by name: how long a rollout takes, negative for one that is stuck
	refuse        func(workload.Key) error         // nil lets every write through
	onCommit      func(workload.Key, written)
	decide        func(decide.Input) decide.Decision
	mistakes      []observe.Mistake
	// started is when the pods of a workload were made, and lists counts how often they were listed.
	started map[workload.Key]time.Time
	lists   int
	// cut has the times of pods cut to seconds, as the API server does.
	cut bool
}

// written is one write.
type written struct {
	at      time.Duration // since the cluster was made
	name    string
	rollout bool
	reason  decide.Reason
	text    string // the baseline
	took    time.Duration
	// pausedAt is the time that a rollout writes onto the workload.
	pausedAt string
}

func (w written) String() string {
	kind := "recorded"
	if w.rollout {
		kind = "rolled"
	}
	return kind + " " + w.name
}

// kinds has every row there is, and one of a name that is taken.
func kinds() workload.Table {
	taken := workload.FromJSON("StatefulSet", schema.GroupVersionResource{Group: "apps.kruise.io", Version: "v1beta1", Resource: "statefulsets"}, "spec", "template")
	return workload.Kinds().With(workload.JobKind()).With(workload.Rollout()).With(workload.DeploymentConfig()).With(taken)
}

// newFakeCluster makes a cluster and its loop, which does not run yet.
func newFakeCluster(t *testing.T, change ...func(*reconcile.Options)) *fakeCluster {
	t.Helper()
	digester, err := source.NewDigester(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	w := &fakeCluster{
		t: t, digester: digester, log: &bytes.Buffer{}, registry: prometheus.NewRegistry(),
		start: time.Now(), version: 1, workloads: map[workload.Key]observe.Workload{}, sources: map[source.Ref]*source.Snapshot{},
		tries: map[string]int{}, decide: decide.Decide, started: map[workload.Key]time.Time{},
	}
	w.loop, w.queue = w.newLoop(change...)
	return w
}

// restart replaces the loop, as a restart does.
func (w *fakeCluster) restart(change ...func(*reconcile.Options)) *fakeCluster {
	w.registry = prometheus.NewRegistry()
	loop, queue := w.newLoop(change...)
	w.set(func() { w.loop, w.queue = loop, queue })
	return w
}

func (w *fakeCluster) newLoop(change ...func(*reconcile.Options)) (*reconcile.Loop, *reconcile.Queue) {
	options := reconcile.Options{
		Cache: w, Sources: w, Writer: w, Kinds: kinds(), Digester: w.digester, Rules: decide.Options{OnCreate: true, OnDelete: true},
		Decide: func(in decide.Input) decide.Decision {
			w.mu.Lock()
			f := w.decide
			w.mu.Unlock()
			return f(in)
		},
		Pods: w.podStarts, Queue: reconcile.NewQueue(reconcile.QueueOptions{Settle: settle, SettleMax: settleMax}), Keys: annotation.DefaultKeys(), Workers: 4, BaselineRate: 1000, Grace: grace, Limits: reconcile.Limits{Timeout: 10 * time.Minute},
		Emit: func(about *corev1.ObjectReference, kind, reason, message string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, fmt.Sprintf("%s %s %s: %s", kind, reason, about.Name, message))
		},
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Registerer: w.registry, Compat: reloader.New(w.registry, false),
	}
	for _, f := range change {
		f(&options)
	}
	return reconcile.New(options), options.Queue
}

// lead lets the loop run until stop is called.
func (w *fakeCluster) lead() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.loop.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	w.t.Cleanup(stop)
	return stop
}

// apply creates or changes a workload.
func (w *fakeCluster) apply(objects ...metav1.Object) {
	w.t.Helper()
	for _, object := range objects {
		switch typed := object.(type) {
		case *corev1.ConfigMap:
			w.put(source.OfConfigMap(typed), typed.Annotations)
		case *corev1.Secret:
			w.put(source.OfSecret(typed), typed.Annotations)
		default:
			w.applyWorkload(object)
		}
	}
}

func (w *fakeCluster) applyWorkload(object metav1.Object) {
	w.t.Helper()
	name := strings.TrimPrefix(fmt.Sprintf("%T", object), "*v1.")
	if raw, ok := object.(*unstructured.Unstructured); ok {
		name = raw.GetKind()
		if kind, _ := kinds().Of(name); kind.Path == nil {
			name += "." + raw.GroupVersionKind().Group
		}
	}
	kind, ok := kinds().Of(name)
	if !ok {
		w.t.Fatalf("no kind %s", name)
	}
	view, err := kind.View(object, annotation.DefaultKeys().OnWorkload)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.version++
	view.Version, view.Rolling, view.Progress = w.version, false, workload.Complete // objects of tests have no status
	if before, ok := w.workloads[view.Key]; ok {
		for _, own := range []string{annotation.Baseline, annotation.Notified, annotation.DefaultKeys().PausedAt} {
			if text, has := before.View.Annotations[own]; has && view.Annotations[own] == "" {
				view.Annotations = with(view.Annotations, own, text)
			}
		}
		view.TemplateTime, view.TemplateChanged, view.BaselineAt = before.View.TemplateTime, before.View.TemplateChanged, before.View.BaselineAt
		if before.View.Template != view.Template {
			w.started[view.Key] = time.Now()
			view.TemplateTime = time.Now()
			view.TemplateChanged = source.Moment{Version: w.version, Time: time.Now()}
		}
	}
	if _, has := w.started[view.Key]; !has {
		w.started[view.Key] = time.Now()
	}
	next := observe.Workload{View: view, AskedAt: w.workloads[view.Key].AskedAt}
	next.Policy, next.Problems = annotation.Read(annotation.DefaultKeys(), view.Annotations, view.TemplateAnnotations)
	w.workloads[view.Key] = next
	w.mu.Unlock()
	w.wake(view.Key, observe.WorkloadChanged)
}

func (w *fakeCluster) put(snapshot source.Snapshot, annotations map[string]string) {
	snapshot.Ignore, snapshot.Match = annotation.DefaultKeys().ReadSourceAnnotations(annotations)
	w.mu.Lock()
	w.version++
	snapshot.Changed = source.Moment{Version: w.version, Time: time.Now()}
	if before := w.sources[snapshot.Ref]; before != nil {
		snapshot.Edited = !maps.Equal(before.Keys, snapshot.Keys) || before.Edited
	}
	w.sources[snapshot.Ref] = &snapshot
	w.mu.Unlock()
	w.notify(snapshot.Ref)
}

// remove deletes a source, or a workload by its key.
func (w *fakeCluster) remove(ref source.Ref) {
	w.mu.Lock()
	delete(w.sources, ref)
	w.mu.Unlock()
	w.notify(ref)
}

func (w *fakeCluster) removeWorkload(name string) {
	key := deployment(name)
	w.mu.Lock()
	delete(w.workloads, key)
	w.mu.Unlock()
	w.wake(key, observe.WorkloadChanged)
}

// wake notifies the loop that there is now.
func (w *fakeCluster) wake(key workload.Key, change observe.Change) {
	w.mu.Lock()
	queue := w.queue
	w.mu.Unlock()
	queue.Enqueue(key, change)
}

// notify enqueues the workloads of a source, as the index does.
func (w *fakeCluster) notify(ref source.Ref) {
	w.mu.Lock()
	var keys []workload.Key
	for key, other := range w.workloads {
		if slices.Contains(other.Refs(), ref) {
			keys = append(keys, key)
		}
	}
	w.mu.Unlock()
	for _, key := range keys {
		w.wake(key, observe.SourceChanged)
	}
}

// Workload implements [reconcile.Cache], as do the three methods below.
func (w *fakeCluster) Workload(key workload.Key) (observe.Workload, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	found, ok := w.workloads[key]
	return found, ok
}

func (w *fakeCluster) Workloads() []workload.Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	var keys []workload.Key
	for key := range w.workloads {
		keys = append(keys, key)
	}
	return keys
}

func (w *fakeCluster) Source(ref source.Ref) *source.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sources[ref]
}

// Unseen implements [reconcile.Cache].
func (w *fakeCluster) Unseen(source.Kind) bool { return false }

// StaleFor implements [reconcile.Cache].
func (w *fakeCluster) StaleFor(observe.Workload) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unsteady
}

// Sources implements [reconcile.Cache].
func (w *fakeCluster) Sources(kind source.Kind, namespace string) []source.Ref {
	w.mu.Lock()
	defer w.mu.Unlock()
	var refs []source.Ref
	for ref := range w.sources {
		if ref.Kind == kind && ref.Namespace == namespace {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, source.Ref.Compare)
	return refs
}

// podStarts lists the pods of a workload.
func (w *fakeCluster) podStarts(_ context.Context, view workload.View) ([]decide.PodStart, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lists++
	at := w.started[view.Key]
	if w.cut {
		at = at.Truncate(time.Second)
	}
	return []decide.PodStart{{Created: at, Running: at, Container: "app"}}, nil
}

// Mistakes implements [reconcile.Sources].
func (w *fakeCluster) Mistakes() []observe.Mistake {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mistakes)
}

// WorkloadsUsing implements [reconcile.Sources].
func (w *fakeCluster) WorkloadsUsing(ref source.Ref) []workload.Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	var keys []workload.Key
	for key, other := range w.workloads {
		if slices.Contains(other.Refs(), ref) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Carries implements [reconcile.Sources].
func (w *fakeCluster) Carries(namespace, key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, one := range w.workloads {
		if _, has := one.View.Annotations[key]; has && at.Namespace == namespace {
			return true
		}
	}
	return false
}

// Rollout implements [reconcile.Writer].
func (w *fakeCluster) Rollout(ctx context.Context, view workload.View, d decide.Decision, now time.Time) (uint64, error) {
	done := written{rollout: true, reason: d.Reason}
	if d.Pause {
		done.pausedAt = now.UTC().Format(annotation.PausedAtLayout)
	}
	return w.write(ctx, view.Key, done, d.Baseline, d.ConfigHashes)
}

// Record implements [reconcile.Writer].
func (w *fakeCluster) Record(ctx context.Context, view workload.View, baseline source.Baseline) (uint64, error) {
	return w.write(ctx, view.Key, written{}, baseline, nil)
}

// RecordNotified implements [reconcile.Writer].
func (w *fakeCluster) RecordNotified(_ context.Context, view workload.View, key, content string) (uint64, error) {
	return w.touch(view.Key, func(v *workload.View) { v.Annotations = with(v.Annotations, key, content) }), nil
}

// Resume implements [reconcile.Writer].
func (w *fakeCluster) Resume(_ context.Context, view workload.View) (uint64, error) {
	return w.touch(view.Key, func(v *workload.View) {
		v.Paused = false
		v.Annotations = with(v.Annotations, annotation.DefaultKeys().PausedAt, "")
	}), nil
}

// Recreate implements [reconcile.Writer].
func (w *fakeCluster) Recreate(context.Context, workload.View, decide.Decision) (bool, error) {
	return true, nil
}

// Evict implements [reconcile.Writer].
func (w *fakeCluster) Evict(_ context.Context, _ workload.View, pod decide.FailedPod) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.evictionTries++
	if w.refuses != nil {
		return w.refuses
	}
	w.evictions = append(w.evictions, pod.Name)
	return nil
}

// touch changes a workload in the cache at once.
func (w *fakeCluster) touch(key workload.Key, change func(*workload.View)) uint64 {
	w.mu.Lock()
	w.version++
	next := w.workloads[key]
	next.View.Version = w.version
	change(&next.View)
	next.Policy, next.Problems = annotation.Read(annotation.DefaultKeys(), next.View.Annotations, next.View.TemplateAnnotations)
	w.workloads[key] = next
	version := w.version
	w.mu.Unlock()
	w.wake(key, observe.WorkloadChanged)
	return version
}

func (w *fakeCluster) write(ctx context.Context, key workload.Key, done written, baseline source.Baseline, hashes []decide.ConfigHash) (uint64, error) {
	text, err := w.digester.Encode(baseline)
	if err != nil {
		return 0, err
	}
	w.mu.Lock()
	takes, answers, lag := w.takes, w.answers, w.lag
	if w.slow != nil {
		takes += w.slow(key)
	}
	w.mu.Unlock()
	done.took = takes
	if err := pass(ctx, takes); err != nil {
		return 0, err
	}
	version, err := w.commit(key, done, text)
	if err != nil {
		return 0, err
	}
	time.AfterFunc(lag, func() { w.deliver(key, version, text, hashes, done.pausedAt) })
	return version, pass(ctx, answers)
}

// commit accepts or refuses a write.
func (w *fakeCluster) commit(key workload.Key, done written, text string) (version uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries[key.Name]++
	if w.refuse != nil {
		if err := w.refuse(key); err != nil {
			return 0, err
		}
	}
	done.at, done.name, done.text = time.Since(w.start), key.Name, text
	w.writes = append(w.writes, done)
	if done.rollout && w.rolls[key.Name] >= 0 {
		w.started[key] = time.Now()
	}
	if w.onCommit != nil {
		w.onCommit(key, done)
	}
	w.version++
	return w.version, nil
}

// pass lets time pass.
func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deliver brings a write into the cache, as the watch does.
func (w *fakeCluster) deliver(key workload.Key, version uint64, text string, hashes []decide.ConfigHash, pausedAt string) {
	w.mu.Lock()
	next, ok := w.workloads[key]
	if !ok || next.View.Version > version {
		w.mu.Unlock()
		return
	}
	before := next.View
	next.View.Version = version
	next.View.Annotations = with(next.View.Annotations, annotation.Baseline, text)
	next.View.RestoredBy, next.View.OwnHashes, next.View.BaselineAt = "", nil, time.Now().Truncate(time.Second)
	if pausedAt != "" {
		next.View.Annotations = with(next.View.Annotations, annotation.DefaultKeys().PausedAt, pausedAt)
	}
	next.Policy, next.Problems = annotation.Read(annotation.DefaultKeys(), next.View.Annotations, next.View.TemplateAnnotations)
	rolls := w.rolls[key.Name]
	if len(hashes) > 0 {
		next.View.Rolling = rolls != 0
		if rolls != 0 {
			next.View.Progress = workload.NoneUpdated
		}
		next.View.Template = sha256.Sum256([]byte(fmt.Sprint(hashes)))
		next.View.TemplateChanged = source.Moment{Version: version, Time: time.Now()}
		next.AskedAt = time.Now()
		for _, hash := range hashes {
			next.View.Variables = with(next.View.Variables, hash.Container+"/"+hash.Variable, hash.Hash)
		}
	}
	w.workloads[key] = next
	w.mu.Unlock()
	if !before.Same(next.View) {
		w.wake(key, observe.WorkloadChanged)
	}
	if len(hashes) > 0 && rolls > 0 {
		time.AfterFunc(rolls, func() { w.touch(key, func(v *workload.View) { v.Rolling, v.Progress = false, workload.Complete }) })
	}
}

// with returns a copy of a map with one more entry; "" removes it.
func with(m map[string]string, key, value string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, m)
	all[key] = value
	if value == "" {
		delete(all, key)
	}
	return all
}

// wrote returns the writes so far.
func (w *fakeCluster) wrote() []written {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.writes)
}

// done returns what was written so far, such as "rolled web", in order.
func (w *fakeCluster) done() []string {
	var all []string
	for _, one := range w.wrote() {
		all = append(all, one.String())
	}
	return all
}

// rolled returns when a workload was rolled.
func (w *fakeCluster) rolled(name string) []time.Duration {
	var at []time.Duration
	for _, one := range w.wrote() {
		if one.rollout && one.name == name {
			at = append(at, one.at)
		}
	}
	return at
}

// tried returns how often it was tried to write a workload.
func (w *fakeCluster) tried(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tries[name]
}

// reported returns the events so far.
func (w *fakeCluster) reported() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

// set changes how the cluster behaves.
func (w *fakeCluster) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// metric is the value of a counter or gauge without labels.
func (w *fakeCluster) metric(name string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue() + family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	w.t.Fatalf("no metric %s", name)
	return 0
}

func deployment(name string) workload.Key {
	return workload.Key{Kind: "Deployment", Namespace: objtest.Namespace, Name: name}
}

func configMap(name string) source.Ref {
	return source.Ref{Kind: source.ConfigMap, Namespace: objtest.Namespace, Name: name}
}

// in moves an object into another namespace.
func in[O metav1.Object](namespace string, object O) O {
	object.SetNamespace(namespace)
	return object
}

// auto is a Deployment that follows ConfigMaps which it has in its environment.
func auto(name string, configMaps ...string) metav1.Object {
	parts := []objtest.Part{objtest.Annotation("reloader.stakater.com/auto", "true")}
	for _, cm := range configMaps {
		parts = append(parts, objtest.EnvFrom(objtest.CM(cm)))
	}
	return objtest.Deployment(name, parts...)
}
