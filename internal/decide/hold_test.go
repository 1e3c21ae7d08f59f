package decide_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// holdingRule is a rule that holds back what disturbs.
type holdingRule struct {
	change func(*decide.Input)
	reason decide.Reason
	after  time.Duration
	// message precedes what waits, and end follows it.
	message, end string
	warning      bool
}

func holdingRules(t *testing.T) map[string]holdingRule {
	t.Helper()
	opens := windows(t, "Sun 14:00-15:00")
	return map[string]holdingRule{
		"pause": {func(in *decide.Input) {
			in.Policy.Pacing.PausePeriod, in.Policy.Pacing.PausedAt = new(time.Minute), now.Add(-20*time.Second)
		}, decide.PausePeriod, 40 * time.Second, "Rollout delayed until 2026-03-01 12:00:40 UTC (pause-period: 1m0s): ", "", false},
		"window": {func(in *decide.Input) {
			in.Policy.Pacing.Windows = &opens
		}, decide.WindowClosed, 2 * time.Hour, "Rollout delayed until 2026-03-01 14:00 UTC, when the maintenance window opens: ", "", false},
		"window that never opens": {func(in *decide.Input) {
			never := windows(t, "never")
			in.Policy.Pacing.Windows = &never
		}, decide.WindowClosed, 0, "Rollout delayed: the maintenance window never opens: ", "", false},
		"back-off": {func(in *decide.Input) {
			in.NotBefore = now.Add(time.Minute)
		}, decide.BackOff, time.Minute, "Rollout delayed until 12:01:00 UTC: too many rollouts in a short time (", "). Check whether two clients keep changing the same source", true},
		"notify-only": {func(in *decide.Input) {
			in.Options.NotifyOnly = true
		}, decide.NotifyOnly, 0, "Notify-only: would start a rollout: ", "", false},
	}
}

// edited is an edit of what a workload uses, and what of it reaches running containers and what does not, as causes say
// it; "" for nothing.
type edited struct {
	parts         []obj.Part
	before, after []any
	live, frozen  string
}

func edits() map[string]edited {
	a, b := obj.CM("a"), obj.CM("b")
	return map[string]edited{
		"live only": {
			injected(obj.Mount(a)), []any{cm("a", "l", "1")}, []any{cm("a", "l", "2")}, "ConfigMap a changed (l)", "",
		},
		"frozen only": {
			injected(obj.Mount(b), obj.EnvFrom(a)), []any{cm("a", "f", "1"), cm("b", "l", "1")}, []any{cm("a", "f", "2")}, "", "ConfigMap a changed (f)",
		},
		"both in two sources": {
			injected(obj.Mount(a), obj.EnvFrom(b)),
			[]any{cm("a", "l", "1"), cm("b", "f", "1")},
			[]any{cm("a", "l", "2"), cm("b", "f", "2")},
			"ConfigMap a changed (l)", "ConfigMap b changed (f)",
		},
		"both in two containers": {
			injected(obj.Mount(a), obj.Container("other"), obj.EnvFrom(b)),
			[]any{cm("a", "l", "1"), cm("b", "f", "1")},
			[]any{cm("a", "l", "2"), cm("b", "f", "2")},
			"ConfigMap a changed (l)", "ConfigMap b changed (f)",
		},
		"both in one source by two keys": {
			injected(obj.Mount(a.Items("l")), obj.Env(a, "f")),
			[]any{cm("a", "l", "1", "f", "1")},
			[]any{cm("a", "l", "2", "f", "2")},
			"ConfigMap a changed (l)", "ConfigMap a changed (f)",
		},
		"by two keys, one of them gone and one new": {
			injected(obj.Mount(a), obj.Env(a.Optional(), "f")),
			[]any{cm("a", "l", "1", "f", "1")},
			[]any{cm("a", "m", "2")},
			"ConfigMap a changed (l, m)", "ConfigMap a changed (f)",
		},
		"an optional item is gone": {
			injected(obj.Mount(a.Items("l").Optional()), obj.Env(a, "f")),
			[]any{cm("a", "l", "1", "f", "1")},
			[]any{cm("a", "f", "2")},
			"ConfigMap a changed (l)", "ConfigMap a changed (f)",
		},
		"one key in both ways": {
			injected(obj.Mount(a), obj.Env(a, "f")), []any{cm("a", "f", "1")}, []any{cm("a", "f", "2")}, "", "ConfigMap a changed (f)",
		},
		"one key in both ways, and another is live": {
			injected(obj.Mount(a), obj.Env(a, "f")),
			[]any{cm("a", "f", "1", "l", "1")},
			[]any{cm("a", "f", "2", "l", "2")},
			"ConfigMap a changed (l)", "ConfigMap a changed (f)",
		},
		"one key in both ways in two containers": {
			injected(obj.Mount(a), obj.Container("other"), obj.SubPath(a, "f")),
			[]any{cm("a", "f", "1", "l", "1")},
			[]any{cm("a", "f", "2", "l", "2")},
			"ConfigMap a changed (l)", "ConfigMap a changed (f)",
		},
		"a source that is used in both ways is made": {
			injected(obj.Mount(a.Optional()), obj.EnvFrom(a.Optional()), obj.Mount(b)),
			[]any{cm("b", "l", "1")},
			[]any{cm("a", "k", "1"), cm("b", "l", "2")},
			"ConfigMap b changed (l)", "ConfigMap a was created",
		},
		"of very many keys it is not known which changed": {
			injected(obj.Mount(a), obj.Env(a, "f"), obj.Mount(b)),
			[]any{manyKeys("a", "f", "1", "l", "1"), cm("b", "l", "1")},
			[]any{manyKeys("a", "f", "1", "l", "2"), cm("b", "l", "2")},
			"ConfigMap b changed (l)", "ConfigMap a changed",
		},
	}
}

// manyKeys is a ConfigMap with more keys than a record has room for.
func manyKeys(name string, pairs ...string) any {
	c := cm(name, pairs...)
	for i := range 150 {
		c.Data["key-"+time.Duration(i).String()] = "x"
	}
	return c
}

// outcome is what a decision does and what it leaves for later.
type outcome struct {
	Action         decide.Action
	Reason         decide.Reason
	Causes, Held   []string
	HeldFor        decide.Reason
	Message        string
	Warning        bool
	After          time.Duration
	HeldMessage    string
	HeldAndWarning bool
}

func outcomeOf(d decide.Decision) outcome {
	return outcome{d.Action, d.Reason, texts(d.Causes), texts(d.Held.Causes), d.Held.Reason, d.Message, d.Warning, d.After, d.Held.Message, d.Held.Warning}
}

func texts(causes []decide.Cause) []string {
	var all []string
	for _, cause := range causes {
		all = append(all, cause.String())
	}
	return all
}

func lines(texts ...string) []string {
	return slices.DeleteFunc(texts, func(text string) bool { return text == "" })
}

// wantOutcome fails unless a decision has an outcome.
func (w *fakeCluster) wantOutcome(step string, d decide.Decision, want outcome) {
	w.Helper()
	if diff := cmp.Diff(want, outcomeOf(d), cmpopts.EquateEmpty()); diff != "" {
		w.Fatalf("%s (-want +got):\n%s", step, diff)
	}
}

// What is live is reloaded and recorded, what is frozen waits and is rolled once, and in the end nothing is left to do.
func TestWhatIsLiveIsReloadedWhileWhatIsFrozenWaits(t *testing.T) {
	t.Parallel()
	for rule, h := range holdingRules(t) {
		for edit, e := range edits() {
			t.Run(rule+", "+edit, func(t *testing.T) {
				t.Parallel()
				w := withBaseline(t, e.parts, e.before...)
				w.input.Options.OnCreate, w.input.Options.OnDelete = true, true
				w.inputs = func(in *decide.Input) { in.InPlace.Sidecar = true; h.change(in) }
				w.set(e.after...)
				for ref := range w.sources {
					w.sources[ref].Changed = source.Moment{Time: now.Add(-time.Minute)}
				}
				waits := outcome{Action: decide.None, Reason: h.reason, Causes: lines(e.frozen), Message: h.message + e.frozen + h.end, Warning: h.warning, After: h.after}
				if e.live != "" {
					beside := func(action decide.Action, reason decide.Reason, message string) outcome {
						o := outcome{Action: action, Reason: reason, Causes: lines(e.live), Message: message + e.live}
						if e.frozen != "" {
							o.HeldFor, o.HeldMessage, o.HeldAndWarning, o.Held, o.After = h.reason, waits.Message, h.warning, waits.Causes, h.after
						}
						return o
					}
					reload := beside(decide.Reload, decide.LiveChanged, "Reloading in place: ")
					d := w.decide()
					w.wantOutcome("the edit", d, reload)
					w.apply(d)
					d = w.decide()
					w.wantOutcome("what is under way", d, reload)
					if d.Record {
						t.Fatal("it is recorded again and again")
					}
					w.input.InPlace = decide.InPlace{Verdict: decide.Confirmed, Proven: true}
					d = w.decide()
					w.wantOutcome("the confirmation", d, beside(decide.None, decide.ReloadConfirmed, "Reloaded in place: "))
					if !d.Record {
						t.Fatal("it is not recorded")
					}
					w.apply(d)
				}
				if e.frozen == "" {
					w.wantNothingLeft()
					return
				}
				w.input.InPlace = decide.InPlace{}
				d := w.decide()
				w.wantOutcome("what waits", d, waits)
				w.apply(d)
				w.wantNothingLeft()
				w.inputs = func(in *decide.Input) { in.InPlace.Sidecar = true }
				d = w.decide()
				w.wantOutcome("in the end", d, outcome{Action: decide.Rollout, Reason: decide.FrozenChanged, Causes: waits.Causes, Message: "Rolling update started: " + e.frozen})
				w.apply(d)
				w.wantNothingLeft()
			})
		}
	}
}

// What came of the reload is said of what was reloaded, and the rest waits beside it. A reload that leads to a rollout
// waits together with the rest.
func TestWhatComesOfAReloadBesideWhatWaits(t *testing.T) {
	t.Parallel()
	const live, frozen = "ConfigMap a changed (l)", "ConfigMap b changed (f)"
	for name, c := range map[string]struct {
		inPlace   decide.InPlace
		onFailure string
		want      decide.Reason
		apart     bool
	}{
		"under way":                        {decide.InPlace{Sidecar: true}, "", decide.LiveChanged, true},
		"confirmed":                        {decide.InPlace{Sidecar: true, Verdict: decide.Confirmed}, "", decide.ReloadConfirmed, true},
		"nobody has it":                    {decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Nothing: true}, "", decide.NothingToReload, true},
		"rejected":                         {decide.InPlace{Sidecar: true, Verdict: decide.Rejected}, "", decide.ReloadRejected, true},
		"not understood":                   {decide.InPlace{Sidecar: true, Verdict: decide.NotUnderstood}, "", decide.SidecarNotUnderstood, true},
		"unreachable":                      {decide.InPlace{Sidecar: true, Verdict: decide.Unreachable}, "", decide.SidecarUnreachable, true},
		"failed, and to be left alone":     {decide.InPlace{Sidecar: true, Verdict: decide.Failed}, "none", decide.ReloadFailed, true},
		"failed":                           {decide.InPlace{Sidecar: true, Verdict: decide.Failed}, "rollout", decide.WindowClosed, false},
		"failed in a pod that is replaced": {decide.InPlace{Sidecar: true, Verdict: decide.Failed, Failing: 1, Failed: failedPods(1)}, "evict", decide.WindowClosed, false},
		"late":                             {decide.InPlace{Sidecar: true, Verdict: decide.Overdue}, "", decide.WindowClosed, false},
		"a restart is needed":              {decide.InPlace{Sidecar: true, Verdict: decide.NeedsRestart}, "", decide.WindowClosed, false},
		"no sidecar":                       {decide.InPlace{}, "", decide.WindowClosed, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parts := injected(obj.Mount(obj.CM("a")), obj.EnvFrom(obj.CM("b")))
			if c.onFailure != "" {
				parts = append(parts, obj.Annotation(onFailure, c.onFailure))
			}
			w := withBaseline(t, parts, cm("a", "l", "1"), cm("b", "f", "1"))
			before := w.gather().Baseline.Records
			w.set(cm("a", "l", "2"), cm("b", "f", "2"))
			at := now.Add(-time.Minute)
			w.sources[cmRef("a")].Changed.Time, w.sources[cmRef("b")].Changed.Time = at, at
			w.input.InPlace, w.input.Options.Evict = c.inPlace, true
			w.input.Options.Windows = windows(t, "Sun 14:00-15:00")
			d := w.decide()
			waiting := d.Waiting()
			want := lines(frozen)
			if !c.apart {
				want = lines(live, frozen)
			}
			if d.Reason != c.want || waiting.Reason != decide.WindowClosed || d.After != 2*time.Hour || (d.Held.Reason != "") != c.apart {
				t.Errorf("%s, and %s waits for %s: %s", d.Reason, waiting.Reason, d.After, d.Message)
			}
			if diff := cmp.Diff(want, texts(waiting.Causes)); diff != "" {
				t.Errorf("what waits (-want +got):\n%s", diff)
			}
			seen := map[source.Ref]int64{cmRef("b"): at.Unix()}
			if !c.apart {
				seen[cmRef("a")] = at.Unix()
			}
			if diff := cmp.Diff(seen, d.Baseline.Seen); diff != "" || !d.Record {
				t.Errorf("recorded %t, seen (-want +got):\n%s", d.Record, diff)
			}
			taken := c.inPlace.Verdict == decide.Confirmed
			if is := !d.Baseline.Records[cmRef("a")].Equal(before[cmRef("a")]); is != taken || !d.Baseline.Records[cmRef("b")].Equal(before[cmRef("b")]) {
				t.Errorf("recorded: %+v", d.Baseline.Records)
			}
			w.apply(d)
			if again := w.decide(); again.Record {
				t.Errorf("it is recorded again and again: %s", again.Reason)
			}
		})
	}
}

// Before anything has settled nothing is reloaded either, and what is new is recorded as ever.
func TestNothingIsReloadedApartBeforeItHasSettled(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, injected(obj.Mount(obj.CM("a")), obj.EnvFrom(obj.CM("b"))), cm("a", "l", "1"), cm("b", "f", "1"))
	w.set(cm("a", "l", "2"), cm("b", "f", "2"))
	w.input.InPlace.Sidecar, w.input.Unsettled, w.input.NotBefore = true, true, now.Add(time.Second)
	if d := w.decide(); d.Action != decide.None || d.Reason != decide.BackOff || d.Held.Reason != "" {
		t.Errorf("%s (%s), and %s waits", d.Action, d.Reason, d.Held.Reason)
	}
}

// A frozen key had another value while the window was closed, a pod started with it, and it is back. An edit of a live key
// of the same source does not make that forgotten.
func TestAReloadForgetsNoValueThatPodsHaveStartedWith(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return now.Add(time.Duration(minute-60) * time.Minute) }
	for name, c := range map[string]struct {
		started time.Time
		want    decide.Action
	}{
		"a pod started with it":        {at(15), decide.Rollout},
		"no pod started in the middle": {at(0), decide.None},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := withBaseline(t, injected(obj.Mount(obj.CM("a").Items("l")), obj.Env(obj.CM("a"), "f")), cm("a", "l", "1", "f", "1"))
			edit := func(minute int, l, f string) {
				w.set(cm("a", "l", l, "f", f))
				w.sources[cmRef("a")].Changed.Time = at(minute)
			}
			open := false
			w.inputs = func(in *decide.Input) {
				in.InPlace.Sidecar = true
				if !open {
					in.Options.Windows = windows(t, "Sun 14:00-15:00")
				}
			}
			decides := func() decide.Decision {
				d := w.decide()
				if d.AskPods {
					w.input.Pods = &decide.Pods{Starts: []decide.PodStart{{Created: c.started, Running: c.started}}}
					d = w.decide()
					w.input.Pods = nil
				}
				w.apply(d)
				return d
			}
			edit(10, "1", "2")
			decides()
			edit(20, "2", "1")
			if d := decides(); d.Action != decide.Reload {
				t.Fatalf("%s (%s), want a reload", d.Action, d.Reason)
			}
			w.input.InPlace = decide.InPlace{Verdict: decide.Confirmed}
			if d := decides(); d.Reason != decide.ReloadConfirmed {
				t.Fatalf("%s, want a confirmation", d.Reason)
			}
			w.input.InPlace = decide.InPlace{}
			decides()
			open = true
			if d := decides(); d.Action != c.want {
				t.Errorf("%s (%s), want %s: %s", d.Action, d.Reason, c.want, d.Message)
			}
			if d := decides(); d.Action != decide.None || d.Record {
				t.Errorf("%s (%s) once more", d.Action, d.Reason)
			}
		})
	}
}

// What pods may have started with waits also where a live key of the source differs.
func TestAValueThatPodsHaveStartedWithWaitsBesideAReload(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, injected(obj.Mount(obj.CM("a").Items("l")), obj.Env(obj.CM("a"), "f")), cm("a", "l", "1", "f", "1"))
	w.input.InPlace.Sidecar, w.input.Options.Windows = true, windows(t, "Sun 14:00-15:00")
	w.set(cm("a", "l", "1", "f", "2"))
	w.sources[cmRef("a")].Changed.Time = now.Add(-time.Hour)
	w.apply(w.decide())
	w.set(cm("a", "l", "2", "f", "1"))
	w.sources[cmRef("a")].Changed.Time = now.Add(-time.Minute)
	started := now.Add(-30 * time.Minute)
	w.input.Pods = &decide.Pods{Starts: []decide.PodStart{{Created: started, Running: started}}}
	d := w.decide()
	if d.Action != decide.Reload || !slices.Equal(texts(d.Causes), []string{"ConfigMap a changed (l)"}) || !slices.Equal(texts(d.Held.Causes), []string{"ConfigMap a changed"}) {
		t.Errorf("%s (%s): %q, held %q", d.Action, d.Reason, texts(d.Causes), texts(d.Held.Causes))
	}
}

// A record that says nothing cannot say that some keys are taken up.
func TestASourceWhoseContentIsUnknownWaitsAsAWhole(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, injected(obj.Mount(obj.CM("a")), obj.Env(obj.CM("a"), "f")), cm("a", "l", "1", "f", "1"))
	w.input.InPlace.Sidecar, w.input.Options.Windows = true, windows(t, "Sun 14:00-15:00")
	w.inputs = func(in *decide.Input) { in.Baseline.Records[cmRef("a")] = source.Record{All: true, Binary: true} }
	if d := w.decide(); d.Action != decide.None || d.Reason != decide.WindowClosed || d.Held.Reason != "" {
		t.Errorf("%s (%s), and %s waits", d.Action, d.Reason, d.Held.Reason)
	}
}

// Neither a warning nor a report is about another content because another key of the source was edited.
func TestContentIsThatOfTheKeysThatChanged(t *testing.T) {
	t.Parallel()
	w := newFakeCluster(t, injected(obj.EnvFrom(obj.CM("a"))), cm("a", "k", "1", "l", "1"))
	content := func(pairs ...string) string {
		w.set(cm("a", pairs...))
		changed := []decide.Cause{{Ref: cmRef("a"), Diff: source.Diff{Changes: []source.Change{{Key: "k", Frozen: true}}}}}
		return decide.ContentOf(w.digester, w.gather().Uses, changed, "test")
	}
	first := content("k", "2", "l", "1")
	for name, c := range map[string]struct {
		pairs []string
		same  bool
	}{
		"another key":        {[]string{"k", "2", "l", "2"}, true},
		"the key":            {[]string{"k", "3", "l", "1"}, false},
		"the key is removed": {[]string{"l", "1"}, false},
	} {
		if is := content(c.pairs...) == first; is != c.same {
			t.Errorf("%s: the same content %t, want %t", name, is, c.same)
		}
	}
	in := w.gather()
	gone := func(key string) string {
		return decide.ContentOf(w.digester, in.Uses, []decide.Cause{{Ref: cmRef("a"), Diff: source.Diff{Changes: []source.Change{{Key: key}}}}}, "test")
	}
	if gone("x") == gone("y") {
		t.Error("two keys that are gone are one content")
	}
}
