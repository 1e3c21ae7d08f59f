package observe

import (
	"testing"
	"time"
)

func TestNothingIsConcludedWhileAWatchIsAway(t *testing.T) {
	t.Parallel()
	type step struct {
		at    time.Duration
		went  string
		came  string
		waits time.Duration // asked after the step
	}
	for name, steps := range map[string][]step{
		"a watch that the server ends is opened again at once": {{at: 0, went: "a"}, {at: 10 * time.Millisecond, came: "a"}, {at: time.Second}},
		"one comes back later than the other": {
			{at: 0, went: "a"},
			{at: 0, went: "b"},
			{at: time.Second, waits: recheck},
			{at: 4 * time.Second, came: "a", waits: catchUp},
			{at: 6 * time.Second, waits: recheck},
			{at: 9 * time.Second, came: "b", waits: catchUp},
			{at: 9500 * time.Millisecond, waits: catchUp / 2},
			{at: 10 * time.Second},
		},
		"an attempt that fails is not another absence": {
			{at: 0, went: "a"},
			{at: 20 * time.Second, went: "a", waits: recheck},
			{at: 31 * time.Second},
		},
		"one that stays away is not waited for without end": {
			{at: 0, went: "a"},
			{at: 0, went: "b"},
			{at: 29 * time.Second, waits: recheck},
			{at: 30 * time.Second},
			{at: 60 * time.Second, came: "a", waits: catchUp},
			{at: 62 * time.Second, waits: recheck},
			{at: 90 * time.Second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, start := newWatchHealth(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			for _, step := range steps {
				now := start.Add(step.at)
				if step.went != "" {
					s.down(step.went, now)
				}
				if step.came != "" {
					s.up(step.came, now)
				}
				if got := s.wait(now); got != step.waits {
					t.Errorf("at %s: waits %s, want %s", step.at, got, step.waits)
				}
			}
		})
	}
}
