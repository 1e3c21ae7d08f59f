package agent_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/sidecar/internal/agent"
)

// A dry run is made once for each content, and nothing takes the application for having it.
func TestDryRunIsNotApplied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dry := agent.Outcome{Result: agent.DryRun, Final: true, Message: "would"}
		r, m := &recorder{outcomes: []agent.Outcome{dry, dry}}, &memory{}
		a, send := run(t, r, m, state(0))
		for n := range byte(2) {
			send(state(n + 1))
			pass(time.Hour)
			got := a.Status()
			if got.Phase != "dry run" || !got.Pending || !got.AppliedAt.IsZero() || got.Counts[agent.DryRun] != int64(n+1) || got.Counts[agent.Applied] != 0 {
				t.Errorf("status = %+v, want a dry run that has applied nothing", got)
			}
			if m.sum != state(0).Sum {
				t.Error("it is recorded as applied")
			}
		}
		if len(r.triggered) != 2 {
			t.Errorf("%d attempts, want one for each content", len(r.triggered))
		}
	})
}

func TestCertaintyIsAskedFor(t *testing.T) {
	t.Parallel()
	at := time.Now()
	cases := map[string]struct {
		memory   *memory
		loadedAt time.Time
		certain  bool
		want     bool
	}{
		"nothing shows it":                        {memory: &memory{}, certain: true, want: true},
		"nothing shows it, and it may be assumed": {memory: &memory{}},
		"it is recorded":                          {memory: &memory{recorded: true, sum: state(0).Sum}, certain: true},
		"the application has read it since then":  {memory: &memory{}, loadedAt: at.Add(time.Hour), certain: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &agent.Agent{
				Trigger: &recorder{loadedAt: tc.loadedAt}, Memory: tc.memory, Now: time.Now, Timing: agent.DefaultTiming(time.Second),
				Log: slog.New(slog.DiscardHandler), Certain: tc.certain,
			}
			if got := a.Start(t.Context(), state(0)); got != tc.want {
				t.Errorf("pending = %v, want %v", got, tc.want)
			}
			if tc.want && tc.memory.recorded {
				t.Error("it is recorded although nobody knows")
			}
		})
	}
}
