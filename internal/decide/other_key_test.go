package decide_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/window"
	"inpod.dev/inpod/internal/workload"
)

// loseKey replaces the digest key. What was recorded before cannot be read any more.
func (w *fakeCluster) loseKey() {
	w.Helper()
	digester, err := source.NewDigester([]byte("another key, of thirty-two bytes"))
	if err != nil {
		w.Fatal(err)
	}
	w.digester, w.input.Digester = digester, digester
}

// recorded is a status in which inpod wrote the baseline so long ago; 0 for a time that is not known.
func recorded(ago time.Duration, change func(*workload.View), pods ...time.Duration) status {
	return status{progress: workload.Complete, pods: pods, change: func(v *workload.View) {
		v.Selector = "app=web"
		if ago != 0 {
			v.BaselineAt = now.Add(-ago)
		}
		if change != nil {
			change(v)
		}
	}}
}

// A source of 2 hours ago, and a baseline of 1 hour ago whose key is lost. Pods of 3 hours ago are old, those of 1 minute
// ago are young.
func TestTheDigestKeyIsReplaced(t *testing.T) {
	t.Parallel()
	const before, after = 2 * time.Hour, 10 * time.Minute // the baseline
	const written, old, young = time.Hour, 3 * time.Hour, time.Minute
	whole, some := following(obj.EnvFrom(obj.CM("app"))), following(obj.Env(obj.CM("app"), "MODE"))
	closed, err := window.Parse("sat 02:00-04:00 UTC")
	if err != nil {
		t.Fatal(err)
	}
	inWindow := func(in *decide.Input) { in.Options.Windows = closed }
	sidecar := func(in *decide.Input) { in.InPlace.Sidecar = true }
	for name, c := range map[string]struct {
		parts   []obj.Part
		edited  time.Duration // when the source was edited; 0 for not
		status  status
		input   func(*decide.Input)
		action  decide.Action
		reason  decide.Reason
		asks    bool // for the pods
		records bool
		unclear bool
	}{
		"nothing changed since":                  {whole, 0, recorded(written, nil), nil, decide.None, decide.Unchanged, false, true, false},
		"older than the baseline, and old pods":  {whole, before, recorded(written, nil, old), nil, decide.None, decide.Unchanged, false, true, false},
		"changed since, and nobody has asked":    {whole, after, recorded(written, nil), nil, decide.None, decide.TemplateRolling, true, false, false},
		"changed since, and old pods":            {whole, after, recorded(written, nil, old, young), nil, decide.Rollout, decide.FrozenChanged, false, true, false},
		"changed since, and young pods":          {whole, after, recorded(written, nil, young), nil, decide.None, decide.Unchanged, false, true, false},
		"changed since, and no pods":             {whole, after, recorded(written, nil, []time.Duration{}...), nil, decide.None, decide.Unchanged, false, true, false},
		"changed since, and pods of that second": {whole, after, recorded(written, nil, after), nil, decide.None, decide.Unchanged, false, true, true},
		"changed since, and a closed window":     {whole, after, recorded(written, nil, old), inWindow, decide.None, decide.WindowClosed, false, true, false},
		"changed since, and not every key used":  {some, after, recorded(written, nil, old), nil, decide.None, decide.Unchanged, false, true, true},
		"the same in a closed window":            {some, after, recorded(written, nil, old), inWindow, decide.None, decide.Unchanged, false, true, true},
		"not known when it was written":          {whole, after, recorded(0, nil, old), nil, decide.None, decide.Unchanged, false, true, true},
		"within the settle time of the write":    {whole, written + time.Second, recorded(written, nil, old), nil, decide.Rollout, decide.FrozenChanged, false, true, false},
		"scaled to zero":                         {whole, after, recorded(written, func(v *workload.View) { v.ScaledToZero = true }), nil, decide.None, decide.Unchanged, false, true, false},
		"no selector":                            {whole, after, recorded(written, func(v *workload.View) { v.Selector = "" }), nil, decide.None, decide.Unchanged, false, true, true},
		"a rollout of a later template is under way": {whole, after, recorded(written, func(v *workload.View) {
			v.Rolling, v.TemplateTime = true, now.Add(-young)
		}), nil, decide.None, decide.Unchanged, false, true, false},
		"a copy":                {whole, after, recorded(written, func(v *workload.View) { v.UID = types.UID("copy") }), nil, decide.None, decide.BaselineCreated, false, true, false},
		"live, and sidecars":    {injected(obj.Mount(obj.CM("app"))), after, recorded(written, nil, old), sidecar, decide.Reload, decide.LiveChanged, false, false, false},
		"live, and no sidecars": {following(obj.Mount(obj.CM("app"))), after, recorded(written, nil, old), nil, decide.Rollout, decide.NoSidecar, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFakeCluster(t, c.parts, at(24*time.Hour, 10, cm("app", "MODE", "1", "MORE", "1")))
			w.deployment.UID = "web"
			w.apply(w.decide())
			if c.edited != 0 {
				w.set(at(c.edited, 20, cm("app", "MODE", "2", "MORE", "1")))
			}
			w.loseKey()
			w.says(c.status)
			w.also(func(in *decide.Input) {
				in.Settle = 2 * time.Second
				if c.input != nil {
					c.input(in)
				}
			})
			d := w.want(c.action, c.reason)
			if d.AskPods != c.asks || d.Record != c.records || (d.ContentUnknown != "") != c.unclear {
				t.Errorf("asks %t, records %t, %q", d.AskPods, d.Record, d.ContentUnknown)
			}
			if c.records {
				w.apply(d)
				if next := w.decide(); next.Record || next.Action != decide.None || next.ContentUnknown != "" {
					t.Errorf("and then %s (%s), record %t, %q", next.Action, next.Reason, next.Record, next.ContentUnknown)
				}
			}
		})
	}
}

// also adds something to each input.
func (w *fakeCluster) also(change func(*decide.Input)) {
	before := w.inputs
	w.inputs = func(in *decide.Input) { before(in); change(in) }
}

// A change that waits for a window is in the baseline, whatever its key is.
func TestAChangeThatWaitsOutlivesTheKey(t *testing.T) {
	t.Parallel()
	closed, err := window.Parse("sat 02:00-04:00 UTC")
	if err != nil {
		t.Fatal(err)
	}
	const edited = time.Hour
	for name, c := range map[string]struct {
		pods   *decide.Pods
		action decide.Action
	}{
		"old pods":                {&decide.Pods{Starts: []decide.PodStart{{Created: now.Add(-2 * time.Hour)}}}, decide.Rollout},
		"young pods":              {&decide.Pods{Starts: []decide.PodStart{{Created: now.Add(-time.Minute)}}}, decide.None},
		"they cannot be listed":   {&decide.Pods{Unknown: true}, decide.Rollout},
		"there are none any more": {&decide.Pods{}, decide.None},
	} {
		for _, keys := range []obj.Part{obj.EnvFrom(obj.CM("app")), obj.Env(obj.CM("app"), "MODE")} {
			w := withBaseline(t, following(keys), at(24*time.Hour, 10, cm("app", "MODE", "1", "MORE", "1")))
			w.says(recorded(24*time.Hour, nil))
			w.also(func(in *decide.Input) { in.Options.Windows = closed })
			w.set(at(edited, 20, cm("app", "MODE", "2", "MORE", "1")))
			w.apply(w.want(decide.None, decide.WindowClosed))
			w.loseKey()
			w.says(recorded(edited-time.Minute, nil))
			w.also(func(in *decide.Input) { in.Options.Windows, in.Pods = closed, c.pods })
			w.apply(w.decide())
			w.wantNothingLeft()
			w.says(recorded(time.Minute, nil))
			if d := w.decide(); d.Action != c.action {
				t.Errorf("%s: %s (%s) when the window opens, want %s", name, d.Action, d.Reason, c.action)
			}
		}
	}
}

// What was asked for is not asked for again, and who puts the template back is reported as before.
func TestWhatWasAskedForOutlivesTheKey(t *testing.T) {
	t.Parallel()
	const askedFor = 30 * time.Second
	bare := asked(t)
	bare.edit(following(obj.EnvFrom(obj.CM("app")))...)
	for name, c := range map[string]struct {
		putBack  bool
		progress workload.Progress
		pods     []time.Duration
		reason   decide.Reason
	}{
		"under way":             {false, workload.NoneUpdated, nil, decide.Unchanged},
		"complete":              {false, workload.Complete, nil, decide.Unchanged},
		"put back, old pods":    {true, workload.Complete, []time.Duration{time.Hour}, decide.RolloutUndone},
		"put back, young pods":  {true, workload.Complete, []time.Duration{time.Second}, decide.UndoWithoutContent},
		"put back, nobody asks": {true, workload.Complete, nil, decide.TemplateRolling},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := asked(t)
			if c.putBack {
				w.deployment = bare.deployment.DeepCopy()
			}
			w.loseKey()
			s := recorded(askedFor, func(v *workload.View) { v.Rolling = c.progress != workload.Complete }, c.pods...)
			s.progress = c.progress
			w.says(s)
			w.also(func(in *decide.Input) { in.Settle = 2 * time.Second })
			d := w.want(decide.None, c.reason)
			if c.reason != decide.TemplateRolling && !d.Record {
				t.Error("nothing is recorded with the new key")
			}
			w.apply(d)
			if c.reason == decide.Unchanged {
				if b, _ := w.digester.Decode(obj.Namespace, w.baseline); (b.Asked != nil) != (c.progress != workload.Complete) {
					t.Errorf("baseline %s", w.baseline)
				}
			}
		})
	}
}

// An immutable source that was made again while the key was lost is another object.
func TestAnImmutableSourceAndAnotherKey(t *testing.T) {
	t.Parallel()
	fixed := func(age time.Duration, value string) *source.Snapshot {
		object := cm("app", "MODE", value)
		object.Immutable = new(true)
		return at(age, 10, object)
	}
	w := withBaseline(t, following(obj.EnvFrom(obj.CM("app"))), fixed(24*time.Hour, "1"))
	w.set(fixed(time.Minute, "2"))
	w.loseKey()
	w.says(recorded(time.Hour, nil, 3*time.Hour))
	if d := w.want(decide.None, decide.ImmutableRecreated); !strings.Contains(d.Message, "ConfigMap app") {
		t.Errorf("%q", d.Message)
	}
}
