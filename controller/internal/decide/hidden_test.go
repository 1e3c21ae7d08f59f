package decide_test

import (
	"testing"

	"inpod.dev/inpod/controller/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
)

func TestAChangeThatNobodySees(t *testing.T) {
	t.Parallel()
	volume := following(obj.Projected(obj.CM("base"), obj.CM("over").Optional()))
	both := []any{cm("base", "k", "1"), cm("over", "k", "o")}
	checkAll(t, map[string]ruleCase{
		"a hidden key is edited": {
			parts: volume, objects: both, reason: decide.Unchanged, record: true, records: []string{"ConfigMap base: k", "ConfigMap over: k"},
			happens: func(w *world) { w.set(cm("base", "k", "2")) },
		},
		"a hidden key is edited where a sidecar would reload": {
			parts: injected(obj.Projected(obj.CM("base"), obj.CM("over"))), objects: both, reason: decide.Unchanged, record: true,
			records: []string{"ConfigMap base: k", "ConfigMap over: k"},
			happens: func(w *world) { w.set(cm("base", "k", "2")); w.input.InPlace.Sidecar = true },
		},
		"the key that hides it is edited": {
			parts: volume, objects: both, action: decide.Rollout, reason: decide.NoSidecar, record: true,
			message: "Rolling update started: ConfigMap over changed (k)", records: []string{"ConfigMap base: k", "ConfigMap over: k"},
			happens: func(w *world) { w.set(cm("over", "k", "p")) },
		},
		"the key that hides it goes": {
			parts: volume, objects: both, action: decide.Rollout, reason: decide.NoSidecar, record: true,
			message: "Rolling update started: ConfigMap over changed (k)", records: []string{"ConfigMap base: k", "ConfigMap over:"},
			happens: func(w *world) { w.set(cm("over")) },
		},
		"the source that hides it is deleted, although that does not count": {
			parts: volume, objects: both, action: decide.Rollout, reason: decide.NoSidecar, record: true,
			message: "Rolling update started: ConfigMap over was deleted", records: []string{"ConfigMap base: k", "ConfigMap over: absent"},
			happens: func(w *world) { w.remove(cmRef("over")) },
		},
		"the source that hides it is deleted, and said the same": {
			parts: volume, objects: []any{cm("base", "k", "1"), cm("over", "k", "1")}, reason: decide.Unchanged, record: false,
			records: []string{"ConfigMap base: k", "ConfigMap over: k"},
			happens: func(w *world) { w.remove(cmRef("over")) },
		},
		"a source comes that hides what is there, although that does not count": {
			parts: volume, objects: both[:1], action: decide.Rollout, reason: decide.NoSidecar, record: true,
			message: "Rolling update started: ConfigMap over was created", records: []string{"ConfigMap base: k", "ConfigMap over: k"},
			happens: func(w *world) { w.set(cm("over", "k", "o")) },
		},
		"a source comes with other keys, which does not count": {
			parts: volume, objects: both[:1], reason: decide.CreateOff, record: true, records: []string{"ConfigMap base: k", "ConfigMap over: l"},
			happens: func(w *world) { w.set(cm("over", "l", "o")) },
		},
		"what hides it is not followed": {
			parts: append(volume, obj.Annotation(excludeCM, "over")), objects: both, reason: decide.Unchanged, record: true,
			records: []string{"ConfigMap base: k"},
			happens: func(w *world) { w.set(cm("base", "k", "2")) },
		},
		"the template carries what hides it": {
			parts: volume, objects: both[:1], reason: decide.InTemplate, record: true, records: []string{"ConfigMap base: k", "ConfigMap over: k"},
			happens: func(w *world) {
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
	w := adopted(t, following(obj.EnvFromPrefixed("", obj.CM("a")), obj.EnvFromPrefixed("", obj.CM("b")), obj.EnvFromPrefixed("", obj.CM("c"))),
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
