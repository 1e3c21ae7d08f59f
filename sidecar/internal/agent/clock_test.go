package agent_test

import (
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/sidecar/internal/digest"
)

// A needless reload is harmless and a missed one is not, so the application counts as having the content only when the
// clocks leave no doubt.
func TestWhatClocksDoNotProveIsTriggered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		changed, loaded time.Duration // before now
		path            string
		unknown         bool
		wantTriggers    int
	}{
		"the process started an hour after the change":                                     {changed: 2 * time.Hour, loaded: time.Hour},
		"the process started an hour before the change":                                    {changed: time.Hour, loaded: 2 * time.Hour, wantTriggers: 1},
		"the process started within the resolution of the clocks":                          {changed: time.Hour, loaded: time.Hour - 5*time.Millisecond, wantTriggers: 1},
		"the change is later than now":                                                     {changed: -2 * time.Hour, loaded: time.Hour, wantTriggers: 1},
		"the process started after the content was seen, and the change is later than now": {changed: -2 * time.Hour, loaded: -time.Minute},
		"the file system has a clock of its own":                                           {changed: 2 * time.Hour, loaded: time.Hour, path: "/nfs", wantTriggers: 1},
		"the process is there, and when it started is not known":                           {changed: 2 * time.Hour, unknown: true, wantTriggers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{loadedAt: time.Now().Add(-tc.loaded), there: true}
				if tc.unknown {
					r.loadedAt = time.Time{}
				}
				first := digest.Combine([]digest.Volume{{Path: tc.path, Sum: digest.Sum{1}, Changed: time.Now().Add(-tc.changed)}})
				run(t, r, nil, first)
				pass(time.Minute)
				if len(r.triggered) != tc.wantTriggers {
					t.Errorf("%d triggers, want %d", len(r.triggered), tc.wantTriggers)
				}
			})
		})
	}
}

func TestTheTriggerLearnsWhenTheContentWasSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		_, send := run(t, r, nil, state(0))
		pass(time.Minute)
		seen := time.Now()
		send(state(1))
		pass(time.Second)
		if len(r.changes) != 1 || !r.changes[0].Seen.Equal(seen) {
			t.Errorf("%+v, want one seen at %v", r.changes, seen)
		}
	})
}
