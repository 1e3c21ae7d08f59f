package patience

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWholeSeconds(t *testing.T) {
	t.Parallel()
	if got := stretched(2*time.Second, 1.3); got != 3*time.Second {
		t.Errorf("2 s on a machine that is 1.3 times slower become %s, want 3 s", got)
	}
}

func TestSpent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		slowness         float64
		want, wantMinute time.Duration
	}{
		"an idle machine": {1, time.Second, time.Minute},
		"one that is five times slower is waited for long": {5, 200 * time.Millisecond, 5 * time.Minute},
		"one that is faster gains nothing":                 {0.5, time.Second, time.Minute},
	} {
		if got := spent(time.Second, tc.slowness); got != tc.want {
			t.Errorf("%s: a second counts %s, want %s", name, got, tc.want)
		}
		if got := stretched(time.Minute, tc.slowness); got != tc.wantMinute {
			t.Errorf("%s: a minute becomes %s, want %s", name, got, tc.wantMinute)
		}
	}
}

func TestWorkIsDone(t *testing.T) {
	t.Parallel()
	var here speed
	slowness := here.slowness()
	t.Logf("this machine is %.1f times slower than an idle one", slowness)
	if slowness < 1 || here.sink == 0 {
		t.Errorf("slowness %v after the work gave %d", slowness, here.sink)
	}
	before := here.at
	if here.slowness() != slowness || here.at != before {
		t.Error("the machine was measured twice within seconds")
	}
}

func TestWhoWaitsForAStretchedLimitWaitsAsMuchLonger(t *testing.T) {
	t.Parallel()
	quick := time.Now().Add(time.Hour) // measured just now
	m := speed{at: quick, last: 4}
	if got := m.patience(); got != 4 {
		t.Errorf("patience is %v on a machine that is four times slower, want 4", got)
	}
	if got := m.stretch(); got != 4 {
		t.Errorf("a limit was stretched by %v, want 4", got)
	}
	m.last = 1
	if got := m.patience(); got != 4 {
		t.Errorf("patience is %v once the machine is fast again, want the 4 by which a limit was stretched", got)
	}
	if got := m.stretch(); got != 1 {
		t.Errorf("the next limit is stretched by %v, want 1", got)
	}
}

func TestASlowMachineIsWaitedForInProportion(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ slowness, want float64 }{
		"an idle machine":               {1, 1},
		"one that is five times slower": {5, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := on(func() float64 { return tc.slowness }, t.Context(), time.Minute)
				defer cancel()
				begin := time.Now()
				if Until(ctx, func() bool { return false }) {
					t.Error("what does not hold is said to")
				}
				if took := time.Since(begin).Minutes(); took < tc.want*0.99 || took > tc.want*1.01 {
					t.Errorf("gave up after %.2f minutes, want %.0f", took, tc.want)
				}
				if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("cause %v", err)
				}
			})
		})
	}
}

func TestContextEndsWithItsParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		parent, stop := context.WithCancel(t.Context())
		ctx, cancel := Context(parent, time.Minute)
		defer cancel()
		stop()
		if Until(ctx, func() bool { return false }) || !errors.Is(context.Cause(ctx), context.Canceled) {
			t.Errorf("cause %v", context.Cause(ctx))
		}
	})
}
