//go:build e2e

// Command soak edits ConfigMaps at random for a while, one that nginx reloads in place and one that rolls, and then looks
// whether every pod has the final content, whether a pod of the first was restarted or replaced, and how much memory
// controller and sidecars use.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	duration := flag.Duration("duration", 20*time.Minute, "how long to edit")
	seed := flag.Uint64("seed", 1, "what the edits are made from: the same seed edits the same way")
	flag.Parse()
	err := run(ctx, *duration, *seed)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, duration time.Duration, seed uint64) error {
	s, err := set(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("soak: edits for %s with seed %d\n", duration, seed)
	before, err := s.pods(ctx, "live")
	if err != nil {
		return err
	}
	begin, edits := time.Now(), edits{random: rand.New(rand.NewPCG(seed, seed))}
	if err := s.edit(ctx, &edits, begin.Add(duration)); err != nil {
		return err
	}
	fmt.Printf("%s: %d edits in place, %d that roll; now every pod has to come to the last ones\n", since(begin), edits.live, edits.rolled)
	problems := s.settled(ctx, edits)
	after, err := s.pods(ctx, "live")
	if err != nil {
		return err
	}
	problems = append(problems, unchanged(before, after)...)
	problems = append(problems, s.memory.growth()...)
	s.memory.print(os.Stdout)
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	fmt.Printf("soak: ok after %s: every pod has the final content, no pod of the injected workload was restarted or replaced\n", since(begin))
	return s.RemoveNamespace(ctx, space)
}

func since(begin time.Time) time.Duration { return time.Since(begin).Round(time.Second) }

// edits are what was written so far.
type edits struct {
	random       *rand.Rand
	live, rolled int
}

// edit writes until the end: in place every 2 to 15 seconds, sometimes twice in a row, and the other one about ten times in
// 20 minutes, which is what a workload may be rolled before its rollouts are put off.
func (s *soak) edit(ctx context.Context, e *edits, end time.Time) error {
	nextLive, nextRolled, nextLook := time.Now(), time.Now().Add(20*time.Second), time.Now().Add(time.Minute)
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for time.Now().Before(end) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		now := time.Now()
		if now.After(nextLive) {
			for range 1 + e.random.IntN(2) {
				e.live++
				if err := s.write(ctx, "live", "default.conf", server(e.live)); err != nil {
					return err
				}
			}
			nextLive = now.Add(2*time.Second + time.Duration(e.random.Int64N(int64(13*time.Second))))
		}
		if now.After(nextRolled) {
			e.rolled++
			if err := s.write(ctx, "rolled", "version", strconv.Itoa(e.rolled)); err != nil {
				return err
			}
			nextRolled = now.Add(90*time.Second + time.Duration(e.random.Int64N(int64(60*time.Second))))
		}
		if now.After(nextLook) {
			if err := s.look(ctx); err != nil {
				return err
			}
			fmt.Printf("  %s left, %d edits in place, %d that roll, memory: %s\n", time.Until(end).Round(time.Second), e.live, e.rolled, s.memory.last())
			nextLook = now.Add(time.Minute)
		}
	}
	return s.look(ctx)
}
