package decide_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

const (
	auto      = "reloader.stakater.com/auto"
	namedCM   = "configmap.reloader.stakater.com/reload"
	excludeCM = "configmaps.exclude.reloader.stakater.com/reload"
	search    = "reloader.stakater.com/search"
	match     = "reloader.stakater.com/match"
	ignore    = "reloader.stakater.com/ignore"
	onFailure = "inpod.dev/on-failure"
	inject    = "inpod.dev/inject"
)

// now is when every decision is made.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// following is what a workload carries that follows everything that it references.
func following(parts ...obj.Part) []obj.Part {
	return append([]obj.Part{obj.Annotation(auto, "true")}, parts...)
}

// injected is the same with a sidecar.
func injected(parts ...obj.Part) []obj.Part {
	return append(following(obj.TemplateAnnotation(inject, "enabled")), parts...)
}

// fakeCluster is a Deployment "web" and sources: what a decision is made of. Tests change it, decide, and apply the decision.
type fakeCluster struct {
	testing.TB
	deployment *appsv1.Deployment
	sources    map[source.Ref]*source.Snapshot
	baseline   string // the annotation
	digester   source.Digester
	// input is what else a decision depends on; the rest of it is filled in.
	input decide.Input
	// inputs is called with each input, to modify what [fakeCluster.gather] does not know.
	inputs func(*decide.Input)
}

func newFakeCluster(tb testing.TB, parts []obj.Part, objects ...any) *fakeCluster {
	tb.Helper()
	digester, err := source.NewDigester([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		tb.Fatal(err)
	}
	w := &fakeCluster{TB: tb, digester: digester, sources: map[source.Ref]*source.Snapshot{}, input: decide.Input{Now: now, Digester: digester}}
	w.edit(parts...)
	w.set(objects...)
	return w
}

// withBaseline is a new cluster whose content the pods have.
func withBaseline(tb testing.TB, parts []obj.Part, objects ...any) *fakeCluster {
	tb.Helper()
	w := newFakeCluster(tb, parts, objects...)
	w.apply(w.decide())
	if w.baseline == "" {
		tb.Fatal("no baseline was created")
	}
	return w
}

// edit replaces the Deployment, as its user does.
func (w *fakeCluster) edit(parts ...obj.Part) { w.deployment = obj.Deployment("web", parts...) }

// set makes or replaces sources: objects of objtest, or a reference to a SecretProviderClass.
func (w *fakeCluster) set(objects ...any) {
	w.Helper()
	keys := annotation.DefaultKeys()
	for _, object := range objects {
		var s source.Snapshot
		switch typed := object.(type) {
		case *corev1.ConfigMap:
			s = source.OfConfigMap(typed)
			s.Ignore, s.Match = keys.ReadSourceAnnotations(typed.Annotations)
		case *corev1.Secret:
			s = source.OfSecret(typed)
			s.Ignore, s.Match = keys.ReadSourceAnnotations(typed.Annotations)
		case *source.Snapshot:
			s = *typed
		default:
			w.Fatalf("%T is no source", object)
		}
		w.sources[s.Ref] = &s
	}
}

func (w *fakeCluster) remove(refs ...source.Ref) {
	for _, ref := range refs {
		delete(w.sources, ref)
	}
}

// gather collects the input as the loop of the controller does.
func (w *fakeCluster) gather() decide.Input {
	w.Helper()
	keys := annotation.DefaultKeys()
	kind, _ := workload.KindOf("Deployment")
	view, err := kind.View(w.deployment, keys.OnWorkload)
	if err != nil {
		w.Fatal(err)
	}
	in := w.input
	in.Workload = view
	in.Workload.TemplateChanged = w.input.Workload.TemplateChanged
	in.Policy, _ = annotation.Read(keys, view.Annotations, view.TemplateAnnotations)
	read, fault := w.digester.Read(obj.Namespace, w.baseline)
	in.Baseline, in.OtherKey = read, fault == source.OtherKey
	in.HasBaseline = fault == source.Readable || in.OtherKey
	for _, scope := range decide.Wanted(view, in.Policy, in.Baseline, w.list) {
		snapshot := w.sources[scope.Ref]
		in.Uses = append(in.Uses, source.SourceState{Usages: scope, Snapshot: snapshot, Unseen: in.Options.Unseen(scope.Ref.Kind, snapshot)})
	}
	if w.inputs != nil {
		w.inputs(&in)
	}
	return in
}

func (w *fakeCluster) list(kind source.Kind) []source.Ref {
	var refs []source.Ref
	for ref := range w.sources {
		if ref.Kind == kind {
			refs = append(refs, ref)
		}
	}
	return refs
}

func (w *fakeCluster) decide() decide.Decision {
	w.Helper()
	return decide.Decide(w.gather())
}

// apply does to the Deployment what a decision says.
func (w *fakeCluster) apply(d decide.Decision) {
	w.Helper()
	if d.Record {
		text, err := w.digester.Encode(d.Baseline)
		if err != nil {
			w.Fatal(err)
		}
		w.baseline = text
	}
	if d.Action != decide.Rollout {
		return
	}
	for i := range w.deployment.Spec.Template.Spec.Containers {
		c := &w.deployment.Spec.Template.Spec.Containers[i]
		c.Env = slices.DeleteFunc(c.Env, func(v corev1.EnvVar) bool { return slices.Contains(d.Stale, c.Name+"/"+v.Name) })
		for _, hash := range d.ConfigHashes {
			if hash.Container == c.Name {
				setVariable(c, hash.Variable, hash.Hash)
			}
		}
	}
}

func setVariable(c *corev1.Container, name, value string) {
	for i := range c.Env {
		if c.Env[i].Name == name {
			c.Env[i].Value = value
			return
		}
	}
	c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
}

// variables are the config hashes that the template carries.
func (w *fakeCluster) variables() map[string]string {
	w.Helper()
	return w.gather().Workload.Variables
}

// wantNothingLeft fails unless the cluster is at rest: nothing to do and nothing to write.
func (w *fakeCluster) wantNothingLeft() {
	w.Helper()
	if d := w.decide(); d.Action != decide.None || d.Record {
		w.Errorf("applied, and decided again: %s (%s), record %t: %s", d.Action, d.Reason, d.Record, d.Message)
	}
}

// records says what a baseline has, or has asked for, as "ConfigMap a: k l".
func records(b source.Baseline) []string {
	var lines []string
	all := maps.Clone(b.Records)
	if b.Asked != nil {
		maps.Copy(all, b.Asked.Records)
	}
	for ref, record := range all {
		line := []string{string(ref.Kind), ref.Name + ":"}
		switch {
		case record.Absent:
			line = append(line, "absent")
		case record.Fold != "":
			line = append(line, "folded")
		}
		line = append(line, slices.Sorted(maps.Keys(record.Keys))...)
		lines = append(lines, strings.Join(line, " "))
	}
	slices.Sort(lines)
	return lines
}

func cmRef(name string) source.Ref {
	return source.Ref{Kind: source.ConfigMap, Namespace: obj.Namespace, Name: name}
}

func secRef(name string) source.Ref {
	return source.Ref{Kind: source.Secret, Namespace: obj.Namespace, Name: name}
}

func cm(name string, pairs ...string) *corev1.ConfigMap { return obj.ConfigMap(name, pairs...) }
