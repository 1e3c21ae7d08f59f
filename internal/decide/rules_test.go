package decide_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// ruleCase is a cluster in which everything is taken up, and what happens in it.
type ruleCase struct {
	parts   []obj.Part
	objects []any
	fresh   bool // inpod sees the workload for the first time
	unseen  bool // the sources that are not there may be there, also when the baseline is created
	edit    func(*fakeCluster)

	wantAction  decide.Action // None where it is empty
	wantReason  decide.Reason
	wantMessage string // "" for none
	wantWarning bool
	wantRecord  bool
	wantAfter   time.Duration
	// wantRecords are those of the baseline, where the decision has one.
	wantRecords []string
}

func (tc ruleCase) check(t *testing.T) {
	t.Parallel()
	w := newFakeCluster(t, tc.parts, tc.objects...)
	if !tc.fresh {
		w.input.Options.Filtered = tc.unseen
		w.apply(w.decide())
		w.input.Options.Filtered = false
	}
	if tc.edit != nil {
		tc.edit(w)
	}
	type outcome struct {
		Action  decide.Action
		Reason  decide.Reason
		Message string
		Warning bool
		Record  bool
		After   time.Duration
		Records []string
	}
	d := w.decide()
	if tc.wantAction == "" {
		tc.wantAction = decide.None
	}
	got := outcome{d.Action, d.Reason, d.Message, d.Warning, d.Record, d.After, records(d.Baseline)}
	want := outcome{tc.wantAction, tc.wantReason, tc.wantMessage, tc.wantWarning, tc.wantRecord, tc.wantAfter, tc.wantRecords}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if (len(d.ConfigHashes) > 0) != (d.Action == decide.Rollout) {
		t.Errorf("%s with config hashes %+v", d.Action, d.ConfigHashes)
	}
}

func checkAll(t *testing.T, cases map[string]ruleCase) {
	t.Helper()
	for name, tc := range cases {
		t.Run(name, tc.check)
	}
}

// change is an edit of the ConfigMap "a" that most cases have.
func change(w *fakeCluster) { w.set(cm("a", "k", "2")) }

func frozen() []obj.Part { return following(obj.Env(obj.CM("a"), "k")) }
func live() []obj.Part   { return following(obj.Mount(obj.CM("a"))) }
func one() []any         { return []any{cm("a", "k", "1")} }

func TestRuleDeleting(t *testing.T) {
	t.Parallel()
	checkAll(t, map[string]ruleCase{
		"a workload that goes needs nothing, whatever changed": {
			parts: frozen(), objects: one(), wantReason: decide.Deleting,
			edit: func(w *fakeCluster) { change(w); w.deployment.DeletionTimestamp = new(metav1.NewTime(now)) },
		},
		"it gets no baseline either": {
			parts: frozen(), objects: one(), fresh: true, wantReason: decide.Deleting,
			edit: func(w *fakeCluster) { w.deployment.DeletionTimestamp = new(metav1.NewTime(now)) },
		},
	})
}

func TestRuleNoTemplate(t *testing.T) {
	t.Parallel()
	faulty := func(w *fakeCluster) {
		w.inputs = func(in *decide.Input) { in.Workload.Fault, in.Workload.Usages = "the pod template is a text", nil }
	}
	const reported = "Not followed: the pod template is a text"
	checkAll(t, map[string]ruleCase{
		"all that it uses is asked for": {parts: frozen(), objects: one(), edit: faulty, wantReason: decide.NoTemplate, wantMessage: reported, wantWarning: true},
		"a list asks": {
			parts: []obj.Part{obj.Annotation(namedCM, "a"), obj.EnvFrom(obj.CM("a"))}, objects: one(), edit: faulty,
			wantReason: decide.NoTemplate, wantMessage: reported, wantWarning: true,
		},
		"nothing is asked for": {
			parts: []obj.Part{obj.EnvFrom(obj.CM("a"))}, objects: one(), fresh: true, edit: faulty, wantReason: decide.NotFollowed,
		},
		"it is opted out": {
			parts: following(obj.Annotation(ignore, "true"), obj.EnvFrom(obj.CM("a"))), objects: one(), fresh: true, edit: faulty, wantReason: decide.NotFollowed,
		},
	})
}

func TestRuleNotFollowed(t *testing.T) {
	t.Parallel()
	uses := obj.Env(obj.CM("a"), "k")
	checkAll(t, map[string]ruleCase{
		"nothing is said":   {parts: []obj.Part{uses}, objects: one(), fresh: true, wantReason: decide.NotFollowed},
		"no source is used": {parts: following(), fresh: true, wantReason: decide.NotFollowed},
		"a pattern names nothing that exists": {
			parts: []obj.Part{obj.Annotation(namedCM, "x.*")}, objects: one(), fresh: true, wantReason: decide.NotFollowed,
		},
		"the annotation was removed: the baseline is dropped": {
			parts: frozen(), objects: one(), wantReason: decide.NotFollowed, wantRecord: true,
			edit: func(w *fakeCluster) { change(w); w.edit(uses) },
		},
		"opted out": {
			parts: frozen(), objects: one(), wantReason: decide.NotFollowed, wantRecord: true,
			edit: func(w *fakeCluster) { change(w); w.edit(append(frozen(), obj.Annotation(ignore, "true"))...) },
		},
		"the only source is ignored": {
			parts: frozen(), objects: one(), wantReason: decide.NotFollowed, wantRecord: true,
			edit: func(w *fakeCluster) { w.set(obj.Annotated(cm("a", "k", "2"), ignore, "true")) },
		},
		"the only source is excluded": {
			parts: frozen(), objects: one(), wantReason: decide.NotFollowed, wantRecord: true,
			edit: func(w *fakeCluster) { change(w); w.edit(append(frozen(), obj.Annotation(excludeCM, "a"))...) },
		},
	})
}

func TestRuleSourceMissing(t *testing.T) {
	t.Parallel()
	const ending = ". Create it, or set optional on its use"
	two := following(obj.Env(obj.CM("a"), "k"), obj.EnvFrom(obj.Sec("b")))
	// "a" is followed, "u" is used as well and not followed
	beside := []obj.Part{obj.Annotation(namedCM, "a"), obj.Env(obj.CM("a"), "k"), obj.Mount(obj.CM("u").Items("x"))}
	checkAll(t, map[string]ruleCase{
		"a source does not exist, and the others get a baseline": {
			parts: two, objects: one(), fresh: true, wantReason: decide.SourceMissing, wantWarning: true, wantRecord: true,
			wantMessage: "Rollout blocked: new pods need Secret b, which does not exist" + ending, wantRecords: []string{"ConfigMap a: k"},
		},
		"the only source does not exist": {
			parts: frozen(), fresh: true, wantReason: decide.SourceMissing, wantWarning: true,
			wantMessage: "Rollout blocked: new pods need ConfigMap a, which does not exist" + ending,
		},
		"a source is deleted": {
			parts: two, objects: []any{cm("a", "k", "1"), obj.Secret("b", "k", "1")}, wantReason: decide.SourceMissing, wantWarning: true,
			wantMessage: "Rollout blocked: new pods need Secret b, which does not exist" + ending, wantRecords: []string{"ConfigMap a: k", "Secret b: k"},
			edit: func(w *fakeCluster) { w.remove(secRef("b")) },
		},
		"a source is deleted and another one changes: that stays to be done": {
			parts: two, objects: []any{cm("a", "k", "1"), obj.Secret("b", "k", "1")}, wantReason: decide.SourceMissing, wantWarning: true,
			wantMessage: "Rollout blocked: new pods need Secret b, which does not exist" + ending, wantRecords: []string{"ConfigMap a: k", "Secret b: k"},
			edit: func(w *fakeCluster) { change(w); w.remove(secRef("b")) },
		},
		"a key is removed": {
			parts: frozen(), objects: one(), wantReason: decide.SourceMissing, wantWarning: true,
			wantMessage: "Rollout blocked: new pods need k in ConfigMap a" + ending, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { w.set(cm("a", "l", "1")) },
		},
		"a key of items was never there": {
			parts: following(obj.Mount(obj.CM("a").Items("k", "l"))), objects: one(), fresh: true, wantReason: decide.SourceMissing, wantWarning: true, wantRecord: true,
			wantMessage: "Rollout blocked: new pods need l in ConfigMap a" + ending, wantRecords: []string{"ConfigMap a: k l"},
		},
		"a file at a subPath is removed": {
			parts: following(obj.SubPath(obj.CM("a"), "k")), objects: one(), wantReason: decide.SourceMissing, wantWarning: true,
			wantMessage: "Rollout blocked: new pods need k in ConfigMap a" + ending, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { w.set(cm("a")) },
		},
		"a source that is optional may be missing": {
			parts: following(obj.EnvFrom(obj.CM("a").Optional())), fresh: true, wantReason: decide.BaselineCreated, wantRecord: true, wantRecords: []string{"ConfigMap a: absent"},
		},
		"a source that is only named may be missing": {
			parts: []obj.Part{obj.Annotation(namedCM, "a")}, fresh: true, wantReason: decide.BaselineCreated, wantRecord: true, wantRecords: []string{"ConfigMap a: absent"},
		},
		"one that is not followed says nothing as long as nothing is to be done": {
			parts: beside, objects: one(), fresh: true, wantReason: decide.BaselineCreated, wantRecord: true, wantRecords: []string{"ConfigMap a: k"},
		},
		"one that is not followed stops a rollout": {
			parts: beside, objects: one(), wantReason: decide.SourceMissing, wantWarning: true,
			wantMessage: "Rollout blocked: new pods need ConfigMap u, which does not exist" + ending, wantRecords: []string{"ConfigMap a: k"},
			edit: change,
		},
		"a key of one that is not followed stops a rollout": {
			parts: beside, objects: []any{cm("a", "k", "1"), cm("u")}, wantReason: decide.SourceMissing, wantWarning: true,
			wantMessage: "Rollout blocked: new pods need x in ConfigMap u" + ending, wantRecords: []string{"ConfigMap a: k"},
			edit: change,
		},
		"a usage that is new meanwhile is recorded, so that its changes are seen later": {
			parts: following(obj.Env(obj.CM("a"), "k")), objects: one(), wantReason: decide.SourceMissing, wantWarning: true, wantRecord: true,
			wantMessage: "Rollout blocked: new pods need k in ConfigMap a" + ending, wantRecords: []string{"ConfigMap a: k", "ConfigMap c: k"},
			edit: func(w *fakeCluster) {
				w.set(cm("a"), cm("c", "k", "1"))
				w.edit(append(frozen(), obj.EnvFrom(obj.CM("c")))...)
			},
		},
		"a SecretProviderClass that is not known yet is not missing": {
			parts: following(obj.CSI("vault")), fresh: true, wantReason: decide.BaselineCreated,
		},
	})
}

func TestRuleFirstSeen(t *testing.T) {
	t.Parallel()
	checkAll(t, map[string]ruleCase{
		"a workload without a baseline gets a baseline": {
			parts: frozen(), objects: one(), fresh: true, wantReason: decide.BaselineCreated, wantRecord: true, wantRecords: []string{"ConfigMap a: k"},
		},
		"so is one whose baseline cannot be read": {
			parts: frozen(), objects: one(), wantReason: decide.BaselineCreated, wantRecord: true, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { change(w); w.baseline = "made by hand" },
		},
		"a source that is used since an edit": {
			parts: frozen(), objects: []any{cm("a", "k", "1"), cm("b", "k", "1")}, wantReason: decide.BaselineCreated, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k"},
			edit: func(w *fakeCluster) { w.edit(append(frozen(), obj.EnvFrom(obj.CM("b")))...) },
		},
		"a key that is used since an edit": {
			parts: frozen(), objects: []any{cm("a", "k", "1", "l", "1")}, wantReason: decide.BaselineCreated, wantRecord: true, wantRecords: []string{"ConfigMap a: k l"},
			edit: func(w *fakeCluster) { w.edit(append(frozen(), obj.Env(obj.CM("a"), "l"))...) },
		},
		"a source that is followed since it carries the match annotation": {
			parts:      []obj.Part{obj.Annotation(search, "true"), obj.EnvFrom(obj.CM("a")), obj.EnvFrom(obj.CM("b"))},
			objects:    []any{obj.Annotated(cm("a", "k", "1"), match, "true"), cm("b", "k", "1")},
			wantReason: decide.BaselineCreated, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k"},
			edit: func(w *fakeCluster) { w.set(obj.Annotated(cm("b", "k", "2"), match, "true")) },
		},
		"a name that is new in a list": {
			parts: []obj.Part{obj.Annotation(namedCM, "a")}, objects: []any{cm("a", "k", "1"), cm("b", "k", "1")},
			wantReason: decide.BaselineCreated, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k"},
			edit: func(w *fakeCluster) { w.edit(obj.Annotation(namedCM, "a,b")); w.input.Options.OnCreate = true },
		},
		"a usage that is new and a change at once: the change counts, and all is recorded": {
			parts: frozen(), objects: []any{cm("a", "k", "1"), cm("b", "k", "1")},
			wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k"},
			wantMessage: "Rolling update started: ConfigMap a changed (k)",
			edit:        func(w *fakeCluster) { change(w); w.edit(append(frozen(), obj.EnvFrom(obj.CM("b")))...) },
		},
	})
}

func TestRuleUnchanged(t *testing.T) {
	t.Parallel()
	two := following(obj.Env(obj.CM("a"), "k"), obj.EnvFrom(obj.CM("b")))
	both := []any{cm("a", "k", "1"), cm("b", "k", "1")}
	checkAll(t, map[string]ruleCase{
		"nothing happened": {parts: frozen(), objects: one(), wantReason: decide.Unchanged, wantRecords: []string{"ConfigMap a: k"}},
		"a key that nobody uses changed": {
			parts: frozen(), objects: one(), wantReason: decide.Unchanged, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { w.set(cm("a", "k", "1", "unused", "2")) },
		},
		"a source that is not followed changed": {
			parts: []obj.Part{obj.Annotation(namedCM, "a"), obj.EnvFrom(obj.CM("a")), obj.EnvFrom(obj.CM("b"))}, objects: both,
			wantReason: decide.Unchanged, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { w.set(cm("b", "k", "2")) },
		},
		"a change was taken back before anybody looked": {
			parts: frozen(), objects: one(), wantReason: decide.Unchanged, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { change(w); w.set(cm("a", "k", "1")) },
		},
		"a usage is gone: its record is dropped": {
			parts: two, objects: both, wantReason: decide.Unchanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { w.edit(frozen()...); w.set(cm("b", "k", "2")) },
		},
		"a source is ignored from now on: its record is dropped": {
			parts: two, objects: both, wantReason: decide.Unchanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { w.set(obj.Annotated(cm("b", "k", "2"), ignore, "true")) },
		},
		"a list is written in another way": {
			parts: []obj.Part{obj.Annotation(namedCM, "a")}, objects: one(), wantReason: decide.Unchanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { w.edit(obj.Annotation(namedCM, "a,x.*")) },
		},
		"a source was created without what is used, although creations count": {
			parts: following(obj.Env(obj.CM("a").Optional(), "k")), wantReason: decide.Unchanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { w.set(cm("a", "l", "1")); w.input.Options.OnCreate = true },
		},
	})
}

func TestRuleAppearedOrGone(t *testing.T) {
	t.Parallel()
	optional := following(obj.EnvFrom(obj.CM("a").Optional()), obj.Env(obj.CM("b"), "k"))
	b := cm("b", "k", "1")
	onBoth := func(w *fakeCluster) { w.input.Options = decide.Options{OnCreate: true, OnDelete: true} }
	checkAll(t, map[string]ruleCase{
		"a source appeared, and that does not count": {
			parts: optional, objects: []any{b}, wantReason: decide.CreateIgnored, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k"},
			edit: change,
		},
		"a source appeared, and that counts": {
			parts: optional, objects: []any{b}, wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k"},
			wantMessage: "Rolling update started: ConfigMap a was created",
			edit:        func(w *fakeCluster) { change(w); onBoth(w) },
		},
		"a source disappeared, and that does not count: the record stays": {
			parts: optional, objects: []any{cm("a", "k", "1"), b}, wantReason: decide.DeleteIgnored, wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k"},
			edit: func(w *fakeCluster) { w.remove(cmRef("a")) },
		},
		"a source disappeared, and that counts": {
			parts: optional, objects: []any{cm("a", "k", "1"), b}, wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: []string{"ConfigMap a: absent", "ConfigMap b: k"},
			wantMessage: "Rolling update started: ConfigMap a was deleted",
			edit:        func(w *fakeCluster) { w.remove(cmRef("a")); onBoth(w) },
		},
		"it came back as it was": {
			parts: optional, objects: []any{cm("a", "k", "1"), b}, wantReason: decide.Unchanged, wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k"},
			edit: func(w *fakeCluster) { w.remove(cmRef("a")); w.apply(w.decide()); w.set(cm("a", "k", "1")) },
		},
		"it came back with other content": {
			parts: optional, objects: []any{cm("a", "k", "1"), b}, wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k"},
			wantMessage: "Rolling update started: ConfigMap a changed (k)",
			edit:        func(w *fakeCluster) { w.remove(cmRef("a")); w.apply(w.decide()); w.set(cm("a", "k", "2")) },
		},
		"one appeared, one disappeared": {
			parts: following(obj.EnvFrom(obj.CM("a").Optional()), obj.EnvFrom(obj.CM("c").Optional())), objects: []any{cm("a", "k", "1")},
			wantReason: decide.CreateIgnored, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "ConfigMap c: k"},
			edit: func(w *fakeCluster) { w.remove(cmRef("a")); w.set(cm("c", "k", "1")) },
		},
		"one appeared, another one changed": {
			parts: optional, objects: []any{b}, wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k"},
			wantMessage: "Rolling update started: ConfigMap b changed (k)",
			edit:        func(w *fakeCluster) { change(w); w.set(cm("b", "k", "2")) },
		},
		"one disappeared, another one changed: new pods start without it, so that anything in it is a change": {
			parts: optional, objects: []any{cm("a", "k", "1"), b}, wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: []string{"ConfigMap a:", "ConfigMap b: k"},
			wantMessage: "Rolling update started: ConfigMap b changed (k)",
			edit:        func(w *fakeCluster) { w.remove(cmRef("a")); w.set(cm("b", "k", "2")) },
		},
		"a source that a pattern names appeared, and that counts": {
			parts: []obj.Part{obj.Annotation(namedCM, "a.*")}, objects: one(), wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true,
			wantRecords: []string{"ConfigMap a2: k", "ConfigMap a: k"}, wantMessage: "Rolling update started: ConfigMap a2 was created",
			edit: func(w *fakeCluster) { w.set(cm("a2", "k", "1")); onBoth(w) },
		},
		"a source that a pattern names appeared, and that does not count": {
			parts: []obj.Part{obj.Annotation(namedCM, "a.*")}, objects: one(), wantReason: decide.CreateIgnored, wantRecord: true,
			wantRecords: []string{"ConfigMap a2: k", "ConfigMap a: k"},
			edit:        func(w *fakeCluster) { w.set(cm("a2", "k", "1")) },
		},
		"a source that a pattern names disappeared": {
			parts: []obj.Part{obj.Annotation(namedCM, "a.*")}, objects: []any{cm("a", "k", "1"), cm("a2", "k", "1")}, wantReason: decide.DeleteIgnored,
			wantRecords: []string{"ConfigMap a2: k", "ConfigMap a: k"},
			edit:        func(w *fakeCluster) { w.remove(cmRef("a2")) },
		},
		"a source that carried the match annotation disappeared": {
			parts: []obj.Part{obj.Annotation(search, "true"), obj.EnvFrom(obj.CM("a").Optional())}, objects: []any{obj.Annotated(cm("a", "k", "1"), match, "true")},
			wantReason: decide.DeleteIgnored, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { w.remove(cmRef("a")) },
		},
	})
}

func TestRuleTemplateCarries(t *testing.T) {
	t.Parallel()
	two := following(obj.Env(obj.CM("a"), "k"), obj.Env(obj.CM("b"), "k"), obj.EnvFrom(obj.CM("c").Optional()))
	both := []any{cm("a", "k", "1"), cm("b", "k", "1")}
	changedAt := func(w *fakeCluster, ref source.Ref, version uint64) { w.sources[ref].Changed.Version = version }
	edited := func(w *fakeCluster) {
		w.set(cm("a", "k", "2"), cm("b", "k", "2"))
		w.input.Workload.TemplateChanged.Version = 10
		changedAt(w, cmRef("a"), 8)
		changedAt(w, cmRef("b"), 9)
	}
	const rolled = "Rolling update started: ConfigMap a changed (k), ConfigMap b changed (k)"
	const rolledB = "Rolling update started: ConfigMap b changed (k)"
	all := []string{"ConfigMap a: k", "ConfigMap b: k", "ConfigMap c: absent"}
	checkAll(t, map[string]ruleCase{
		"the template was edited after both sources": {parts: two, objects: both, wantReason: decide.CarriedByTemplate, wantRecord: true, wantRecords: all, edit: edited},
		"the template was edited before one of them": {
			parts: two, objects: both, wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: all, wantMessage: rolledB,
			edit: func(w *fakeCluster) { edited(w); changedAt(w, cmRef("b"), 11) },
		},
		"it is not known when one of them changed": {
			parts: two, objects: both, wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: all, wantMessage: rolledB,
			edit: func(w *fakeCluster) { edited(w); changedAt(w, cmRef("b"), 0) },
		},
		"it is not known when the template was edited": {
			parts: two, objects: both, wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: all, wantMessage: rolled,
			edit: func(w *fakeCluster) { edited(w); w.input.Workload.TemplateChanged = source.Moment{} },
		},
		"a source that appeared later does not matter where that does not count": {
			parts: two, objects: both, wantReason: decide.CarriedByTemplate, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k", "ConfigMap c: k"},
			edit: func(w *fakeCluster) { edited(w); w.set(cm("c", "k", "1")); changedAt(w, cmRef("c"), 11) },
		},
		"a source that was deleted has no time": {
			parts: two, objects: append(both, cm("c", "k", "1")), wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: all,
			wantMessage: "Rolling update started: ConfigMap c was deleted",
			edit:        func(w *fakeCluster) { edited(w); w.remove(cmRef("c")); w.input.Options.OnDelete = true },
		},
		"what the template carries leaves what changed later to be reloaded in place": {
			parts: injected(obj.Env(obj.CM("a"), "k"), obj.Mount(obj.CM("b"))), objects: both,
			wantAction: decide.Reload, wantReason: decide.LiveChanged, wantMessage: "Reloading in place: ConfigMap b changed (k)", wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k"},
			edit: func(w *fakeCluster) { edited(w); changedAt(w, cmRef("b"), 11); w.input.InPlace.Sidecar = true },
		},
		"what the template carries is recorded although another source is missing": {
			parts: following(obj.Env(obj.CM("a"), "k"), obj.EnvFrom(obj.CM("b"))), objects: both,
			wantReason: decide.SourceMissing, wantWarning: true, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "ConfigMap b: k"},
			wantMessage: "Rollout blocked: new pods need ConfigMap b, which does not exist. Create it, or set optional on its use",
			edit:        func(w *fakeCluster) { edited(w); w.remove(cmRef("b")) },
		},
		"one that is not followed does not matter": {
			parts: []obj.Part{obj.Annotation(namedCM, "a"), obj.Env(obj.CM("a"), "k"), obj.Env(obj.CM("b"), "k")}, objects: both,
			wantReason: decide.CarriedByTemplate, wantRecord: true, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { edited(w); changedAt(w, cmRef("b"), 11) },
		},
	})
}

func TestRuleBackOff(t *testing.T) {
	t.Parallel()
	const message = "Rollout delayed until 12:01:30 UTC: too many rollouts in a short time (ConfigMap a changed (k)). Check whether two clients keep changing the same source"
	rolledOften := func(w *fakeCluster) { change(w); w.input.NotBefore = now.Add(90 * time.Second) }
	failing := func(verdict decide.Verdict) func(*fakeCluster) {
		return func(w *fakeCluster) {
			rolledOften(w)
			w.input.InPlace = decide.InPlace{Sidecar: true, Verdict: verdict, Pod: "web-1", Message: "no"}
		}
	}
	a := []string{"ConfigMap a: k"}
	checkAll(t, map[string]ruleCase{
		"rolled too often": {
			parts: frozen(), objects: one(), wantReason: decide.BackOff, wantWarning: true, wantMessage: message, wantAfter: 90 * time.Second, wantRecords: a, edit: rolledOften,
		},
		"the time has come": {
			parts: frozen(), objects: one(), wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: a,
			wantMessage: "Rolling update started: ConfigMap a changed (k)",
			edit:        func(w *fakeCluster) { change(w); w.input.NotBefore = now },
		},
		"live changes without a sidecar wait too": {
			parts: live(), objects: one(), wantReason: decide.BackOff, wantWarning: true, wantMessage: message, wantAfter: 90 * time.Second, wantRecords: a, edit: rolledOften,
		},
		"a reload in place does not wait": {
			parts: injected(obj.Mount(obj.CM("a"))), objects: one(), wantAction: decide.Reload, wantReason: decide.LiveChanged, wantRecords: a,
			wantMessage: "Reloading in place: ConfigMap a changed (k)",
			edit:        failing(decide.Unknown),
		},
		"the rollout after a reload that failed waits": {
			parts: injected(obj.Mount(obj.CM("a"))), objects: one(), wantReason: decide.BackOff, wantWarning: true, wantMessage: message, wantAfter: 90 * time.Second, wantRecords: a,
			edit: failing(decide.Failed),
		},
		"so does the one after a reload that nobody confirmed": {
			parts: injected(obj.Mount(obj.CM("a"))), objects: one(), wantReason: decide.BackOff, wantWarning: true, wantMessage: message, wantAfter: 90 * time.Second, wantRecords: a,
			edit: failing(decide.Overdue),
		},
		"where a reload that failed leads to no rollout, nothing waits": {
			parts: append(injected(obj.Mount(obj.CM("a"))), obj.Annotation(onFailure, "none")), objects: one(), wantReason: decide.ReloadFailed, wantWarning: true, wantRecords: a,
			wantMessage: "No rollout started (inpod.dev/on-failure: none): reload in pod web-1 failed: no",
			edit:        failing(decide.Failed),
		},
		"the rollout for what needs a restart waits": {
			parts: injected(obj.Mount(obj.CM("a"))), objects: one(), wantReason: decide.BackOff, wantWarning: true, wantMessage: message, wantAfter: 90 * time.Second, wantRecords: a,
			edit: failing(decide.NeedsRestart),
		},
		"where nobody can be asked, nothing waits": {
			parts: injected(obj.Mount(obj.CM("a"))), objects: one(), wantReason: decide.SidecarUnreachable, wantWarning: true, wantRecords: a,
			wantMessage: "Reload not confirmed, no rollout started: no sidecar of the pods can be reached, such as that of pod web-1 no " +
				"inpod keeps asking (ConfigMap a changed (k)); set --unreachable=rollout to start a rollout instead",
			edit: failing(decide.Unreachable),
		},
		"where a sidecar is not understood, nothing waits": {
			parts: injected(obj.Mount(obj.CM("a"))), objects: one(), wantReason: decide.SidecarNotUnderstood, wantWarning: true, wantRecords: a,
			wantMessage: "Reload not confirmed, no rollout started: pod web-1: no inpod keeps asking (ConfigMap a changed (k)); set --unreachable=rollout to start a rollout instead",
			edit:        failing(decide.NotUnderstood),
		},
		"a rejected reload does not wait": {
			parts: injected(obj.Mount(obj.CM("a"))), objects: one(), wantReason: decide.ReloadRejected, wantWarning: true, wantRecords: a,
			wantMessage: "Reload rejected, no rollout started: the application in pod web-1 keeps the old content: no (ConfigMap a changed (k))",
			edit:        failing(decide.Rejected),
		},
		"a usage that is new meanwhile is recorded": {
			parts: frozen(), objects: one(), wantReason: decide.BackOff, wantWarning: true, wantMessage: message, wantAfter: 90 * time.Second, wantRecord: true,
			wantRecords: []string{"ConfigMap a: k", "ConfigMap c: k"},
			edit: func(w *fakeCluster) {
				rolledOften(w)
				w.set(cm("c", "k", "1"))
				w.edit(append(frozen(), obj.EnvFrom(obj.CM("c")))...)
			},
		},
	})
}

func TestRuleFrozenChanged(t *testing.T) {
	t.Parallel()
	a := obj.CM("a")
	sidecar := func(w *fakeCluster) { w.input.InPlace.Sidecar = true }
	rolled := func(parts []obj.Part, edit func(*fakeCluster), message string, objects ...any) ruleCase {
		return ruleCase{
			parts: parts, objects: objects, wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantMessage: "Rolling update started: " + message,
			wantRecords: []string{"ConfigMap a: k l"}, edit: func(w *fakeCluster) { sidecar(w); edit(w) },
		}
	}
	kl := func(k, l string) func(*fakeCluster) { return func(w *fakeCluster) { w.set(cm("a", "k", k, "l", l)) } }
	two := cm("a", "k", "1", "l", "1")
	cases := map[string]ruleCase{
		"env":                        rolled(injected(obj.Env(a, "k"), obj.Env(a, "l")), kl("2", "1"), "ConfigMap a changed (k)", two),
		"envFrom":                    rolled(injected(obj.EnvFrom(a)), kl("2", "2"), "ConfigMap a changed (k, l)", two),
		"a subPath":                  rolled(injected(obj.SubPath(a, "k"), obj.SubPath(a, "l")), kl("1", "2"), "ConfigMap a changed (l)", two),
		"an ordinary init container": rolled(injected(obj.Init("i"), obj.Mount(a)), kl("2", "1"), "ConfigMap a changed (k)", two),
		"one key of a source is frozen, and both changed": rolled(
			injected(obj.Mount(a), obj.Env(a, "k")), kl("2", "2"), "ConfigMap a changed (k, l)", two),
		"one key arrives in both ways": rolled(injected(obj.Mount(a), obj.Env(a, "k")), kl("2", "1"), "ConfigMap a changed (k)", two),
	}
	cases["only the live key of that source changed: no rollout"] = ruleCase{
		parts: injected(obj.Mount(a), obj.Env(a, "k")), objects: []any{two}, wantAction: decide.Reload, wantReason: decide.LiveChanged,
		wantMessage: "Reloading in place: ConfigMap a changed (l)", wantRecords: []string{"ConfigMap a: k l"},
		edit: func(w *fakeCluster) { sidecar(w); kl("1", "2")(w) },
	}
	cases["a live source and a frozen one"] = ruleCase{
		parts: injected(obj.Mount(a), obj.EnvFrom(obj.Sec("b"))), objects: []any{cm("a", "k", "1"), obj.Secret("b", "k", "1")},
		wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "Secret b: k"},
		wantMessage: "Rolling update started: ConfigMap a changed (k), Secret b changed (k)",
		edit:        func(w *fakeCluster) { sidecar(w); change(w); w.set(obj.Secret("b", "k", "2")) },
	}
	cases["a source that is only named"] = ruleCase{
		parts: []obj.Part{obj.Annotation(namedCM, "a"), obj.TemplateAnnotation(inject, "enabled")}, objects: one(),
		wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k"},
		wantMessage: "Rolling update started: ConfigMap a changed (k)",
		edit:        func(w *fakeCluster) { sidecar(w); change(w) },
	}
	cases["a source that is named and mounted stays live"] = ruleCase{
		parts: []obj.Part{obj.Annotation(namedCM, "a"), obj.TemplateAnnotation(inject, "enabled"), obj.Mount(a)}, objects: one(),
		wantAction: decide.Reload, wantReason: decide.LiveChanged, wantRecords: []string{"ConfigMap a: k"},
		wantMessage: "Reloading in place: ConfigMap a changed (k)",
		edit:        func(w *fakeCluster) { sidecar(w); change(w) },
	}
	checkAll(t, cases)
}

func TestRuleReloadInPlace(t *testing.T) {
	t.Parallel()
	a := []string{"ConfigMap a: k"}
	parts := injected(obj.Mount(obj.CM("a")))
	none := append(injected(obj.Mount(obj.CM("a"))), obj.TemplateAnnotation(onFailure, "none"))
	said := func(verdict decide.Verdict) func(*fakeCluster) {
		return func(w *fakeCluster) {
			change(w)
			w.input.InPlace = decide.InPlace{Sidecar: true, Verdict: verdict, Pod: "web-1", Message: "nginx: unknown directive", Proven: true}
		}
	}
	with := func(f func(*decide.InPlace), edit func(*fakeCluster)) func(*fakeCluster) {
		return func(w *fakeCluster) { edit(w); f(&w.input.InPlace) }
	}
	rolls := func(edit func(*fakeCluster)) func(*fakeCluster) {
		return func(w *fakeCluster) { edit(w); w.input.Options.RollUnreachable = true }
	}
	evidence := func(proven bool, trigger, proof string) func(*fakeCluster) {
		return with(func(p *decide.InPlace) { p.Proven, p.Trigger, p.Proof, p.Message = proven, trigger, proof, "" }, said(decide.Confirmed))
	}
	confirmed := func(edit func(*fakeCluster), message string) ruleCase {
		return ruleCase{
			parts: parts, objects: one(), edit: edit, wantReason: decide.ReloadConfirmed, wantRecord: true, wantRecords: a,
			wantMessage: "Reloaded in place: ConfigMap a changed (k)" + message,
		}
	}
	const outOfReach = "Reload not confirmed, no rollout started: no sidecar of the pods can be reached, such as that of pod web-1 nginx: unknown directive " +
		"inpod keeps asking (ConfigMap a changed (k)); set --unreachable=rollout to start a rollout instead"
	const notUnderstood = "Reload not confirmed, no rollout started: pod web-1: nginx: unknown directive " +
		"inpod keeps asking (ConfigMap a changed (k)); set --unreachable=rollout to start a rollout instead"
	checkAll(t, map[string]ruleCase{
		"nothing is known yet": {
			parts: parts, objects: one(), edit: said(decide.Unknown), wantAction: decide.Reload, wantReason: decide.LiveChanged, wantRecords: a,
			wantMessage: "Reloading in place: ConfigMap a changed (k)",
		},
		"every pod has confirmed": {
			parts: parts, objects: one(), edit: evidence(true, "", ""), wantReason: decide.ReloadConfirmed, wantRecord: true, wantRecords: a,
			wantMessage: "Reloaded in place: ConfigMap a changed (k)",
		},
		"that is proven, and it is known by what": confirmed(evidence(true, "SIGHUP to nginx (PID 7)", "workers renewed"), "; SIGHUP to nginx (PID 7), workers renewed"),
		"that is not proven":                      confirmed(evidence(false, "SIGHUP to bash (PID 7)", "alive"), "; SIGHUP to bash (PID 7), which is alive: not proven"),
		"an answer alone is no proof":             confirmed(evidence(false, "POST http://127.0.0.1:8080/", ""), "; POST http://127.0.0.1:8080/: not proven"),
		"only a proof is known":                   confirmed(evidence(true, "", "config hash"), "; config hash"),
		"some pods could not be asked": confirmed(with(func(p *decide.InPlace) { p.Message = "2 pods could not be asked" }, evidence(false, "SIGHUP", "reread")),
			"; SIGHUP, reread; 2 pods could not be asked: not proven"),
		"no pod has anything to take up": {
			parts: parts, objects: one(), edit: with(func(p *decide.InPlace) { p.Nothing = true }, evidence(false, "", "")),
			wantReason: decide.NothingToReload, wantRecord: true, wantRecords: a,
		},
		"an older sidecar says nothing of proofs": confirmed(evidence(false, "", ""), "; not proven"),
		"long words are cut": confirmed(evidence(true, strings.Repeat("é", 100), strings.Repeat("x", 1000)),
			"; "+strings.Repeat("é", 75)+"…, "+strings.Repeat("x", 150)+"…"),
		"an application never re-reads it": {
			parts: parts, objects: one(), edit: said(decide.NeedsRestart), wantAction: decide.Rollout, wantReason: decide.RestartNeeded, wantRecord: true, wantRecords: a,
			wantMessage: "Rolling update started: ConfigMap a changed (k); the application in pod web-1 needs a restart to use the new content: nginx: unknown directive",
		},
		"that is no failure, so that nothing leaves it alone": {
			parts: none, objects: one(), edit: said(decide.NeedsRestart), wantAction: decide.Rollout, wantReason: decide.RestartNeeded, wantRecord: true, wantRecords: a,
			wantMessage: "Rolling update started: ConfigMap a changed (k); the application in pod web-1 needs a restart to use the new content: nginx: unknown directive",
		},
		"nobody can be asked": {
			parts: parts, objects: one(), edit: said(decide.Unreachable), wantReason: decide.SidecarUnreachable, wantWarning: true, wantRecords: a, wantMessage: outOfReach,
		},
		"nobody can be asked, and a failure is to be left alone": {
			parts: none, objects: one(), edit: said(decide.Unreachable), wantReason: decide.SidecarUnreachable, wantWarning: true, wantRecords: a, wantMessage: outOfReach,
		},
		"nobody can be asked, and such workloads are to be rolled": {
			parts: parts, objects: one(), edit: rolls(said(decide.Unreachable)), wantAction: decide.Rollout, wantReason: decide.ReloadFailed, wantRecord: true, wantRecords: a,
			wantMessage: "Rolling update started: ConfigMap a changed (k); reload in pod web-1 failed: nginx: unknown directive",
		},
		"nobody can be asked, such workloads are to be rolled, and this one is to be left alone": {
			parts: none, objects: one(), edit: rolls(said(decide.Unreachable)), wantReason: decide.ReloadFailed, wantWarning: true, wantRecords: a,
			wantMessage: "No rollout started (inpod.dev/on-failure: none): reload in pod web-1 failed: nginx: unknown directive",
		},
		"a sidecar is not understood": {
			parts: parts, objects: one(), edit: said(decide.NotUnderstood), wantReason: decide.SidecarNotUnderstood, wantWarning: true, wantRecords: a, wantMessage: notUnderstood,
		},
		"a sidecar is not understood, and a failure is to be left alone": {
			parts: none, objects: one(), edit: said(decide.NotUnderstood), wantReason: decide.SidecarNotUnderstood, wantWarning: true, wantRecords: a, wantMessage: notUnderstood,
		},
		"a sidecar is not understood, and workloads in an unknown state are to be rolled": {
			parts: parts, objects: one(), edit: rolls(said(decide.NotUnderstood)), wantAction: decide.Rollout, wantReason: decide.ReloadFailed, wantRecord: true, wantRecords: a,
			wantMessage: "Rolling update started: ConfigMap a changed (k); reload in pod web-1 failed: nginx: unknown directive",
		},
		"an application does not accept it, and its container is known": {
			parts: parts, objects: one(), wantReason: decide.ReloadRejected, wantWarning: true, wantRecords: a,
			edit: with(func(p *decide.InPlace) { p.Container = "app" }, said(decide.Rejected)),
			wantMessage: "Reload rejected, no rollout started: the application in pod web-1 keeps the old content: nginx: unknown directive " +
				"(ConfigMap a changed (k)); its log: kubectl -n shop logs web-1 -c app",
		},
		"an application does not accept it": {
			parts: parts, objects: one(), edit: said(decide.Rejected), wantReason: decide.ReloadRejected, wantWarning: true, wantRecords: a,
			wantMessage: "Reload rejected, no rollout started: the application in pod web-1 keeps the old content: nginx: unknown directive (ConfigMap a changed (k))",
		},
		"an application could not be reloaded": {
			parts: parts, objects: one(), edit: said(decide.Failed), wantAction: decide.Rollout, wantReason: decide.ReloadFailed, wantRecord: true, wantRecords: a,
			wantMessage: "Rolling update started: ConfigMap a changed (k); reload in pod web-1 failed: nginx: unknown directive",
		},
		"a pod has not confirmed in time": {
			parts: parts, objects: one(), edit: said(decide.Overdue), wantAction: decide.Rollout, wantReason: decide.ReloadFailed, wantRecord: true, wantRecords: a,
			wantMessage: "Rolling update started: ConfigMap a changed (k); reload in pod web-1 failed: nginx: unknown directive",
		},
		"an application could not be reloaded, and that is to be left alone": {
			parts: none, objects: one(), edit: said(decide.Failed), wantReason: decide.ReloadFailed, wantWarning: true, wantRecords: a,
			wantMessage: "No rollout started (inpod.dev/on-failure: none): reload in pod web-1 failed: nginx: unknown directive",
		},
		"a pod has not confirmed in time, and that is to be left alone": {
			parts: none, objects: one(), edit: said(decide.Overdue), wantReason: decide.ReloadFailed, wantWarning: true, wantRecords: a,
			wantMessage: "No rollout started (inpod.dev/on-failure: none): reload in pod web-1 failed: nginx: unknown directive",
		},
		"a usage that is new meanwhile is recorded while a rejected change waits": {
			parts: parts, objects: one(), wantReason: decide.ReloadRejected, wantWarning: true, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "ConfigMap c: k"},
			wantMessage: "Reload rejected, no rollout started: the application in pod web-1 keeps the old content: nginx: unknown directive (ConfigMap a changed (k))",
			edit: func(w *fakeCluster) {
				said(decide.Rejected)(w)
				w.set(cm("c", "k", "1"))
				w.edit(append(parts, obj.EnvFrom(obj.CM("c")))...)
			},
		},
	})
}

func TestRuleLiveChanged(t *testing.T) {
	t.Parallel()
	a := []string{"ConfigMap a: k"}
	checkAll(t, map[string]ruleCase{
		"no sidecar": {
			parts: live(), objects: one(), edit: change, wantAction: decide.Rollout, wantReason: decide.NoSidecar, wantRecord: true, wantRecords: a,
			wantMessage: "Rolling update started: ConfigMap a changed (k)",
		},
		"no sidecar, although it was asked for": {
			parts: injected(obj.Mount(obj.CM("a"))), objects: one(), edit: change, wantAction: decide.Rollout, wantReason: decide.NoSidecar, wantRecord: true, wantRecords: a,
			wantMessage: "Rolling update started: ConfigMap a changed (k); the pods lack the sidecar that inpod.dev/inject requests",
		},
		"a verdict without a sidecar counts for nothing": {
			parts: live(), objects: one(), wantAction: decide.Rollout, wantReason: decide.NoSidecar, wantRecord: true, wantRecords: a,
			wantMessage: "Rolling update started: ConfigMap a changed (k)",
			edit:        func(w *fakeCluster) { change(w); w.input.InPlace.Verdict = decide.Confirmed },
		},
	})
}

// Where two rules would answer, the first one does.
func TestOrderOfTheRules(t *testing.T) {
	t.Parallel()
	deleting := func(w *fakeCluster) { w.deployment.DeletionTimestamp = new(metav1.NewTime(now)) }
	optOut := func(w *fakeCluster) { w.deployment.Annotations[ignore] = "true" }
	missing := func(w *fakeCluster) { w.remove(secRef("b")) }
	uncovered := func(w *fakeCluster) {
		w.set(cm("new", "k", "1"))
		c := &w.deployment.Spec.Template.Spec.Containers[0]
		c.EnvFrom = append(c.EnvFrom, obj.Spec(obj.EnvFrom(obj.CM("new"))).Containers[0].EnvFrom...)
	}
	appeared := func(w *fakeCluster) { w.set(cm("optional", "k", "1")) }
	changed := func(w *fakeCluster) { w.set(cm("frozen", "k", "2")); w.sources[cmRef("frozen")].Changed.Version = 5 }
	changedLive := func(w *fakeCluster) { w.set(cm("live", "k", "2")); w.sources[cmRef("live")].Changed.Version = 5 }
	edited := func(w *fakeCluster) { w.input.Workload.TemplateChanged.Version = 9 }
	rolledOften := func(w *fakeCluster) { w.input.NotBefore = now.Add(time.Minute) }
	sidecar := func(w *fakeCluster) { w.input.InPlace.Sidecar = true }
	for _, tc := range []struct {
		name  string
		edits []func(*fakeCluster)
		want  decide.Reason
	}{
		{"nothing", nil, decide.Unchanged},
		{"deleting before opted out", []func(*fakeCluster){deleting, optOut}, decide.Deleting},
		{"opted out before missing", []func(*fakeCluster){optOut, missing}, decide.NotFollowed},
		{"missing before something new", []func(*fakeCluster){missing, uncovered}, decide.SourceMissing},
		{"missing before a change", []func(*fakeCluster){missing, changed}, decide.SourceMissing},
		{"missing before a template that carries the change", []func(*fakeCluster){missing, changed, edited}, decide.SourceMissing},
		{"missing before a back-off", []func(*fakeCluster){missing, changed, rolledOften}, decide.SourceMissing},
		{"missing before a live change that rolls", []func(*fakeCluster){missing, changedLive}, decide.SourceMissing},
		{"a reload in place before missing", []func(*fakeCluster){missing, changedLive, sidecar}, decide.LiveChanged},
		{"something new before a source that appeared", []func(*fakeCluster){uncovered, appeared}, decide.BaselineCreated},
		{"a change before something new", []func(*fakeCluster){uncovered, changed}, decide.FrozenChanged},
		{"a source that appeared before a back-off", []func(*fakeCluster){appeared, rolledOften}, decide.CreateIgnored},
		{"a change before a source that appeared", []func(*fakeCluster){appeared, changed}, decide.FrozenChanged},
		{"a template that carries the change before a back-off", []func(*fakeCluster){changed, edited, rolledOften}, decide.CarriedByTemplate},
		{"a template that carries the change before a reload", []func(*fakeCluster){changedLive, edited, sidecar}, decide.CarriedByTemplate},
		{"a back-off before a rollout", []func(*fakeCluster){changed, rolledOften}, decide.BackOff},
		{"a back-off before a rollout for want of a sidecar", []func(*fakeCluster){changedLive, rolledOften}, decide.BackOff},
		{"a reload before a back-off", []func(*fakeCluster){changedLive, sidecar, rolledOften}, decide.LiveChanged},
		{"a frozen change before a live one", []func(*fakeCluster){changed, changedLive, sidecar}, decide.FrozenChanged},
		{"a reload before a rollout", []func(*fakeCluster){changedLive, sidecar}, decide.LiveChanged},
		{"a rollout for want of a sidecar", []func(*fakeCluster){changedLive}, decide.NoSidecar},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := withBaseline(t,
				following(obj.Mount(obj.CM("live")), obj.Env(obj.CM("frozen"), "k"), obj.EnvFrom(obj.Sec("b")), obj.EnvFrom(obj.CM("optional").Optional())),
				cm("live", "k", "1"), cm("frozen", "k", "1"), obj.Secret("b", "k", "1"))
			for _, edit := range tc.edits {
				edit(w)
			}
			if d := w.decide(); d.Reason != tc.want {
				t.Errorf("%s, want %s", d.Reason, tc.want)
			}
		})
	}
}
