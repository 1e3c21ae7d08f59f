package decide_test

import (
	"strings"
	"testing"
	"time"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
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

// Template and source were edited while nobody looked: pods that read the source before its last edit have other content.
func TestAUsageThatCameUnseenWhoseSourceChangedAfterwards(t *testing.T) {
	t.Parallel()
	const second = time.Second
	before := following(obj.EnvFrom(obj.CM("a")))
	after := following(obj.EnvFrom(obj.CM("a")), obj.EnvFrom(obj.CM("b")))
	started := func(ago ...time.Duration) *decide.Pods {
		pods := &decide.Pods{}
		for _, d := range ago {
			pods.Starts = append(pods.Starts, decide.PodStart{Created: now.Add(-d), Running: now.Add(-d + second), Container: "app"})
		}
		return pods
	}
	old := started(5*time.Minute, 10*second) // the source was written a minute ago
	some := following(obj.EnvFrom(obj.CM("a")), obj.Env(obj.CM("b"), "k"))
	for name, c := range map[string]struct {
		pods   *decide.Pods
		change func(*decide.Input)
		parts  []obj.Part // the template; nil for after
		want   decide.Reason
		asks   bool
		// unclear reports whether nobody can know what the pods have.
		unclear bool
	}{
		"a pod has read it before":                 {pods: old, want: decide.FrozenChanged},
		"and some keys are used":                   {pods: old, parts: some, want: decide.BaselineCreated, unclear: true},
		"some keys are used, and nobody has asked": {parts: some, want: decide.TemplateRolling, asks: true},
		"some keys are used, and all pods have started since": {
			pods: started(30*second, 10*second), parts: some, want: decide.BaselineCreated,
		},
		"some keys are used in a volume, and sidecars are asked": {pods: old, parts: injected(obj.EnvFrom(obj.CM("a")), obj.Mount(obj.CM("b").Items("k"))), change: func(in *decide.Input) {
			in.InPlace.Sidecar = true
		}, want: decide.LiveChanged},
		"all pods have started since":             {pods: started(30*second, 10*second), want: decide.BaselineCreated},
		"a pod was made before and started since": {pods: started(61 * second), want: decide.BaselineCreated},
		"a pod has started in the same second":    {pods: started(60 * second), want: decide.BaselineCreated},
		"the clocks contradict each other": {pods: &decide.Pods{Starts: []decide.PodStart{
			{Created: now.Add(-2 * time.Minute), Running: now.Add(-3 * time.Minute), Container: "app"},
		}}, want: decide.BaselineCreated},
		"a pod does not run": {pods: &decide.Pods{Starts: []decide.PodStart{{Created: now.Add(-time.Hour)}}}, want: decide.BaselineCreated},
		"another container of the pod ran before": {pods: &decide.Pods{Starts: []decide.PodStart{
			{Created: now.Add(-5 * time.Minute), Running: now.Add(-4 * time.Minute), Container: "proxy"},
			{Created: now.Add(-5 * time.Minute), Running: now.Add(-10 * second), Container: "app"},
		}}, want: decide.BaselineCreated},
		"another container of the pod ran before, and it is a volume": {pods: &decide.Pods{Starts: []decide.PodStart{
			{Created: now.Add(-5 * time.Minute), Running: now.Add(-4 * time.Minute), Container: "proxy"},
		}}, parts: following(obj.EnvFrom(obj.CM("a")), obj.Mount(obj.CM("b"))), want: decide.NoSidecar},
		"there are no pods":          {pods: &decide.Pods{}, want: decide.BaselineCreated},
		"the pods cannot be listed":  {pods: &decide.Pods{Unknown: true}, want: decide.BaselineCreated},
		"the pods are asked":         {want: decide.TemplateRolling, asks: true},
		"the rollout goes on":        {change: func(in *decide.Input) { in.Workload.Rolling = true }, want: decide.TemplateRolling},
		"with what the pods said":    {pods: old, change: func(in *decide.Input) { in.Workload.Rolling = true }, want: decide.TemplateRolling},
		"there is no baseline":       {pods: old, change: func(in *decide.Input) { in.HasBaseline, in.Baseline = false, source.Baseline{} }, want: decide.BaselineCreated},
		"the baseline is of a copy":  {pods: old, change: func(in *decide.Input) { in.Baseline.UID = "other" }, want: decide.BaselineCreated},
		"nobody knows its age":       {pods: old, change: func(in *decide.Input) { in.Workload.BaselineAt = time.Time{} }, want: decide.BaselineCreated},
		"it is as old as the source": {pods: old, change: func(in *decide.Input) { in.Workload.BaselineAt = now.Add(-time.Minute) }, want: decide.BaselineCreated},
		"nobody knows when the source was written": {pods: old, change: func(in *decide.Input) {
			for i := range in.Uses {
				s := *in.Uses[i].Snapshot
				s.ContentAt, s.Changed.Time, in.Uses[i].Snapshot = 0, time.Time{}, &s
			}
		}, want: decide.BaselineCreated},
		"a policy has brought it": {pods: old, change: func(in *decide.Input) {
			in.Baseline.References = decide.Decide(*in).Baseline.References
		}, want: decide.BaselineCreated},
		"it is optional":            {pods: old, parts: following(obj.EnvFrom(obj.CM("a")), obj.EnvFrom(obj.CM("b").Optional())), want: decide.BaselineCreated},
		"pods are replaced by hand": {pods: old, change: func(in *decide.Input) { in.Workload.Progress = workload.PartlyUpdated }, want: decide.BaselineCreated},
		"it is paused":              {pods: old, change: func(in *decide.Input) { in.Workload.Paused = true }, want: decide.BaselineCreated},
		"it is scaled to zero":      {pods: old, change: func(in *decide.Input) { in.Workload.ScaledToZero = true }, want: decide.BaselineCreated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := withBaseline(t, before, cm("a", "k", "1"))
			w.edit(after...)
			if c.parts != nil {
				w.edit(c.parts...)
			}
			w.set(at(time.Minute, 20, cm("b", "k", "2", "more", "2")))
			w.input.Pods = c.pods
			w.inputs = func(in *decide.Input) {
				in.Workload.Progress, in.Workload.Rolling = workload.Complete, false
				in.Workload.BaselineAt, in.Workload.TemplateTime = now.Add(-time.Hour), now.Add(-10*time.Minute)
				if c.change != nil {
					c.change(in)
				}
			}
			d := w.decide()
			records := c.want != decide.TemplateRolling && c.want != decide.LiveChanged
			if d.Reason != c.want || d.AskPods != c.asks || d.Record != records || (d.ContentUnknown != "") != c.unclear {
				t.Fatalf("%s, record %t, lists pods %t, %q; want %s: %s", d.Reason, d.Record, d.AskPods, d.ContentUnknown, c.want, d.Message)
			}
			if c.unclear && (!strings.Contains(d.ContentUnknown, "ConfigMap b") || strings.Contains(d.ContentUnknown, "key was replaced")) {
				t.Errorf("unknown content: %q", d.ContentUnknown)
			}
			if c.want == decide.FrozenChanged && (!strings.Contains(d.Message, "ConfigMap b") || strings.Contains(d.Message, "ConfigMap a")) {
				t.Errorf("message %q", d.Message)
			}
		})
	}
}

// A rollout that is wanted anyway brings it, and does not wait for one that never ends. A reload does not bring it.
func TestAUsageThatCameUnseenHoldsUpNoOtherRollout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		live     bool
		template time.Duration
		want     decide.Reason
		brings   bool
	}{
		"the source is younger than the template": {false, 10 * time.Minute, decide.FrozenChanged, true},
		"the template may be younger":             {false, 30 * time.Second, decide.FrozenChanged, false},
		"a reload is wanted":                      {true, 10 * time.Minute, decide.TemplateRolling, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			use := obj.EnvFrom(obj.CM("a"))
			if c.live {
				use = obj.Mount(obj.CM("a"))
			}
			w := withBaseline(t, injected(use), cm("a", "k", "1"))
			w.edit(injected(use, obj.EnvFrom(obj.CM("b")))...)
			w.set(at(time.Minute, 20, cm("b", "k", "2")), at(time.Second, 30, cm("a", "k", "2")))
			w.input.InPlace.Sidecar = true
			w.inputs = func(in *decide.Input) {
				in.Workload.Progress, in.Workload.Rolling = workload.PartlyUpdated, true
				in.Workload.BaselineAt, in.Workload.TemplateTime = now.Add(-time.Hour), now.Add(-c.template)
			}
			d := w.decide()
			if d.Reason != c.want || strings.Contains(d.Message, "ConfigMap b") != c.brings {
				t.Errorf("%s: %s; want %s", d.Reason, d.Message, c.want)
			}
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
