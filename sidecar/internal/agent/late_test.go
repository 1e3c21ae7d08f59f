package agent_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
)

func late(n int, then ...agent.Outcome) []agent.Outcome {
	return append(slices.Repeat([]agent.Outcome{{Result: agent.Late, Triggered: true}}, n), then...)
}

func TestALateAnswerIsAskedForAndTheTriggerNotRepeated(t *testing.T) {
	t.Parallel()
	applied := agent.Outcome{Result: agent.Applied, Proven: true, Triggered: true}
	for name, tc := range map[string]struct {
		outcomes, answers []agent.Outcome // the first outcome is late
		wait              time.Duration
		wantTriggers      int
		want              agent.Result
		wantPhase         string
		wantCounts        map[agent.Result]int64
	}{
		"the proof comes after 12 s": {
			answers: late(3, applied), wait: 20 * time.Second, wantTriggers: 1, want: agent.Applied, wantPhase: "idle",
			wantCounts: map[agent.Result]int64{agent.Late: 1, agent.Applied: 1},
		},
		"nothing has come yet": {
			wait: 5 * time.Minute, wantTriggers: 1, want: agent.Late, wantPhase: "late", wantCounts: map[agent.Result]int64{agent.Late: 1},
		},
		"nothing ever comes, and the same content is not sent again": {
			wait: 10 * time.Hour, wantTriggers: 1, want: agent.Failed, wantPhase: "given up",
			wantCounts: map[agent.Result]int64{agent.Late: 1, agent.Failed: 1},
		},
		"a refusal comes late, and is tried again as any refusal": {
			answers: late(2, agent.Outcome{Result: agent.Rejected, Triggered: true}), wait: 25 * time.Second, wantTriggers: 1, want: agent.Rejected,
			wantPhase: "retrying", wantCounts: map[agent.Result]int64{agent.Late: 1, agent.Rejected: 1},
		},
		"the application ends late": {
			answers: late(2, agent.Outcome{Result: agent.Died, Triggered: true}), outcomes: []agent.Outcome{applied}, wait: 20 * time.Second, wantTriggers: 2,
			want: agent.Applied, wantPhase: "idle", wantCounts: map[agent.Result]int64{agent.Late: 1, agent.Died: 1, agent.Applied: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{outcomes: append(late(1), tc.outcomes...), answers: tc.answers}
				a, send := run(t, r, nil, state(0))
				send(state(1))
				pass(tc.wait)
				s := a.Status()
				if len(r.triggered) != tc.wantTriggers || s.Last.Result != tc.want || s.Phase != tc.wantPhase {
					t.Errorf("%d triggers, %s, phase %s; want %d, %s, %s", len(r.triggered), s.Last.Result, s.Phase, tc.wantTriggers, tc.want, tc.wantPhase)
				}
				for _, result := range agent.Results() {
					if s.Counts[result] != tc.wantCounts[result] {
						t.Errorf("%d times %s, want %d", s.Counts[result], result, tc.wantCounts[result])
					}
				}
				if s.Attempts != int64(tc.wantTriggers) {
					t.Errorf("%d attempts, want %d", s.Attempts, tc.wantTriggers)
				}
				send(state(2))
				pass(2 * time.Minute)
				if tc.want == agent.Failed && len(r.triggered) != 2 {
					t.Error("new content after a failure is not sent")
				}
			})
		})
	}
}

func TestNewContentWaitsForALateAnswerButNotForEver(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answers []agent.Outcome
		wantAt  time.Duration // after the new content
	}{
		"the answer comes, and the new content follows": {answers: late(3, agent.Outcome{Result: agent.Applied}), wantAt: 12 * time.Second},
		"the former content is refused":                 {answers: late(3, agent.Outcome{Result: agent.Rejected}), wantAt: 12 * time.Second},
		"no answer comes":                               {wantAt: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{outcomes: late(1), answers: tc.answers}
				a, send := run(t, r, nil, state(0))
				send(state(1))
				pass(3500 * time.Millisecond) // 500 ms until it was sent; asked after 1 and 3 s; the next two after 7 and 15 s
				newer := time.Now()
				send(state(2))
				pass(2 * time.Minute)
				if diff := cmp.Diff([]digest.Sum{state(1).Sum, state(2).Sum}, r.triggered); diff != "" {
					t.Fatalf("triggers (-want +got):\n%s", diff)
				}
				if got := r.at[1].Sub(newer); got.Round(time.Second) != tc.wantAt {
					t.Errorf("the new content was sent after %v, want about %v", got, tc.wantAt)
				}
				if a.Status().Last.Result != agent.Applied || a.Status().Pending {
					t.Errorf("at the end: %+v", a.Status())
				}
			})
		})
	}
}

func TestOneRunWaitsForALateAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{outcomes: late(1), answers: late(2, agent.Outcome{Result: agent.Applied})}
		a := &agent.Agent{Trigger: r, Now: time.Now, Timing: agent.DefaultTiming(time.Second), Log: slog.New(slog.DiscardHandler)}
		a.Start(t.Context(), state(1))
		if out := a.Attempt(t.Context()); out.Result != agent.Applied || len(r.triggered) != 1 {
			t.Errorf("%+v after %d triggers", out, len(r.triggered))
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		r.outcomes = late(1)
		if out := a.Attempt(ended); out.Result != agent.Late {
			t.Errorf("%+v, want late: it was stopped", out)
		}
	})
}

func TestAProcessThatNeedsARestartIsFoundAndSentNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{
			outcomes: []agent.Outcome{{Result: agent.NeedsRestart, Triggered: true}}, answers: late(5, agent.Outcome{Result: agent.Applied, Proven: true}),
		}
		a, send := run(t, r, nil, state(0))
		send(state(1))
		pass(20 * time.Second)
		if s := a.Status(); s.Last.Result != agent.NeedsRestart || !s.Pending || s.Phase != "given up" || len(r.triggered) != 1 {
			t.Errorf("%d triggers, %+v; want one that needs a restart", len(r.triggered), s)
		}
		pass(time.Hour)
		if s := a.Status(); s.Last.Result != agent.Applied || s.Pending || len(r.triggered) != 1 || len(r.asked) != 6 {
			t.Errorf("%d triggers, asked %d times, %+v; want the new process seen", len(r.triggered), len(r.asked), s)
		}
		r.outcomes, r.answers = []agent.Outcome{{Result: agent.NeedsRestart}}, nil
		send(state(2))
		pass(time.Minute)
		send(state(3))
		pass(time.Second)
		if s := a.Status(); s.Last.Result != agent.Applied || s.Pending {
			t.Errorf("new content after one that needs a restart: %+v", s)
		}
	})
}
