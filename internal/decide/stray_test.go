package decide_test

import (
	"strings"
	"testing"
	"time"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// Pods whose workload is of no kind that inpod knows are reloaded, and whatever comes of it is reported and rolls
// nothing.
func TestPodsOfAnUnknownWorkloadAreNeverRolled(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		inPlace    decide.InPlace
		options    decide.Options
		notBefore  time.Time
		parts      []obj.Part
		wantAction decide.Action
		wantReason decide.Reason
		wantWords  string
	}{
		"a change":             {inPlace: decide.InPlace{Sidecar: true}, wantAction: decide.Reload, wantReason: decide.LiveChanged},
		"a change in a storm":  {inPlace: decide.InPlace{Sidecar: true}, notBefore: now.Add(time.Hour), wantAction: decide.Reload, wantReason: decide.LiveChanged},
		"a rejection":          {inPlace: decide.InPlace{Sidecar: true, Verdict: decide.Rejected, Message: "no"}, wantAction: decide.None, wantReason: decide.ReloadRejected, wantWords: "keeps the old content"},
		"a failure":            {inPlace: decide.InPlace{Sidecar: true, Verdict: decide.Failed, Message: "no"}, wantAction: decide.None, wantReason: decide.ReloadFailed, wantWords: "no workload that inpod can roll out owns the pods: ConfigMap conf changed (k); reload in pod"},
		"a pod that is late":   {inPlace: decide.InPlace{Sidecar: true, Verdict: decide.Overdue, Message: "no"}, wantAction: decide.None, wantReason: decide.ReloadFailed, wantWords: "no workload that inpod can roll out owns the pods"},
		"what needs a restart": {inPlace: decide.InPlace{Sidecar: true, Verdict: decide.NeedsRestart, Message: "no"}, wantAction: decide.None, wantReason: decide.RestartNeeded, wantWords: "needs a restart"},
		"a closed port":        {inPlace: decide.InPlace{Sidecar: true, Verdict: decide.Unreachable, Message: "no"}, wantAction: decide.None, wantReason: decide.SidecarUnreachable, wantWords: "no sidecar of the pods can be reached"},
		"a closed port that rolls others": {
			inPlace: decide.InPlace{Sidecar: true, Verdict: decide.Unreachable, Message: "no"}, options: decide.Options{RollUnreachable: true},
			wantAction: decide.None, wantReason: decide.ReloadFailed, wantWords: "no workload that inpod can roll out owns the pods",
		},
		"pods that lack the sidecar": {inPlace: decide.InPlace{}, wantAction: decide.None, wantReason: decide.NoSidecar, wantWords: "no workload that inpod can roll out owns the pods"},
		"a change that is frozen": {
			inPlace: decide.InPlace{Sidecar: true}, parts: []obj.Part{obj.EnvFrom(obj.CM("conf"))},
			wantAction: decide.None, wantReason: decide.FrozenChanged, wantWords: "no workload that inpod can roll out owns the pods",
		},
		"a confirmation": {inPlace: decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true}, wantAction: decide.None, wantReason: decide.ReloadConfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parts := tc.parts
			if parts == nil {
				parts = []obj.Part{obj.Mount(obj.CM("conf"))}
			}
			w := withBaseline(t, injected(parts...), obj.ConfigMap("conf", "k", "0"))
			w.set(obj.ConfigMap("conf", "k", "1"))
			w.input.Options, w.input.NotBefore = tc.options, tc.notBefore
			w.inputs = func(in *decide.Input) { in.Workload.Stray, in.InPlace = true, tc.inPlace }
			d := w.decide()
			if d.Action != tc.wantAction || d.Reason != tc.wantReason || !strings.Contains(d.Message, tc.wantWords) || strings.Contains(d.Message, "--unreachable") {
				t.Errorf("%s %s: %s; want %s %s with %q", d.Action, d.Reason, d.Message, tc.wantAction, tc.wantReason, tc.wantWords)
			}
		})
	}
}

// No object could carry their baseline: they are asked what they have.
func TestPodsOfAnUnknownWorkloadAreAsked(t *testing.T) {
	t.Parallel()
	w := newFakeCluster(t, injected(obj.Mount(obj.CM("conf"))), obj.ConfigMap("conf", "k", "0"))
	state := decide.InPlace{Sidecar: true}
	ask := true
	w.inputs = func(in *decide.Input) { in.Workload.Stray, in.InPlace, in.Ask = true, state, ask && !in.HasBaseline }
	if d := w.decide(); d.Action != decide.Reload || len(d.Causes) != 1 || d.Causes[0].Ref != (source.Ref{Kind: source.ConfigMap, Namespace: obj.Namespace, Name: "conf"}) {
		t.Errorf("at first: %s %s of %v", d.Action, d.Reason, d.Causes)
	}
	state.Verdict = decide.Confirmed
	if d := w.decide(); d.Reason != decide.ReloadConfirmed || !d.Record {
		t.Errorf("when they have it: %s %s, recorded %v", d.Action, d.Reason, d.Record)
	}
	state.Verdict = decide.Rejected
	if d := w.decide(); d.Reason != decide.ReloadRejected || !d.Warning {
		t.Errorf("when they do not accept it: %s %s", d.Action, d.Reason)
	}
	ask = false
	if d := w.decide(); d.Reason != decide.BaselineCreated || d.Action != decide.None {
		t.Errorf("when they cannot be asked: %s %s", d.Action, d.Reason)
	}
}
