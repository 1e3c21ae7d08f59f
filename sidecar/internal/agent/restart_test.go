package agent_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/sidecar/internal/agent"
)

// A useless reload renews the workers: their age says nothing of what the application has.
func TestARestartOfTheSidecarForgetsNotWhatNeedsOne(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		outcome     agent.Outcome
		edited      bool          // while the sidecar is away
		loaded      time.Duration // before the next start of the sidecar
		started     time.Duration
		want        agent.Result
		wantPending bool
		wantSent    int // after that start
	}{
		"the useless signal renewed the workers": {
			outcome: agent.Outcome{Result: agent.NeedsRestart, Triggered: true, Final: true}, loaded: time.Second, started: time.Hour,
			want: agent.NeedsRestart, wantPending: true,
		},
		"nothing was sent": {
			outcome: agent.Outcome{Result: agent.NeedsRestart, Final: true}, loaded: time.Hour, started: time.Hour,
			want: agent.NeedsRestart, wantPending: true,
		},
		"the process has started since": {
			outcome: agent.Outcome{Result: agent.NeedsRestart, Triggered: true, Final: true}, loaded: time.Second, started: time.Second,
		},
		"the content has changed since": {
			outcome: agent.Outcome{Result: agent.NeedsRestart, Final: true}, edited: true, loaded: time.Hour, started: time.Hour,
			want: agent.Applied, wantSent: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &memory{}
				r := &recorder{outcomes: []agent.Outcome{tc.outcome}}
				_, send := run(t, r, m, state(0))
				content := state(1)
				send(content)
				pass(time.Minute)
				if tc.edited {
					content = state(2)
				}
				next := &recorder{loadedAt: time.Now().Add(-tc.loaded), startedAt: time.Now().Add(-tc.started)}
				a, _ := run(t, next, m, content)
				pass(time.Second)
				s := a.Status()
				if s.Pending != tc.wantPending || s.Last.Result != tc.want || len(next.triggered) != tc.wantSent || tc.wantPending && !s.Tried {
					t.Errorf("pending %v, %+v after %d triggers, tried %v; want pending %v, %q after %d",
						s.Pending, s.Last, len(next.triggered), s.Tried, tc.wantPending, tc.want, tc.wantSent)
				}
				if !tc.wantPending {
					return
				}
				next.answer(agent.Outcome{Result: agent.Applied, Proven: true})
				pass(time.Minute)
				if s := a.Status(); s.Pending || m.sum != content.Sum || m.NeedsRestart(content.Sum) {
					t.Errorf("once a later process is seen: %+v", s)
				}
			})
		})
	}
}

func TestOneRunSendsNothingForWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{loadedAt: time.Now().Add(-time.Hour)}
		a := &agent.Agent{
			Trigger: r, Memory: &memory{recorded: true, restart: state(1).Sum}, Now: time.Now, Timing: agent.DefaultTiming(time.Second),
			Log: slog.New(slog.DiscardHandler), Certain: true,
		}
		if !a.Start(t.Context(), state(1)) {
			t.Error("the application is taken to have it")
		}
		if out := a.Attempt(t.Context()); out.Result != agent.NeedsRestart || len(r.triggered) != 0 {
			t.Errorf("%+v after %d triggers, want none", out, len(r.triggered))
		}
	})
}
