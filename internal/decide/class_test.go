package decide_test

import (
	"testing"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

func TestSecretProviderClasses(t *testing.T) {
	t.Parallel()
	class := func(version string, rotated bool) *source.Snapshot {
		return source.OfSecretProviderClass(source.Ref{Kind: source.SecretProviderClass, Namespace: obj.Namespace, Name: "vault"},
			[]source.Mounted{{Versions: map[string]string{"password": version}, Rotated: rotated}})
	}
	now := func(snapshot *source.Snapshot) func(*fakeCluster) {
		return func(w *fakeCluster) { w.sources[snapshot.Ref] = snapshot }
	}
	follows := following(obj.CSI("vault"))
	objects := []any{class("1", false)}
	recorded := []string{"SecretProviderClass vault: password"}
	checkAll(t, map[string]ruleCase{
		"it is recorded": {parts: follows, objects: objects, fresh: true, wantReason: decide.BaselineCreated, wantRecord: true, wantRecords: recorded},
		"other versions that were rotated in are a rollout": {
			parts: follows, objects: objects, edit: now(class("2", true)), wantAction: decide.Rollout, wantReason: decide.NoSidecar, wantRecord: true, wantRecords: recorded,
			wantMessage: "Rolling update started: SecretProviderClass vault changed (password)",
		},
		"where every pod has a sidecar they are reloaded": {
			parts: injected(obj.CSI("vault")), objects: objects, wantAction: decide.Reload, wantReason: decide.LiveChanged, wantRecords: recorded,
			wantMessage: "Reloading in place: SecretProviderClass vault changed (password)",
			edit: func(w *fakeCluster) {
				now(class("2", true))(w)
				w.input.InPlace.Sidecar = true
			},
		},
		"and recorded once every pod has confirmed it": {
			parts: injected(obj.CSI("vault")), objects: objects, wantReason: decide.ReloadConfirmed, wantRecord: true, wantRecords: recorded,
			wantMessage: "Reloaded in place: SecretProviderClass vault changed (password)",
			edit: func(w *fakeCluster) {
				now(class("2", true))(w)
				w.input.InPlace = decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true}
			},
		},
		"one that is only named is a rollout also with a sidecar": {
			parts:   []obj.Part{obj.Annotation("secretproviderclass.reloader.stakater.com/reload", "vault"), obj.TemplateAnnotation(inject, "enabled")},
			objects: objects, wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: recorded,
			wantMessage: "Rolling update started: SecretProviderClass vault changed (password)",
			edit: func(w *fakeCluster) {
				now(class("2", true))(w)
				w.input.InPlace.Sidecar = true
			},
		},
		"the same versions, rotated in once more, are none": {parts: follows, objects: objects, edit: now(class("1", true)), wantReason: decide.Unchanged, wantRecords: recorded},
		"what every pod has started with is recorded": {
			parts: follows, objects: objects, wantReason: decide.Unchanged, wantRecord: true, wantRecords: recorded, edit: func(w *fakeCluster) {
				now(class("2", false))(w)
				w.inputs = func(in *decide.Input) { in.Workload.Rolling = false }
			},
		},
		"but not while pods of before may be there": {
			parts: follows, objects: objects, wantReason: decide.Unchanged, wantRecords: recorded,
			edit: func(w *fakeCluster) {
				now(class("2", false))(w)
				w.inputs = func(in *decide.Input) { in.Workload.Rolling = true }
			},
		},
		"where no pod has mounted it, what was recorded stays": {
			parts: follows, objects: objects, wantReason: decide.Unchanged, wantRecords: recorded,
			edit: func(w *fakeCluster) { w.remove(class("1", false).Ref) },
		},
	})
}
