package decide_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/window"
	"inpod.dev/inpod/internal/workload"
)

// status is what the workload's status and pods say in a test.
type status struct {
	progress workload.Progress
	rolling  bool
	pods     []time.Duration // before now
	restored string
	owns     []string
	change   func(*workload.View)
}

// says makes the cluster say it from now on.
func (w *fakeCluster) says(s status) {
	w.inputs = func(in *decide.Input) {
		v := &in.Workload
		v.Progress, v.Rolling, v.RestoredBy, v.OwnHashes, v.Revision = s.progress, s.rolling, s.restored, s.owns, "4"
		if s.change != nil {
			s.change(v)
		}
		if s.pods == nil {
			return
		}
		in.Pods = &decide.Pods{}
		for _, age := range s.pods {
			in.Pods.Starts = append(in.Pods.Starts, decide.PodStart{Created: now.Add(-age), Running: now.Add(-age)})
		}
	}
}

// at is a source that changed so long before now.
func at(age time.Duration, version uint64, object any) *source.Snapshot {
	w := &fakeCluster{sources: map[source.Ref]*source.Snapshot{}}
	var snapshot source.Snapshot
	switch typed := object.(type) {
	case *source.Snapshot:
		snapshot = *typed
	default:
		w.TB = noHelper{}
		w.set(object)
		for _, s := range w.sources {
			snapshot = *s
		}
	}
	snapshot.Changed, snapshot.Edited = source.Moment{Version: version, Time: now.Add(-age)}, true
	return &snapshot
}

// noHelper is a [testing.TB] for what does not fail.
type noHelper struct{ testing.TB }

func (noHelper) Helper() {}

func (w *fakeCluster) want(action decide.Action, reason decide.Reason) decide.Decision {
	w.Helper()
	d := w.decide()
	if d.Action != action || d.Reason != reason {
		w.Errorf("%s (%s): %q, want %s (%s)", d.Action, d.Reason, d.Message, action, reason)
	}
	return d
}

// asked is a Deployment whose ConfigMap was edited, and whose rollout inpod has asked for a minute ago.
func asked(tb testing.TB) *fakeCluster {
	tb.Helper()
	w := withBaseline(tb, following(obj.EnvFrom(obj.CM("app"))), at(time.Hour, 10, cm("app", "MODE", "1")))
	w.says(status{progress: workload.Complete})
	w.set(at(time.Minute, 20, cm("app", "MODE", "2")))
	w.apply(w.want(decide.Rollout, decide.FrozenChanged))
	return w
}

func TestAskedForIsNotTakenUp(t *testing.T) {
	t.Parallel()
	w := asked(t)
	b, _ := w.digester.Decode(obj.Namespace, w.baseline)
	before := w.digester.Record(w.gather().Uses[0])
	if b.Asked == nil || !b.Asked.Records[cmRef("app")].Equal(before) || b.Records[cmRef("app")].Equal(before) {
		t.Errorf("the baseline takes what was asked for as taken up: %s", w.baseline)
	}
	for _, progress := range []workload.Progress{workload.NoneUpdated, workload.PartlyUpdated, workload.Complete} {
		w.says(status{progress: progress})
		w.wantNothingLeft() // completion costs no write
	}
	w.set(at(0, 30, cm("app", "MODE", "3")))
	d := w.want(decide.Rollout, decide.FrozenChanged)
	if !d.Baseline.Records[cmRef("app")].Equal(before) {
		t.Error("completion is not written with the next write")
	}
	w.says(status{progress: workload.PartlyUpdated})
	if d := w.want(decide.Rollout, decide.FrozenChanged); d.Baseline.Records[cmRef("app")].Equal(before) {
		t.Error("it is written before it is complete")
	}
}

// A paused Deployment, whose source is edited and put back before it is resumed: no pod ever had anything else.
func TestAPausedDeploymentIsKnownByItsStatus(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, following(obj.EnvFrom(obj.CM("app"))), at(time.Hour, 10, cm("app", "MODE", "1")))
	paused := status{progress: workload.NoneUpdated, change: func(v *workload.View) { v.Paused = true }}
	w.says(paused)
	w.set(at(2*time.Minute, 20, cm("app", "MODE", "2")))
	first := w.digester.Record(w.gather().Uses[0])
	w.apply(w.want(decide.Rollout, decide.FrozenChanged))
	w.wantNothingLeft()
	w.set(at(time.Minute, 30, cm("app", "MODE", "1")))
	w.apply(w.want(decide.Rollout, decide.FrozenChanged)) // the template asks for what was edited, and pods may get it
	if b, _ := w.digester.Decode(obj.Namespace, w.baseline); b.Asked == nil || b.Records[cmRef("app")].Equal(first) {
		t.Errorf("the first edit counts as taken up: %s", w.baseline)
	}
	w.wantNothingLeft()
	w.says(status{progress: workload.PartlyUpdated, rolling: true})
	w.wantNothingLeft()
	w.says(status{progress: workload.Complete})
	w.wantNothingLeft()
	w.set(at(0, 40, cm("app", "MODE", "3")))
	if d := w.want(decide.Rollout, decide.FrozenChanged); d.Baseline.Asked == nil {
		t.Error("the next change is not asked for")
	}
}

// More sources than the annotation holds: what was asked for is done, and the record is what suffers.
func TestABaselineThatIsTooLargeHoldsUpNoRollout(t *testing.T) {
	t.Parallel()
	parts := following()
	var objects []any
	for i := range 300 {
		name := fmt.Sprintf("%03d-%s", i, strings.Repeat("x", 180))
		parts = append(parts, obj.EnvFrom(obj.CM(name)))
		objects = append(objects, cm(name, "k", "1"))
	}
	w := newFakeCluster(t, parts, objects...)
	d := w.decide()
	w.apply(d)
	if !d.Baseline.Partial || d.TooLarge == "" || len(w.baseline) > source.Budget {
		t.Fatalf("partial %t, %d bytes, said %q", d.Baseline.Partial, len(w.baseline), d.TooLarge)
	}
	w.set(cm("000-"+strings.Repeat("x", 180), "k", "2"))
	d = w.want(decide.Rollout, decide.FrozenChanged)
	w.apply(d)
	if d.TooLarge == "" || len(w.baseline) > source.Budget {
		t.Errorf("%d bytes, said %q", len(w.baseline), d.TooLarge)
	}
	if d := w.decide(); d.Action != decide.None || d.Record {
		t.Errorf("applied, and decided again: %s (%s), record %t", d.Action, d.Reason, d.Record)
	}
}

// kubectl rollout undo puts the annotations back, too; an operator does not.
func TestATemplateThatIsPutBack(t *testing.T) {
	t.Parallel()
	const old, young = 2 * time.Hour, 10 * time.Second
	for _, by := range []string{"kubectl rollout undo", "an operator"} {
		for name, c := range map[string]struct {
			status status
			reason decide.Reason
			record bool
		}{
			"its rollout is under way": {status{progress: workload.NoneUpdated, rolling: true}, decide.TemplateRolling, false},
			"old pods are there":       {status{progress: workload.Complete, pods: []time.Duration{old, young}}, decide.RolloutUndone, by == "kubectl rollout undo"},
			"all pods are new":         {status{progress: workload.Complete, pods: []time.Duration{young, young}}, decide.UndoWithoutContent, true},
			"there are no pods":        {status{progress: workload.Complete, pods: []time.Duration{}}, decide.UndoWithoutContent, true},
		} {
			t.Run(by+", "+name, func(t *testing.T) {
				t.Parallel()
				first := withBaseline(t, following(obj.EnvFrom(obj.CM("app"))), at(time.Hour, 10, cm("app", "MODE", "1")))
				w := asked(t)
				w.deployment = first.deployment
				if by == "kubectl rollout undo" {
					w.baseline, c.status.restored = first.baseline, "kubectl-rollout"
				}
				w.input.Workload.TemplateChanged = source.Moment{Version: 30, Time: now}
				unlisted := c.status
				unlisted.pods = nil
				w.says(unlisted)
				if d := w.decide(); d.AskPods == c.status.rolling || d.Record || d.Action != decide.None {
					t.Errorf("before the pods were listed: %+v", d)
				}
				w.says(c.status)
				d := w.want(decide.None, c.reason)
				if c.reason != decide.TemplateRolling && (!strings.Contains(d.Message, "revision 4") || !strings.Contains(d.Message, "ConfigMap app changed (MODE)")) {
					t.Errorf("message %q", d.Message)
				}
				if d.Record != c.record {
					t.Errorf("record %t", d.Record)
				}
				w.apply(d)
				if c.record {
					c.status.restored = "" // inpod has written it, where it was put back
				}
				w.says(c.status)
				if again := w.decide(); again.Record || again.Action != decide.None {
					t.Errorf("again: %s (%s), record %t", again.Action, again.Reason, again.Record)
				}
				if c.reason == decide.RolloutUndone {
					w.set(at(0, 40, cm("app", "MODE", "3")))
					w.want(decide.Rollout, decide.FrozenChanged)
				}
			})
		}
	}
}

// A user replaces the template as a whole, and with it what inpod has written. That is no undo.
func TestAnotherTemplateIsNoUndo(t *testing.T) {
	t.Parallel()
	w := asked(t)
	w.edit(following(obj.EnvFrom(obj.CM("app")), obj.Var("VERSION", "2"))...)
	w.says(status{progress: workload.NoneUpdated, rolling: true})
	w.want(decide.None, decide.Unchanged)
	w.says(status{progress: workload.Complete, pods: []time.Duration{time.Second}})
	d := w.want(decide.None, decide.CarriedByTemplate)
	if d.Message != "" || !d.Record {
		t.Errorf("record %t, message %q", d.Record, d.Message)
	}
	w.apply(d)
	w.wantNothingLeft()
}

// The annotation is in Git: a tool puts it back and leaves the template alone.
func TestABaselineThatIsPutBack(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, following(obj.EnvFrom(obj.CM("app"))), at(time.Hour, 10, cm("app", "MODE", "1")))
	exported := w.baseline
	w.set(at(time.Minute, 20, cm("app", "MODE", "2")))
	w.apply(w.want(decide.Rollout, decide.FrozenChanged))
	w.baseline = exported
	w.says(status{progress: workload.Complete, restored: "argocd", owns: []string{"STAKATER_APP_CONFIGMAP"}})
	if d := w.want(decide.None, decide.BaselineRestored); d.Record {
		t.Error("it is written again")
	}
	w.set(at(0, 30, cm("app", "MODE", "3")))
	w.want(decide.Rollout, decide.FrozenChanged)
}

// The strategy "annotations" has room for one source in the template.
func TestABaselineThatIsPutBackWithTheStrategyAnnotations(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, following(obj.EnvFrom(obj.CM("a")), obj.EnvFrom(obj.CM("b"))), at(time.Hour, 10, cm("a", "k", "1")), at(time.Hour, 11, cm("b", "k", "1")))
	w.set(at(3*time.Minute, 20, cm("a", "k", "2")), at(time.Minute, 30, cm("b", "k", "2")))
	w.input.Settle = 10 * time.Second
	hashes := w.want(decide.Rollout, decide.FrozenChanged).ConfigHashes
	w.says(status{progress: workload.Complete, restored: "argocd", owns: []string{annotation.LastReloadedFrom}, change: func(v *workload.View) {
		v.TemplateTime = now.Add(-time.Hour)
		v.TemplateAnnotations = map[string]string{annotation.LastReloadedFrom: fmt.Sprintf(`{"hash":%q,"observedAt":%d}`, hashes[1].Hash, now.Add(-50*time.Second).Unix())}
	}})
	if d := w.want(decide.None, decide.BaselineRestored); d.Record {
		t.Error("it is written again")
	}
	w.set(at(55*time.Second, 40, cm("a", "k", "3"))) // it had not settled
	w.want(decide.Rollout, decide.FrozenChanged)
}

// The source is edited after the undo, before the baseline says that there was one.
func TestAChangeAfterAnUndoIsRolled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edited, template time.Duration
		status           status
		action           decide.Action
		reason           decide.Reason
	}{
		"before the undo, which leaves no time in the template": {time.Minute, time.Hour, status{pods: []time.Duration{time.Hour}}, decide.None, decide.RolloutUndone},
		"before the undo":       {time.Minute, 30 * time.Second, status{pods: []time.Duration{time.Hour}}, decide.None, decide.RolloutUndone},
		"in the same second":    {30 * time.Second, 30 * time.Second, status{pods: []time.Duration{time.Hour}}, decide.None, decide.RolloutUndone},
		"after the undo":        {20 * time.Second, time.Hour, status{pods: []time.Duration{time.Hour}}, decide.Rollout, decide.FrozenChanged},
		"while it rolls":        {20 * time.Second, 30 * time.Second, status{rolling: true}, decide.Rollout, decide.FrozenChanged},
		"before, while it does": {time.Minute, 30 * time.Second, status{rolling: true}, decide.None, decide.TemplateRolling},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := withBaseline(t, following(obj.EnvFrom(obj.CM("app"))), at(time.Hour, 10, cm("app", "MODE", "1")))
			c.status.progress, c.status.restored = workload.Complete, "kubectl-rollout"
			c.status.change = func(v *workload.View) {
				v.TemplateTime, v.RestoredAt = now.Add(-c.template), now.Add(-30*time.Second)
			}
			w.says(c.status)
			w.set(at(c.edited, 20, cm("app", "MODE", "2")))
			w.want(c.action, c.reason)
		})
	}
}

func TestACopyOfAManifestIsNew(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, following(obj.EnvFrom(obj.CM("app"))), cm("app", "MODE", "1"))
	w.set(cm("app", "MODE", "2"))
	w.deployment.UID = types.UID("another")
	d := w.want(decide.None, decide.BaselineCreated)
	if !d.Record || d.Baseline.UID != "another" {
		t.Errorf("record %t, UID %q", d.Record, d.Baseline.UID)
	}
	w.edit(obj.EnvFrom(obj.CM("app"))) // it follows nothing
	w.deployment.UID = types.UID("another")
	if d := w.want(decide.None, decide.NotFollowed); !d.Record {
		t.Error("what the copy brought along stays")
	}
}

// Whatever it was that kept a source from being followed, and whether this process has seen the template change or not.
func TestAWiderPolicyRollsNothing(t *testing.T) {
	t.Parallel()
	uses := []obj.Part{obj.EnvFrom(obj.CM("a")), obj.EnvFrom(obj.CM("b"))}
	for name, c := range map[string]struct {
		before, after []obj.Part
		ignored       bool
		uses          []obj.Part
	}{
		"a name is added to the list":            {[]obj.Part{obj.Annotation(namedCM, "a")}, []obj.Part{obj.Annotation(namedCM, "a,b")}, false, uses},
		"a list becomes auto":                    {[]obj.Part{obj.Annotation(namedCM, "a")}, []obj.Part{obj.Annotation(auto, "true")}, false, uses},
		"an exclusion is removed":                {[]obj.Part{obj.Annotation(auto, "true"), obj.Annotation(excludeCM, "b")}, []obj.Part{obj.Annotation(auto, "true")}, false, uses},
		"an exclusion from a pattern is removed": {[]obj.Part{obj.Annotation(namedCM, ".*"), obj.Annotation(excludeCM, "b")}, []obj.Part{obj.Annotation(namedCM, ".*")}, false, nil},
		"ignore is removed from a source":        {[]obj.Part{obj.Annotation(auto, "true")}, []obj.Part{obj.Annotation(auto, "true")}, true, uses},
		"ignore is removed from a named source":  {[]obj.Part{obj.Annotation(namedCM, ".*")}, []obj.Part{obj.Annotation(namedCM, ".*")}, true, nil},
	} {
		for _, uptime := range []uint64{0, 10} {
			t.Run(fmt.Sprintf("%s, %d", name, uptime), func(t *testing.T) {
				t.Parallel()
				b := func(ignored bool, content string, version uint64) *source.Snapshot {
					s := at(0, version, cm("b", "k", content))
					s.Ignore, s.Edited = ignored, version > 5
					return s
				}
				w := withBaseline(t, append(c.before, c.uses...), cm("a", "k", "0"), b(c.ignored, "0", 5))
				w.input.Options.OnCreate = true
				w.input.Workload.TemplateChanged = source.Moment{Version: uptime}
				w.apply(w.decide())
				w.set(b(c.ignored, "1", 20))
				w.apply(w.want(decide.None, decide.Unchanged))
				w.edit(append(c.after, c.uses...)...)
				w.set(b(false, "1", 20))
				w.apply(w.want(decide.None, decide.BaselineCreated))
				w.wantNothingLeft()
			})
		}
	}
}

func TestWhatARolloutWaitsFor(t *testing.T) {
	t.Parallel()
	for words, change := range map[string]func(*workload.View){
		"OnDelete: a pod keeps the old content until it is deleted": func(v *workload.View) { v.OnDelete = true },
		"paused: pods keep the old content until it is resumed":     func(v *workload.View) { v.Paused = true },
		"Rolling update started":                                    nil,
	} {
		w := withBaseline(t, following(obj.EnvFrom(obj.CM("app"))), cm("app", "MODE", "1"))
		w.says(status{change: change})
		w.set(cm("app", "MODE", "2"))
		if d := w.want(decide.Rollout, decide.FrozenChanged); !strings.Contains(d.Message, words) {
			t.Errorf("message %q, want %q", d.Message, words)
		}
	}
}

func TestAWorkloadWithoutPodsIsNotRolled(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, following(obj.EnvFrom(obj.CM("app"))), cm("app", "MODE", "1"))
	w.says(status{progress: workload.Complete, change: func(v *workload.View) { v.ScaledToZero = true }})
	w.set(cm("app", "MODE", "2"))
	w.apply(w.want(decide.None, decide.NoPods))
	w.says(status{progress: workload.Complete})
	w.wantNothingLeft()
}

// immutable is an immutable source.
func immutable(object any) *source.Snapshot {
	s := at(0, 0, object)
	s.Immutable = true
	return s
}

func TestAnImmutableSourceThatIsRecreated(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string][]obj.Part{
		"in the environment":       following(obj.EnvFrom(obj.CM("app"))),
		"in a volume, and sidecar": injected(obj.Mount(obj.CM("app"))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := withBaseline(t, parts, immutable(cm("app", "MODE", "1")))
			w.input.InPlace = decide.InPlace{Sidecar: true}
			w.remove(cmRef("app"))
			w.apply(w.decide())
			w.set(immutable(cm("app", "MODE", "2")))
			d := w.want(decide.None, decide.ImmutableRecreated)
			if !d.Warning || !strings.Contains(d.Message, "immutable") || !strings.Contains(d.Message, "ConfigMap app") || !strings.Contains(d.Message, "new name") {
				t.Errorf("warning %t: %q", d.Warning, d.Message)
			}
			w.apply(d)
			w.apply(w.want(decide.None, decide.ImmutableRecreated))
			w.says(status{progress: workload.Complete, change: func(v *workload.View) { v.ScaledToZero = true }})
			w.apply(w.want(decide.None, decide.NoPods))
			w.says(status{progress: workload.Complete})
			w.wantNothingLeft()
		})
	}
}

// Case: the application reads the rest through the API.
func TestANamedSourceCountsWithEveryKey(t *testing.T) {
	t.Parallel()
	named := obj.Annotation(namedCM, "app")
	for name, c := range map[string]struct {
		parts  []obj.Part
		edit   string
		action decide.Action
	}{
		"no reference":                  {[]obj.Part{named}, "routes", decide.Rollout},
		"another key in env":            {[]obj.Part{named, obj.Env(obj.CM("app"), "LEVEL")}, "routes", decide.Rollout},
		"the key in env":                {[]obj.Part{named, obj.Env(obj.CM("app"), "LEVEL")}, "LEVEL", decide.Rollout},
		"another key in a volume":       {[]obj.Part{named, obj.TemplateAnnotation(inject, "enabled"), obj.Mount(obj.CM("app").Items("LEVEL"))}, "routes", decide.Rollout},
		"the key in a volume":           {[]obj.Part{named, obj.TemplateAnnotation(inject, "enabled"), obj.Mount(obj.CM("app").Items("LEVEL"))}, "LEVEL", decide.Reload},
		"every key in a volume":         {[]obj.Part{named, obj.TemplateAnnotation(inject, "enabled"), obj.Mount(obj.CM("app"))}, "routes", decide.Reload},
		"not named, another key in env": {following(obj.Env(obj.CM("app"), "LEVEL")), "routes", decide.None},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := map[string]string{"LEVEL": "info", "routes": "1"}
			w := withBaseline(t, c.parts, cm("app", "LEVEL", "info", "routes", "1"))
			w.input.InPlace = decide.InPlace{Sidecar: true}
			before[c.edit] = "2"
			w.set(cm("app", "LEVEL", before["LEVEL"], "routes", before["routes"]))
			if d := w.decide(); d.Action != c.action {
				t.Errorf("%s (%s), want %s", d.Action, d.Reason, c.action)
			}
		})
	}
}

func TestAnEditThatIsTakenBackWhileItWaits(t *testing.T) {
	t.Parallel()
	closed, err := window.Parse("Sat 02:00-04:00")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		pods   []time.Duration
		first  time.Duration // how long before the last edit the first one of those was that settled with it
		reason decide.Reason
	}{
		"a pod started in between":                      {[]time.Duration{5 * time.Hour, 90 * time.Minute}, 0, decide.WindowClosed},
		"every pod is from before":                      {[]time.Duration{5 * time.Hour, 4 * time.Hour}, 0, decide.Unchanged},
		"every pod is from before or after":             {[]time.Duration{5 * time.Hour, time.Minute}, 0, decide.Unchanged},
		"a pod started while the edit settled":          {[]time.Duration{5 * time.Hour, 2*time.Hour + time.Second}, 2 * time.Second, decide.WindowClosed},
		"every pod is from before the first of several": {[]time.Duration{5 * time.Hour, 2*time.Hour + 3*time.Second}, 2 * time.Second, decide.Unchanged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := withBaseline(t, following(obj.EnvFrom(obj.CM("app"))), at(3*time.Hour, 10, cm("app", "MODE", "good")))
			w.input.Options.Windows = closed
			w.set(at(2*time.Hour, 20, cm("app", "MODE", "bad")))
			if c.first > 0 {
				w.input.EditedSince = now.Add(-2*time.Hour - c.first)
			}
			w.apply(w.want(decide.None, decide.WindowClosed))
			w.input.EditedSince = time.Time{}
			w.wantNothingLeft()
			w.set(at(time.Hour, 30, cm("app", "MODE", "good")))
			if d := w.decide(); !d.AskPods || d.Record || d.Action != decide.None {
				t.Errorf("before the pods were listed: %+v", d)
			}
			w.says(status{pods: c.pods})
			w.apply(w.want(decide.None, c.reason))
			w.wantNothingLeft()
			if c.reason == decide.Unchanged {
				w.says(status{}) // what they said is recorded
				w.wantNothingLeft()
				return
			}
			w.input.Options.Windows = window.Windows{}
			w.apply(w.want(decide.Rollout, decide.FrozenChanged))
			w.says(status{pods: []time.Duration{0}})
			w.wantNothingLeft()
		})
	}
}

// A list of patterns, under which sources come and go.
func TestChurnDoesNotGrowTheBaseline(t *testing.T) {
	t.Parallel()
	for _, onCreate := range []bool{false, true} {
		w := newFakeCluster(t, []obj.Part{obj.Annotation(namedCM, "run-.*"), obj.EnvFrom(obj.CM("app"))}, cm("app", "k", "v"), cm("run-0", "k", "v"))
		w.input.Options.OnCreate, w.input.Options.OnDelete = onCreate, onCreate
		w.apply(w.decide())
		for batch := range 10 {
			var gone []source.Ref
			for i := range 50 {
				name := fmt.Sprintf("run-%010d", batch*50+i+1)
				w.set(cm(name, "input.yaml", "v"))
				gone = append(gone, cmRef(name))
			}
			w.apply(w.decide())
			w.remove(gone...)
			w.apply(w.decide())
			if len(w.baseline) > source.Budget {
				t.Fatalf("%d bytes", len(w.baseline))
			}
		}
		w.apply(w.decide())
		if b, _ := w.digester.Decode(obj.Namespace, w.baseline); len(b.Records) > 30 {
			t.Errorf("on create %t: %d records of what is gone", onCreate, len(b.Records))
		}
		w.wantNothingLeft()
	}
}

// This process has not seen the template change: times and pods say what came later.
func TestATemplateThatWasEditedUnseen(t *testing.T) {
	t.Parallel()
	const old, young = time.Hour, 10 * time.Second
	edited := func(ago time.Duration) func(*workload.View) {
		return func(v *workload.View) { v.TemplateTime = now.Add(-ago) }
	}
	for name, c := range map[string]struct {
		status status
		action decide.Action
		reason decide.Reason
	}{
		"before the source":           {status{change: edited(2 * time.Minute)}, decide.Rollout, decide.FrozenChanged},
		"its rollout is under way":    {status{change: edited(30 * time.Second), rolling: true}, decide.None, decide.TemplateRolling},
		"all pods are new":            {status{change: edited(30 * time.Second), pods: []time.Duration{young}}, decide.None, decide.CarriedByTemplate},
		"a pod is older than content": {status{change: edited(30 * time.Second), pods: []time.Duration{young, old}}, decide.Rollout, decide.FrozenChanged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := withBaseline(t, following(obj.EnvFrom(obj.CM("app"))), at(time.Hour, 10, cm("app", "MODE", "1")))
			w.edit(following(obj.EnvFrom(obj.CM("app")), obj.Var("VERSION", "2"))...)
			w.set(at(time.Minute, 20, cm("app", "MODE", "2")))
			w.says(c.status)
			d := w.want(c.action, c.reason)
			if d.AskPods || d.Record == (c.reason == decide.TemplateRolling) {
				t.Errorf("lists pods %t, records %t", d.AskPods, d.Record)
			}
		})
	}
}

// So many changes wait that the annotation has no room for the times since when they do.
func TestABaselineThatIsTooLargeStaysBoundedWhileChangesWait(t *testing.T) {
	t.Parallel()
	parts := following()
	var before, after []any
	for i := range 300 {
		name := fmt.Sprintf("%03d-%s", i, strings.Repeat("x", 60))
		parts = append(parts, obj.EnvFrom(obj.CM(name)))
		before, after = append(before, cm(name, "k", "1")), append(after, at(time.Minute, 20, cm(name, "k", "2")))
	}
	w := withBaseline(t, parts, before...)
	known := len(w.decide().Baseline.Records)
	w.set(after...)
	w.input.Options.NotifyOnly = true
	d := w.want(decide.None, decide.NotifyOnly)
	w.apply(d)
	if len(w.baseline) > source.Budget || len(d.Baseline.Records) != known {
		t.Errorf("%d bytes, %d of %d sources", len(w.baseline), len(d.Baseline.Records), known)
	}
	if again := w.decide(); again.Record || len(again.Causes) != known {
		t.Errorf("applied, and decided again: %s, record %t, %d of %d changes", again.Reason, again.Record, len(again.Causes), known)
	}
}
