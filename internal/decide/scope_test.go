package decide_test

import (
	"testing"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// Sources that labels leave out look like sources that do not exist.
func TestSourcesThatAreNotSelected(t *testing.T) {
	t.Parallel()
	two := following(obj.Env(obj.CM("a"), "k"), obj.EnvFrom(obj.Sec("b")))
	filtered := func(w *fakeCluster) { w.input.Options.Filtered = true }
	both := func(f func(*fakeCluster)) func(*fakeCluster) { return func(w *fakeCluster) { filtered(w); f(w) } }
	checkAll(t, map[string]ruleCase{
		"one that was never seen may be there": {
			parts: two, objects: one(), fresh: true, wantReason: decide.BaselineCreated, wantRecord: true, wantRecords: []string{"ConfigMap a: k"}, edit: filtered,
		},
		"it does not stop a rollout": {
			parts: two, objects: one(), wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k"},
			wantMessage: "Rolling update started: ConfigMap a changed (k)", edit: both(change), unseen: true,
		},
		"one that is not selected any more rolls nobody": {
			parts: two, objects: []any{cm("a", "k", "1"), obj.Secret("b", "k", "1")}, wantReason: decide.DeleteIgnored, wantRecords: []string{"ConfigMap a: k", "Secret b: k"},
			edit: both(func(w *fakeCluster) { w.remove(secRef("b")) }),
		},
		"one that comes to be selected gets a baseline": {
			parts: two, objects: one(), wantReason: decide.BaselineCreated, wantRecord: true, wantRecords: []string{"ConfigMap a: k", "Secret b: k"}, unseen: true,
			edit: both(func(w *fakeCluster) { w.set(obj.Secret("b", "k", "1")) }),
		},
	})
}

// A source that labels leave out goes on to hide what it hid.
func TestASourceThatHidesAnotherAndIsNotSelected(t *testing.T) {
	t.Parallel()
	volume := following(obj.Projected(obj.CM("base"), obj.CM("over").Optional()))
	both := []any{cm("base", "k", "1", "l", "1"), cm("over", "k", "o")}
	recorded := []string{"ConfigMap base: k l", "ConfigMap over: k"}
	unselected := func(base ...string) func(*fakeCluster) {
		return func(w *fakeCluster) {
			w.input.Options.Filtered = true
			w.remove(cmRef("over"))
			w.set(cm("base", base...))
		}
	}
	checkAll(t, map[string]ruleCase{
		"its label is taken off": {
			parts: volume, objects: both, wantReason: decide.DeleteIgnored, wantRecords: recorded, edit: unselected("k", "1", "l", "1"),
		},
		"what it hides is edited after that": {
			parts: volume, objects: both, wantReason: decide.DeleteIgnored, wantRecord: true, wantRecords: recorded, edit: unselected("k", "2", "l", "1"),
		},
		"another key is edited after that": {
			parts: volume, objects: both, wantAction: decide.Rollout, wantReason: decide.NoSidecar, wantRecord: true, wantRecords: recorded,
			wantMessage: "Rolling update started: ConfigMap base changed (l)", edit: unselected("k", "1", "l", "2"),
		},
		"it never had a label, and may hide what is edited": {
			parts: volume, objects: both[:1], unseen: true, wantAction: decide.Rollout, wantReason: decide.NoSidecar, wantRecord: true, wantRecords: recorded[:1],
			wantMessage: "Rolling update started: ConfigMap base changed (k)", edit: unselected("k", "2", "l", "1"),
		},
	})
}

// Of a kind of sources that is ignored nothing is known, and nothing is missing.
func TestKindsOfSourcesThatAreIgnored(t *testing.T) {
	t.Parallel()
	two := following(obj.Env(obj.CM("a"), "k"), obj.EnvFrom(obj.Sec("b")))
	ignored := func(w *fakeCluster) { w.input.Options.Ignored = []source.Kind{source.Secret} }
	checkAll(t, map[string]ruleCase{
		"the other kind is followed": {
			parts: two, objects: one(), wantAction: decide.Rollout, wantReason: decide.FrozenChanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k"},
			wantMessage: "Rolling update started: ConfigMap a changed (k)", edit: func(w *fakeCluster) { ignored(w); change(w) }, unseen: true,
		},
		"what was recorded of it is dropped": {
			parts: two, objects: []any{cm("a", "k", "1"), obj.Secret("b", "k", "1")}, wantReason: decide.Unchanged, wantRecord: true, wantRecords: []string{"ConfigMap a: k"},
			edit: func(w *fakeCluster) { ignored(w); w.remove(secRef("b")) },
		},
		"nothing else is used": {
			parts: following(obj.EnvFrom(obj.Sec("b"))), fresh: true, wantReason: decide.NotFollowed, edit: ignored,
		},
	})
}
