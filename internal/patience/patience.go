// Package patience is how long tests wait for what has to come. A condition that holds early costs nothing of it, and a
// machine that is slow is waited for in proportion: tests judge what inpod promises, not how fast the machine is.
//
//	patience.Await(t, "the file is written", func() bool { ... })   // asks again and again
//	state := patience.Receive(t, "a state", states)                 // takes the next one of a channel
//	ctx, cancel := patience.Context(ctx, time.Minute)               // a minute of an idle machine
//	lease := patience.Stretch(2 * time.Second)                      // a limit that the program under test holds itself
//
// Only tests, and programs that test, import it.
package patience

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"
)

// Usual is for waits that are over in a moment on an idle machine.
const Usual = time.Minute

// Context ends when an idle machine would have had so much time: a second counts less while the machine is slow, and one
// in which the machine stood still counts as one. Its cause is then an error that is [context.DeadlineExceeded].
func Context(parent context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return on(machine.patience, parent, limit)
}

// on is Context on a machine.
//
//nolint:revive // the context is the parent of the result, as in package context, and the machine is what is special
func on(slowness func() float64, parent context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		ticker := time.NewTicker(step)
		defer ticker.Stop()
		begin := time.Now()
		for left := limit; left > 0; left -= spent(step, slowness()) {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
		cancel(fmt.Errorf("%w after %s, on a machine that is %.1f times slower than an idle one now or when a limit was stretched",
			context.DeadlineExceeded, time.Since(begin).Round(time.Second), slowness()))
	}()
	return ctx, func() { cancel(nil) }
}

// step is the time between two checks whether the time limit has passed.
const step = time.Second

// spent is how much of a limit goes by in a while.
func spent(while time.Duration, slowness float64) time.Duration {
	return time.Duration(float64(while) / max(slowness, 1))
}

// Stretch makes a limit longer in proportion to how slow the machine is now. The result has whole seconds, in which most
// settings count. What this process waits for from then on may take as much longer, however fast the machine is by then.
func Stretch(limit time.Duration) time.Duration {
	return stretched(limit, machine.stretch())
}

func stretched(limit time.Duration, slowness float64) time.Duration {
	return time.Duration(math.Ceil(limit.Seconds()*max(slowness, 1))) * time.Second
}

// Until asks until the condition holds and reports whether it does. It gives up when ctx ends.
func Until(ctx context.Context, holds func() bool) bool {
	pause := time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return holds()
		case <-timer.C:
			pause = min(2*pause, 50*time.Millisecond)
			timer.Reset(pause)
		}
	}
	return true
}

// Await asks until the condition holds, and ends the test when patience is over.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := Context(t.Context(), Usual)
	defer cancel()
	if !Until(ctx, holds) {
		t.Fatalf("waited for: %s: %v", what, context.Cause(ctx))
	}
}

// Receive takes the next value of a channel, and ends the test when patience is over.
func Receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	ctx, cancel := Context(t.Context(), Usual)
	defer cancel()
	select {
	case value := <-from:
		return value
	case <-ctx.Done():
		t.Fatalf("waited for: %s: %v", what, context.Cause(ctx))
		panic("unreachable")
	}
}

// speed remembers how slow the machine was a moment ago, since finding out costs some of its time.
type speed struct {
	mu   sync.Mutex
	at   time.Time
	last float64
	sink uint64
	// stretched is the largest factor by which a limit was made longer.
	stretched float64
}

var machine speed // there is one machine

// slowness is how many times longer a piece of work takes than on an idle machine of the usual kind, and at least 1.
func (s *speed) slowness() float64 {
	const (
		fresh = 5 * time.Second
		// usual is what the work takes on an idle processor of 2020.
		usual = 25 * time.Millisecond
	)
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.at) > fresh {
		s.sink = work()
		s.at, s.last = time.Now(), max(1, float64(time.Since(now))/float64(usual))
	}
	return max(1, s.last)
}

// stretch is slowness, and is remembered for those who wait.
func (s *speed) stretch() float64 {
	factor := s.slowness()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stretched = max(s.stretched, factor)
	return factor
}

// patience is how many times longer than on an idle machine something may take: the machine may be slow now, or a limit of
// the program under test was made longer while it was.
func (s *speed) patience() float64 {
	factor := s.slowness()
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(factor, s.stretched)
}

// work is longer than the scheduler lets one thread go before others, so that it takes longer on a busy machine.
func work() uint64 {
	const rounds = 10_000_000
	x := uint64(88172645463325252)
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}
