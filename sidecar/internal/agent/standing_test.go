package agent_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
)

// What is confirmed to the controller rests on this: Last, Tried, Pending and State are about the same moment.
func TestTriedIsAboutTheContentInState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{takes: 100 * time.Millisecond, outcomes: []agent.Outcome{{Result: agent.Applied}, {Result: agent.Rejected}}}
		a, send := run(t, r, nil, state(0))
		want := func(when string, content byte, pending, tried bool) {
			t.Helper()
			s := a.Status()
			if s.State.Sum != state(content).Sum || s.Pending != pending || s.Tried != tried {
				t.Errorf("%s: content %d: %v, pending %v, tried %v; want pending %v, tried %v",
					when, content, s.State.Sum == state(content).Sum, s.Pending, s.Tried, pending, tried)
			}
		}
		want("at the start", 0, false, false)
		send(state(1))
		want("settling", 1, true, false)
		pass(550 * time.Millisecond)
		want("being triggered", 1, true, false)
		go send(state(2)) // while the application takes up the other
		pass(20 * time.Millisecond)
		want("being triggered, with more to come", 1, true, false)
		pass(40 * time.Millisecond)
		want("triggered, and more has come", 2, true, false)
		pass(600 * time.Millisecond)
		want("rejected", 2, true, true)
		send(state(3))
		want("new content after a rejection", 3, true, false)
		pass(time.Second)
		want("applied", 3, false, true)
		send(state(4))
		send(state(3))
		want("changed and changed back", 3, false, true)
	})
}

// In a new pod the sidecar starts first, and learns only later when the application read what is there.
func TestAsksUntilThereIsAnAnswer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		loadedAfter   time.Duration // after the content came to be
		wantTriggered int
	}{
		"the application started later, and has it":     {loadedAfter: 3 * time.Second},
		"the application was there before, and has not": {loadedAfter: -time.Hour, wantTriggered: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{loadedAt: time.Now().Add(tc.loadedAfter), seenFrom: time.Now().Add(10 * time.Minute)}
				a, _ := run(t, r, nil, state(0))
				pass(10*time.Minute - time.Second)
				if s := a.Status(); !s.Assumed || s.Pending || s.Counts[agent.Applied] != 0 {
					t.Fatalf("while nothing shows it: %+v", s)
				}
				pass(62 * time.Second)
				if s := a.Status(); s.Assumed || s.Pending || len(r.triggered) != tc.wantTriggered {
					t.Errorf("once it is known: assumed %v, pending %v, triggered %d times; want %d", s.Assumed, s.Pending, len(r.triggered), tc.wantTriggered)
				}
			})
		})
	}
}

func TestNewContentEndsTheAssumption(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		a, send := run(t, r, nil, state(0))
		send(state(1))
		if a.Status().Assumed {
			t.Error("it is assumed to have what was not triggered")
		}
		send(state(0))
		if !a.Status().Assumed {
			t.Error("changed back, nothing is known more than before")
		}
		send(state(1))
		pass(time.Second)
		if s := a.Status(); s.Assumed || len(r.triggered) != 1 {
			t.Errorf("triggered %d times, assumed %v", len(r.triggered), s.Assumed)
		}
	})
}

// What goes on failing is said once, and not four times a minute.
func TestRepeatedTroubleIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		trouble := agent.Outcome{Result: agent.Failed, Message: "no such process"}
		r := &recorder{outcomes: slices.Repeat([]agent.Outcome{trouble}, 100)}
		var text strings.Builder
		a := &agent.Agent{
			Trigger: r, Now: time.Now, Timing: agent.DefaultTiming(500 * time.Millisecond), Log: slog.New(slog.NewTextHandler(&text, nil)),
		}
		states := make(chan digest.State, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); a.Run(ctx, states) }()
		states <- state(0)
		synctest.Wait()
		states <- state(1)
		pass(5 * time.Minute)
		states <- state(2)
		pass(5 * time.Minute)
		cancel()
		<-done
		if n := strings.Count(text.String(), "no such process"); n != 2 || len(r.triggered) < 20 {
			t.Errorf("%d attempts for two contents left %d lines, want 2", len(r.triggered), n)
		}
	})
}
