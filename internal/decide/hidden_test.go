package decide_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
)

func TestAChangeThatNobodySees(t *testing.T) {
	t.Parallel()
	volume := following(obj.Projected(obj.CM("base"), obj.CM("over").Optional()))
	both := []any{cm("base", "k", "1"), cm("over", "k", "o")}
	checkAll(t, map[string]ruleCase{
		"a hidden key is edited": {
			parts: volume, objects: both, wantReason: decide.Unchanged, wantRecord: true, wantRecords: []string{"ConfigMap base: k", "ConfigMap over: k"},
			edit: func(w *fakeCluster) { w.set(cm("base", "k", "2")) },
		},
		"a hidden key is edited where a sidecar would reload": {
			parts: injected(obj.Projected(obj.CM("base"), obj.CM("over"))), objects: both, wantReason: decide.Unchanged, wantRecord: true,
			wantRecords: []string{"ConfigMap base: k", "ConfigMap over: k"},
			edit:        func(w *fakeCluster) { w.set(cm("base", "k", "2")); w.input.InPlace.Sidecar = true },
		},
		"the key that hides it is edited": {
			parts: volume, objects: both, wantAction: decide.Rollout, wantReason: decide.NoSidecar, wantRecord: true,
			wantMessage: "Rolling update started: ConfigMap over changed (k)", wantRecords: []string{"ConfigMap base: k", "ConfigMap over: k"},
			edit: func(w *fakeCluster) { w.set(cm("over", "k", "p")) },
		},
		"the key that hides it goes": {
			parts: volume, objects: both, wantAction: decide.Rollout, wantReason: decide.NoSidecar, wantRecord: true,
			wantMessage: "Rolling update started: ConfigMap over changed (k)", wantRecords: []string{"ConfigMap base: k", "ConfigMap over:"},
			edit: func(w *fakeCluster) { w.set(cm("over")) },
		},
		"the source that hides it is deleted, although that does not count": {
			parts: volume, objects: both, wantAction: decide.Rollout, wantReason: decide.NoSidecar, wantRecord: true,
			wantMessage: "Rolling update started: ConfigMap over was deleted", wantRecords: []string{"ConfigMap base: k", "ConfigMap over: absent"},
			edit: func(w *fakeCluster) { w.remove(cmRef("over")) },
		},
		"the source that hides it is deleted, and said the same": {
			parts: volume, objects: []any{cm("base", "k", "1"), cm("over", "k", "1")}, wantReason: decide.Unchanged, wantRecord: false,
			wantRecords: []string{"ConfigMap base: k", "ConfigMap over: k"},
			edit:        func(w *fakeCluster) { w.remove(cmRef("over")) },
		},
		"a source comes that hides what is there, although that does not count": {
			parts: volume, objects: both[:1], wantAction: decide.Rollout, wantReason: decide.NoSidecar, wantRecord: true,
			wantMessage: "Rolling update started: ConfigMap over was created", wantRecords: []string{"ConfigMap base: k", "ConfigMap over: k"},
			edit: func(w *fakeCluster) { w.set(cm("over", "k", "o")) },
		},
		"a source comes with other keys, which does not count": {
			parts: volume, objects: both[:1], wantReason: decide.CreateIgnored, wantRecord: true, wantRecords: []string{"ConfigMap base: k", "ConfigMap over: l"},
			edit: func(w *fakeCluster) { w.set(cm("over", "l", "o")) },
		},
		"what hides it is not followed": {
			parts: append(volume, obj.Annotation(excludeCM, "over")), objects: both, wantReason: decide.Unchanged, wantRecord: true,
			wantRecords: []string{"ConfigMap base: k"},
			edit:        func(w *fakeCluster) { w.set(cm("base", "k", "2")) },
		},
		"the template carries what hides it": {
			parts: volume, objects: both[:1], wantReason: decide.CarriedByTemplate, wantRecord: true, wantRecords: []string{"ConfigMap base: k", "ConfigMap over: k"},
			edit: func(w *fakeCluster) {
				w.input.Workload.TemplateChanged.Version = 9
				w.set(cm("over", "k", "o"), cm("base", "k", "2"))
				w.sources[cmRef("over")].Changed.Version, w.sources[cmRef("base")].Changed.Version = 5, 10
				w.input.Options.OnCreate = true
			},
		},
	})
}

// While a change waits it is not forgotten what the pods have of that which the change hides.
func TestWhatIsHiddenByAChangeThatWaits(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, following(obj.EnvFromPrefixed("", obj.CM("a")), obj.EnvFromPrefixed("", obj.CM("b")), obj.EnvFromPrefixed("", obj.CM("c"))),
		cm("a", "k", "1"), cm("b"), cm("c"))
	w.input.Options.NotifyOnly = true
	w.set(cm("b", "k", "2"), cm("c", "k", "2")) // pods that start now have the k of c
	d := w.decide()
	if d.Reason != decide.NotifyOnly {
		t.Fatalf("%s: %s", d.Reason, d.Message)
	}
	w.apply(d)
	w.input.Options.NotifyOnly = false
	if d := w.decide(); d.Action != decide.Rollout {
		t.Errorf("%s (%s): the change is forgotten: the pods have the k of a", d.Action, d.Reason)
	}
}

// What the version before wrote, which let each change of a source count, whatever hid it. It left the record of a source that
// was deleted as it was.
const (
	recordedFiles = `{"v":1,"key":"Fjs7fqjf","sources":{"ConfigMap/base":{"all":true,"binary":true,"keys":{"k":"8k45ZWrJa-ex"}},` +
		`"ConfigMap/over":{"all":true,"binary":true,"keys":{"k":"c4YC5aykLGfM"}}}}`
	recordedVariables = `{"v":1,"key":"Fjs7fqjf","sources":{"ConfigMap/base":{"all":true,"keys":{"k":"8k45ZWrJa-ex"}},` +
		`"ConfigMap/over":{"all":true,"keys":{"k":"c4YC5aykLGfM"}}}}`
)

func TestAnUpgradeRollsNothing(t *testing.T) {
	t.Parallel()
	files := following(obj.Projected(obj.CM("base"), obj.CM("over").Optional()))
	variables := following(obj.EnvFromPrefixed("", obj.CM("base")), obj.EnvFromPrefixed("", obj.CM("over").Optional()))
	apart := following(obj.Mount(obj.CM("base")), obj.Mount(obj.CM("over").Optional()))
	base, over := cm("base", "k", "1"), cm("over", "k", "o")
	for name, tc := range map[string]struct {
		parts       []obj.Part
		baseline    string
		objects     []any
		wantReason  decide.Reason
		wantRecord  bool
		wantRecords []string
	}{
		"what hid a file was deleted long ago": {
			files, recordedFiles, []any{base}, decide.DeleteIgnored, true, []string{"ConfigMap base: k", "ConfigMap over: absent"},
		},
		"what hid a variable was deleted long ago": {
			variables, recordedVariables, []any{base}, decide.DeleteIgnored, true, []string{"ConfigMap base: k", "ConfigMap over: absent"},
		},
		"what hides a file is there": {
			files, recordedFiles, []any{base, over}, decide.Unchanged, true, []string{"ConfigMap base: k", "ConfigMap over: k"},
		},
		"what hides a variable is there": {
			variables, recordedVariables, []any{base, over}, decide.Unchanged, true, []string{"ConfigMap base: k", "ConfigMap over: k"},
		},
		"where nothing can hide anything": {
			apart, recordedFiles, []any{base, over}, decide.Unchanged, true, []string{"ConfigMap base: k", "ConfigMap over: k"},
		},
		"what was deleted long ago and hid nothing stays as it was": {
			apart, recordedFiles, []any{base}, decide.DeleteIgnored, true, []string{"ConfigMap base: k", "ConfigMap over: k"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFakeCluster(t, tc.parts, tc.objects...)
			w.baseline = tc.baseline
			d := w.decide()
			if d.Action != decide.None || d.Reason != tc.wantReason || d.Record != tc.wantRecord {
				t.Errorf("%s (%s), record %t: %s", d.Action, d.Reason, d.Record, d.Message)
			}
			if diff := cmp.Diff(tc.wantRecords, records(d.Baseline)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			w.apply(d)
			w.wantNothingLeft()
			if has := strings.Contains(w.baseline, `"hides":true`); has != (name != "where nothing can hide anything" && !strings.HasSuffix(name, "stays as it was")) {
				t.Errorf("what was recorded: %s", w.baseline)
			}
		})
	}
}

// From the first decision after the upgrade on it counts what a source hid.
func TestAfterAnUpgradeADeletionThatUncoversSomethingCounts(t *testing.T) {
	t.Parallel()
	w := newFakeCluster(t, following(obj.Projected(obj.CM("base"), obj.CM("over").Optional())), cm("base", "k", "1"), cm("over", "k", "o"))
	w.baseline = recordedFiles
	w.apply(w.decide())
	w.remove(cmRef("over"))
	if d := w.decide(); d.Action != decide.Rollout {
		t.Errorf("%s (%s)", d.Action, d.Reason)
	}
}

func TestAnUpgradeForgetsAnOldDeletionWhileAChangeWaits(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, following(obj.Projected(obj.CM("base"), obj.CM("over").Optional(), obj.CM("top"))),
		cm("base", "k", "1"), cm("over", "k", "o", "l", "o"), cm("top", "l", "t", "m", "t"))
	w.baseline = strings.Replace(w.baseline, `"hides":true,`, "", 1)
	w.remove(cmRef("over"))
	w.set(cm("top", "l", "t", "m", "u"))
	w.input.Options.NotifyOnly = true
	d := w.decide()
	if diff := cmp.Diff([]string{"ConfigMap base: k", "ConfigMap over: absent", "ConfigMap top: l m"}, records(d.Baseline)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", d.Reason, diff)
	}
}
