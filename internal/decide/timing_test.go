package decide_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/window"
)

// changedCluster is a cluster in which the ConfigMap a has changed, and what its workload says of when it may be
// rolled.
func changedCluster(t *testing.T, parts []obj.Part, change func(*decide.Input)) *fakeCluster {
	t.Helper()
	w := withBaseline(t, parts, cm("a", "k", "0"))
	w.set(cm("a", "k", "1"))
	w.inputs = change
	return w
}

func TestPauses(t *testing.T) {
	t.Parallel()
	frozen, live := following(obj.EnvFrom(obj.CM("a"))), injected(obj.Mount(obj.CM("a")))
	for name, c := range map[string]struct {
		parts  []obj.Part
		change func(*decide.Input)
		want   decide.Reason
		after  time.Duration
	}{
		"no period": {frozen, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausedAt: now.Add(-time.Second)}
		}, decide.FrozenChanged, 0},
		"within it": {frozen, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausePeriod: new(time.Minute), PausedAt: now.Add(-20 * time.Second)}
		}, decide.PausePeriod, 40 * time.Second},
		"over": {frozen, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausePeriod: new(time.Minute), PausedAt: now.Add(-time.Minute)}
		}, decide.FrozenChanged, 0},
		"never rolled": {frozen, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausePeriod: new(time.Minute)}
		}, decide.FrozenChanged, 0},
		"another clock is a little ahead": {frozen, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausePeriod: new(time.Minute), PausedAt: now.Add(10 * time.Second)}
		}, decide.PausePeriod, 70 * time.Second},
		"a time that somebody made up": {frozen, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausePeriod: new(time.Minute), PausedAt: now.Add(time.Hour)}
		}, decide.FrozenChanged, 0},
		"a reload in place is no rollout": {live, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausePeriod: new(time.Minute), PausedAt: now}
			in.InPlace.Sidecar = true
		}, decide.LiveChanged, 0},
		"the rollout after a reload that failed": {live, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausePeriod: new(time.Minute), PausedAt: now}
			in.InPlace = decide.InPlace{Sidecar: true, Verdict: decide.Failed}
		}, decide.PausePeriod, time.Minute},
		"Reloader's, over": {frozen, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausePeriod: new(time.Minute), PausedAt: now.Add(-time.Hour), PausedByReloader: true}
			in.Workload.Paused = true
		}, decide.PausedByReloader, 0},
		"Reloader's, not over": {frozen, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausePeriod: new(time.Minute), PausedAt: now, PausedByReloader: true}
			in.Workload.Paused = true
		}, decide.PausePeriod, time.Minute},
		"Reloader's without a period any more": {frozen, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausedAt: now, PausedByReloader: true}
			in.Workload.Paused = true
		}, decide.PausedByReloader, 0},
		"Reloader's, and notify-only": {frozen, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausedAt: now, PausedByReloader: true}
			in.Workload.Paused, in.Options.NotifyOnly = true, true
		}, decide.NotifyOnly, 0},
		"Reloader's annotation on what goes on": {frozen, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausedAt: now.Add(-time.Hour), PausedByReloader: true}
		}, decide.FrozenChanged, 0},
		"somebody else's": {frozen, func(in *decide.Input) {
			in.Policy.Pacing = annotation.Pacing{PausedAt: now.Add(-time.Hour)}
			in.Workload.Paused = true
		}, decide.FrozenChanged, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := changedCluster(t, c.parts, c.change).decide()
			if d.Reason != c.want || d.After != c.after {
				t.Errorf("%s after %s, want %s after %s: %s", d.Reason, d.After, c.want, c.after, d.Message)
			}
		})
	}
}

// now is a Sunday, 12:00 UTC.
func TestWindows(t *testing.T) {
	t.Parallel()
	frozen, live := following(obj.EnvFrom(obj.CM("a"))), injected(obj.Mount(obj.CM("a")))
	for name, c := range map[string]struct {
		parts       []obj.Part
		own, global string // "" for none, "never" for one that cannot be read
		change      func(*decide.Input)
		want        decide.Reason
		after       time.Duration
	}{
		"open":                            {frozen, "Sun 11:00-13:00", "", nil, decide.FrozenChanged, 0},
		"closed":                          {frozen, "Sun 14:00-15:00", "", nil, decide.WindowClosed, 2 * time.Hour},
		"in another zone":                 {frozen, "14:00-15:00 Asia/Tokyo", "", nil, decide.WindowClosed, 17 * time.Hour},
		"never":                           {frozen, "never", "", nil, decide.WindowClosed, 0},
		"for all":                         {frozen, "", "Mon 12:00-13:00", nil, decide.WindowClosed, 24 * time.Hour},
		"its own before that for all":     {frozen, "Sun 12:00-13:00", "Mon 12:00-13:00", nil, decide.FrozenChanged, 0},
		"always":                          {frozen, "always", "Mon 12:00-13:00", nil, decide.FrozenChanged, 0},
		"a reload in place does not wait": {live, "Sun 14:00-15:00", "", func(in *decide.Input) { in.InPlace.Sidecar = true }, decide.LiveChanged, 0},
		"the rollout after one that failed does": {live, "Sun 14:00-15:00", "", func(in *decide.Input) {
			in.InPlace = decide.InPlace{Sidecar: true, Verdict: decide.Overdue}
		}, decide.WindowClosed, 2 * time.Hour},
		"what Reloader paused waits for it": {frozen, "Sun 14:00-15:00", "", func(in *decide.Input) {
			in.Policy.Pacing.PausedAt, in.Policy.Pacing.PausedByReloader, in.Workload.Paused = now.Add(-time.Hour), true, true
		}, decide.WindowClosed, 2 * time.Hour},
		"and goes on in it": {frozen, "Sun 11:00-15:00", "", func(in *decide.Input) {
			in.Policy.Pacing.PausedAt, in.Policy.Pacing.PausedByReloader, in.Workload.Paused = now.Add(-time.Hour), true, true
		}, decide.PausedByReloader, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := changedCluster(t, c.parts, func(in *decide.Input) {
				if c.own != "" {
					own := windows(t, c.own)
					in.Policy.Pacing.Windows = &own
				}
				if c.global != "" {
					in.Options.Windows = windows(t, c.global)
				}
				if c.change != nil {
					c.change(in)
				}
			}).decide()
			if d.Reason != c.want || d.After != c.after {
				t.Errorf("%s after %s, want %s after %s: %s", d.Reason, d.After, c.want, c.after, d.Message)
			}
		})
	}
}

func windows(t *testing.T, text string) window.Windows {
	t.Helper()
	if text == "never" {
		return window.Closed()
	}
	w, err := window.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAClosedWindowSaysWhenItOpens(t *testing.T) {
	t.Parallel()
	d := changedCluster(t, following(obj.EnvFrom(obj.CM("a"))), func(in *decide.Input) {
		in.Options.Windows = windows(t, "Mon 22:00-23:00 Europe/Berlin")
	}).decide()
	if want := "Rollout delayed until 2026-03-02 22:00 CET, when the maintenance window opens: ConfigMap a changed (k)"; d.Message != want || d.Warning {
		t.Errorf("warning %t, message %q, want %q", d.Warning, d.Message, want)
	}
}

// Nothing has changed, but the end of Reloader's pause has to be met.
func TestAPauseOfReloaderIsReconciledWhenItEnds(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, following(obj.EnvFrom(obj.CM("a"))), cm("a", "k", "0"))
	w.inputs = func(in *decide.Input) {
		in.Policy.Pacing = annotation.Pacing{PausePeriod: new(time.Minute), PausedAt: now, PausedByReloader: true}
		in.Workload.Paused = true
	}
	if d := w.decide(); d.Reason != decide.Unchanged || d.After != time.Minute {
		t.Errorf("%s after %s, want %s after 1m0s", d.Reason, d.After, decide.Unchanged)
	}
}

func TestWhatIsDeferredStaysToBeDone(t *testing.T) {
	t.Parallel()
	w := changedCluster(t, following(obj.EnvFrom(obj.CM("a"))), func(in *decide.Input) { in.Options.NotifyOnly = true })
	w.apply(w.decide())
	w.inputs = nil
	if d := w.decide(); d.Action != decide.Rollout {
		t.Errorf("%s (%s), want a rollout", d.Action, d.Reason)
	}
}

func TestARolloutWritesItsTimeWhereAPauseBeginsWithIt(t *testing.T) {
	t.Parallel()
	for period, want := range map[time.Duration]bool{0: false, time.Minute: true} {
		w := changedCluster(t, following(obj.EnvFrom(obj.CM("a"))), func(in *decide.Input) { in.Policy.Pacing.PausePeriod = new(period) })
		if d := w.decide(); d.Action != decide.Rollout || d.Pause != want {
			t.Errorf("period %s: %s with pause %t, want %t", period, d.Action, d.Pause, want)
		}
	}
}
