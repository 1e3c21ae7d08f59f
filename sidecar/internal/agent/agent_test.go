package agent_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
)

// recorder is a trigger that remembers what it was called with, and when.
type recorder struct {
	triggered []digest.Sum
	at        []time.Time
	changes   []agent.Change
	takes     time.Duration
	outcomes  []agent.Outcome // used up one by one, then applied
	mu        sync.Mutex      // guards answers, which tests give while the agent runs
	answers   []agent.Outcome // to Ask
	asked     []time.Time
	loadedAt  time.Time
	// startedAt is the age of the process, that of loadedAt when it is zero.
	startedAt time.Time
	there     bool      // it is known that the application is there, if not more
	seenFrom  time.Time // nobody knows loadedAt before
}

func (r *recorder) Reload(ctx context.Context, c agent.Change) agent.Outcome {
	r.triggered, r.at, r.changes = append(r.triggered, c.State.Sum), append(r.at, time.Now()), append(r.changes, c)
	select {
	case <-time.After(r.takes):
	case <-ctx.Done():
	}
	if len(r.outcomes) == 0 {
		return agent.Outcome{Result: agent.Applied}
	}
	next := r.outcomes[0]
	r.outcomes = r.outcomes[1:]
	return next
}

// Ask gives the answers one by one, then goes on being late.
func (r *recorder) Ask(context.Context, agent.Change) agent.Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, time.Now())
	if len(r.answers) == 0 {
		return agent.Outcome{Result: agent.Late, Triggered: true}
	}
	next := r.answers[0]
	r.answers = r.answers[1:]
	return next
}

// answer is what the next calls of Ask give.
func (r *recorder) answer(outcomes ...agent.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = outcomes
}

func (r *recorder) LoadedAt(context.Context) (time.Time, bool) {
	return r.loadedAt, r.there || !r.loadedAt.IsZero() && !time.Now().Before(r.seenFrom)
}

func (r *recorder) StartedAt(ctx context.Context) (time.Time, bool) {
	if r.startedAt.IsZero() {
		return r.LoadedAt(ctx)
	}
	return r.startedAt, true
}

type memory struct {
	sum      digest.Sum
	restart  digest.Sum
	recorded bool
	fail     bool
}

func (m *memory) Applied(sum digest.Sum) (recorded, same bool) {
	return m.recorded, m.recorded && m.sum == sum
}

func (m *memory) NeedsRestart(sum digest.Sum) bool { return m.recorded && m.restart == sum }

func (m *memory) Record(applied, needsRestart digest.Sum) error {
	if m.fail {
		return errors.New("disk full")
	}
	m.sum, m.restart, m.recorded = applied, needsRestart, true
	return nil
}

// pass lets fake time pass, and what it makes due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func state(n byte, missing ...string) digest.State {
	return digest.Combine([]digest.Volume{{Path: "/v", Sum: digest.Sum{n}, Changed: time.Now(), Missing: missing}})
}

// run starts an agent in the bubble. send gives it a state, as the watcher does.
func run(t *testing.T, r *recorder, m agent.Memory, first digest.State) (a *agent.Agent, send func(digest.State)) {
	t.Helper()
	a = &agent.Agent{
		Trigger: r, Memory: m, Now: time.Now, Timing: agent.DefaultTiming(500 * time.Millisecond),
		Log:      slog.New(slog.DiscardHandler),
		OwnClock: func(s digest.State) bool { return s.Volumes[0].Path != "/nfs" },
	}
	states := make(chan digest.State, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx, states) }()
	t.Cleanup(func() { cancel(); <-done })
	send = func(s digest.State) {
		select {
		case <-states:
		default:
		}
		states <- s
		synctest.Wait()
	}
	send(first)
	return a, send
}

func TestSettles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		_, send := run(t, r, nil, state(0))
		send(state(1))
		pass(400 * time.Millisecond)
		send(state(2)) // a second volume, or the rest of an edit
		last := time.Now()
		pass(10 * time.Second)
		if len(r.triggered) != 1 || r.triggered[0] != state(2).Sum {
			t.Fatalf("triggered %d times, want once with the last content", len(r.triggered))
		}
		if waited := r.at[0].Sub(last); waited != 500*time.Millisecond {
			t.Errorf("waited %v after the last change, want 500 ms", waited)
		}
	})
}

func TestSettlesNotForever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		_, send := run(t, r, nil, state(0))
		begin := time.Now()
		for i := range 50 {
			send(state(byte(i + 1)))
			pass(200 * time.Millisecond)
		}
		if len(r.at) == 0 || r.at[0].Sub(begin) != 5*time.Second {
			t.Errorf("triggered at %v after %v, want after 5 s of unrest", r.at, begin)
		}
	})
}

func TestChangeDuringReloadIsSeenOnceAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{takes: 3 * time.Second}
		_, send := run(t, r, nil, state(0))
		send(state(1))
		pass(time.Second) // now reloading
		send(state(2))
		send(state(3))
		pass(time.Minute)
		if len(r.triggered) != 2 || r.triggered[1] != state(3).Sum {
			t.Errorf("triggered %d times, want twice, the second time with the newest", len(r.triggered))
		}
	})
}

func TestChangedBackTriggersNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		a, send := run(t, r, nil, state(0))
		send(state(1))
		send(state(0))
		pass(time.Minute)
		if len(r.triggered) != 0 || a.Status().Pending {
			t.Errorf("triggered %d times, status %+v; want nothing to do", len(r.triggered), a.Status())
		}
	})
}

func TestRetries(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		outcome   agent.Outcome
		wantAfter []time.Duration
	}{
		"failed is tried again soon": {
			outcome:   agent.Outcome{Result: agent.Failed},
			wantAfter: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second},
		},
		"died is tried again soon, since the kubelet restarts it": {
			outcome:   agent.Outcome{Result: agent.Died},
			wantAfter: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second},
		},
		"rejected is tried again late": {
			outcome:   agent.Outcome{Result: agent.Rejected},
			wantAfter: []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute},
		},
		"final is not tried again": {outcome: agent.Outcome{Result: agent.Failed, Final: true}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{outcomes: slices.Repeat([]agent.Outcome{tc.outcome}, max(1, len(tc.wantAfter)))}
				a, send := run(t, r, nil, state(0))
				send(state(1))
				pass(time.Hour)
				if len(r.at) != len(tc.wantAfter)+1 {
					t.Fatalf("%d attempts, want %d", len(r.at), len(tc.wantAfter)+1)
				}
				for i, want := range tc.wantAfter {
					if got := r.at[i+1].Sub(r.at[i]); got != want {
						t.Errorf("attempt %d after %v, want %v", i+2, got, want)
					}
				}
				send(state(2))
				pass(time.Second)
				if a.Status().Last.Result != agent.Applied {
					t.Errorf("new content after trouble: %+v", a.Status().Last)
				}
			})
		})
	}
}

func TestMissingFilesHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		a, send := run(t, r, nil, state(0))
		send(state(1, "/v/gone"))
		pass(time.Hour)
		if len(r.triggered) != 0 || a.Status().Phase != "held" {
			t.Fatalf("triggered %d times, phase %s; want held", len(r.triggered), a.Status().Phase)
		}
		send(state(2))
		pass(time.Second)
		if len(r.triggered) != 1 {
			t.Errorf("triggered %d times once complete, want once", len(r.triggered))
		}
	})
}

func TestStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		cases := map[string]struct {
			memory        *memory
			loadedAt      time.Time
			wantTriggered int
		}{
			"nothing is known":                            {},
			"the process is younger than the content":     {loadedAt: now.Add(time.Hour)},
			"the process is older than the content":       {loadedAt: now.Add(-time.Hour), wantTriggered: 1},
			"the content is recorded as applied":          {memory: &memory{recorded: true, sum: state(1).Sum}, loadedAt: now.Add(-time.Hour)},
			"another content is recorded":                 {memory: &memory{recorded: true, sum: state(9).Sum}, wantTriggered: 1},
			"another is recorded, but the process is new": {memory: &memory{recorded: true, sum: state(9).Sum}, loadedAt: now.Add(time.Hour)},
		}
		for name, tc := range cases {
			r := &recorder{loadedAt: tc.loadedAt}
			a := &agent.Agent{
				Trigger: r, Now: time.Now, Timing: agent.DefaultTiming(time.Second), Log: slog.New(slog.DiscardHandler),
			}
			if tc.memory != nil {
				a.Memory = tc.memory
			}
			if pending := a.Start(t.Context(), state(1)); pending != (tc.wantTriggered == 1) {
				t.Errorf("%s: pending = %v, want %v", name, pending, tc.wantTriggered == 1)
			}
		}
	})
}

func TestPendingAtStartIsAppliedOnceAndRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{recorded: true, sum: state(9).Sum}
		r := &recorder{}
		run(t, r, m, state(1))
		pass(time.Minute)
		if len(r.triggered) != 1 || m.sum != state(1).Sum {
			t.Errorf("triggered %d times, recorded %v", len(r.triggered), m.sum == state(1).Sum)
		}
	})
}

func TestFirstStateIsRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		run(t, &recorder{}, m, state(1))
		if !m.recorded || m.sum != state(1).Sum {
			t.Error("a later start has nothing to compare with")
		}
	})
}

func TestTroubleIsRecordedAsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		_, send := run(t, &recorder{outcomes: []agent.Outcome{{Result: agent.Failed, Triggered: true}}}, m, state(1))
		send(state(2))
		pass(600 * time.Millisecond)
		if m.sum != (digest.Sum{}) {
			t.Error("the old content is recorded as applied, which nobody knows")
		}
	})
}

func TestMemoryThatFailsIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		a, send := run(t, r, &memory{fail: true}, state(0))
		send(state(1))
		pass(time.Minute)
		if s := a.Status(); len(r.triggered) != 1 || s.Counts[agent.Applied] != 1 || s.Phase != "idle" {
			t.Errorf("triggered %d times, status %+v", len(r.triggered), s)
		}
	})
}

func TestChangedBackAfterTrouble(t *testing.T) {
	t.Parallel()
	for name, triggered := range map[string]bool{"it was triggered, so it is triggered again": true, "it was never triggered": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{outcomes: []agent.Outcome{{Result: agent.Rejected, Triggered: triggered}}}
				a, send := run(t, r, nil, state(0))
				send(state(1))
				pass(time.Second)
				send(state(0))
				pass(time.Second)
				if again := len(r.triggered) == 2; again != triggered || a.Status().Pending {
					t.Errorf("triggered %d times, pending %v", len(r.triggered), a.Status().Pending)
				}
			})
		})
	}
}
