package decide_test

import (
	"strings"
	"testing"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
)

// A missing source would break new pods, and does nothing to those that run.
func TestAMissingSourceHoldsUpNoReloadInPlace(t *testing.T) {
	t.Parallel()
	parts := injected(obj.Mount(obj.CM("a")), obj.EnvFrom(obj.Sec("b")))
	for name, c := range map[string]struct {
		edit    func(*fakeCluster)
		inPlace decide.InPlace
		want    decide.Reason
	}{
		"a reload":                          {nil, decide.InPlace{Sidecar: true}, decide.LiveChanged},
		"that has worked":                   {nil, decide.InPlace{Sidecar: true, Verdict: decide.Confirmed}, decide.ReloadConfirmed},
		"that was rejected":                 {nil, decide.InPlace{Sidecar: true, Verdict: decide.Rejected}, decide.ReloadRejected},
		"that has failed, so that it rolls": {nil, decide.InPlace{Sidecar: true, Verdict: decide.Failed}, decide.SourceMissing},
		"that needs a restart":              {nil, decide.InPlace{Sidecar: true, Verdict: decide.NeedsRestart}, decide.SourceMissing},
		"where no sidecar can be asked":     {nil, decide.InPlace{Sidecar: true, Verdict: decide.Unreachable}, decide.SidecarUnreachable},
		"where a sidecar is not understood": {nil, decide.InPlace{Sidecar: true, Verdict: decide.NotUnderstood}, decide.SidecarNotUnderstood},
		"without a sidecar":                 {nil, decide.InPlace{}, decide.SourceMissing},
		"and something frozen changed":      {func(w *fakeCluster) { w.set(cm("c", "k", "2")) }, decide.InPlace{Sidecar: true}, decide.SourceMissing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := withBaseline(t, append(parts, obj.EnvFrom(obj.CM("c"))), cm("a", "k", "1"), cm("c", "k", "1"), obj.Secret("b", "k", "1"))
			w.remove(secRef("b"))
			w.set(cm("a", "k", "2"))
			if c.edit != nil {
				c.edit(w)
			}
			w.input.InPlace = c.inPlace
			if d := w.decide(); d.Reason != c.want {
				t.Errorf("%s, want %s: %s", d.Reason, c.want, d.Message)
			}
		})
	}
}

func TestWhatIsMissingInTheChangedSourceHoldsItUp(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, injected(obj.Mount(obj.CM("a").Items("k", "l"))), cm("a", "k", "1", "l", "1"))
	w.set(cm("a", "k", "2"))
	w.input.InPlace.Sidecar = true
	if d := w.decide(); d.Reason != decide.SourceMissing {
		t.Errorf("%s: %s", d.Reason, d.Message)
	}
}

// When the reload is done, what is missing is reported.
func TestWhatIsMissingIsReportedAfterTheReload(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, injected(obj.Mount(obj.CM("a")), obj.EnvFrom(obj.Sec("b"))), cm("a", "k", "1"), obj.Secret("b", "k", "1"))
	w.remove(secRef("b"))
	w.set(cm("a", "k", "2"))
	w.input.InPlace = decide.InPlace{Sidecar: true, Verdict: decide.Confirmed}
	w.apply(w.decide())
	if d := w.decide(); d.Reason != decide.SourceMissing || !strings.Contains(d.Message, "Secret b") {
		t.Errorf("%s: %s", d.Reason, d.Message)
	}
}

// The template was edited at version 5, and uses b since. Its baseline is of the time before.
func TestAUsageThatCameWithAnEditWhoseSourceChangedAtOnce(t *testing.T) {
	t.Parallel()
	before := following(obj.EnvFrom(obj.CM("a")))
	after := following(obj.EnvFrom(obj.CM("a")), obj.EnvFrom(obj.CM("b")))
	for name, c := range map[string]struct {
		changed uint64 // version of the last write of b
		edited  bool
		seen    uint64 // version of the edit of the template, 0 if it was not seen
		want    decide.Reason
	}{
		"edited after the template":         {6, true, 5, decide.FrozenChanged},
		"edited before the template":        {4, true, 5, decide.BaselineCreated},
		"made after the template":           {6, false, 5, decide.BaselineCreated},
		"the edit of the template not seen": {6, true, 0, decide.BaselineCreated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := withBaseline(t, before, cm("a", "k", "1"))
			w.edit(after...)
			w.set(cm("b", "k", "1"))
			w.sources[cmRef("b")].Changed.Version, w.sources[cmRef("b")].Edited = c.changed, c.edited
			w.input.Workload.TemplateChanged.Version = c.seen
			d := w.decide()
			if d.Reason != c.want {
				t.Fatalf("%s, want %s: %s", d.Reason, c.want, d.Message)
			}
			w.apply(d)
			w.wantNothingLeft()
		})
	}
}

// While something else holds the rollout up it is remembered that the pods may not have it, through a restart as well.
func TestAUsageThatWasOutrunIsRememberedWhileItWaits(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, following(obj.EnvFrom(obj.CM("a"))), cm("a", "k", "1"))
	w.edit(following(obj.EnvFrom(obj.CM("a")), obj.EnvFrom(obj.CM("b")))...)
	w.set(cm("b", "k", "1"))
	w.sources[cmRef("b")].Changed.Version, w.sources[cmRef("b")].Edited = 6, true
	w.input.Workload.TemplateChanged.Version = 5
	w.input.Options.NotifyOnly = true
	d := w.decide()
	if d.Reason != decide.NotifyOnly || !d.Record {
		t.Fatalf("%s, record %t", d.Reason, d.Record)
	}
	w.apply(d)
	w.input.Options.NotifyOnly = false
	w.input.Workload.TemplateChanged.Version, w.sources[cmRef("b")].Edited = 0, false // after a restart nobody has seen anything
	if d := w.decide(); d.Action != decide.Rollout || !strings.Contains(d.Message, "ConfigMap b") {
		t.Errorf("%s (%s): %s", d.Action, d.Reason, d.Message)
	}
}

// Another key of a source that is used already.
func TestAKeyThatCameWithAnEditWhoseSourceChangedAtOnce(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, following(obj.Env(obj.CM("a"), "k")), cm("a", "k", "1", "l", "1"))
	w.edit(following(obj.Env(obj.CM("a"), "k"), obj.Env(obj.CM("a"), "l"))...)
	w.set(cm("a", "k", "1", "l", "2"))
	w.sources[cmRef("a")].Changed.Version, w.sources[cmRef("a")].Edited = 6, true
	w.input.Workload.TemplateChanged.Version = 5
	d := w.decide()
	if d.Action != decide.Rollout {
		t.Fatalf("%s (%s): %s", d.Action, d.Reason, d.Message)
	}
	w.apply(d)
	w.wantNothingLeft()
}
