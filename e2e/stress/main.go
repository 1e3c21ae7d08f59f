//go:build e2e

// Command stress makes random changes to what 40 workloads of all kinds use, 300 in four minutes. With -faults the
// controller is killed again and again meanwhile, the API server is restarted, admission refuses one workload and is slow for
// another one, rollouts are undone, and workloads are copied with their baselines. Then it
// looks whether every workload has the final content, whether any was rolled more often than its settled changes ask for,
// whether a pod that reloads in place was restarted or replaced, and whether the refused workload held up another one.
// It prints how much memory controller, injector and sidecars use; without faults none of them may grow.
//
// The same seed makes the same changes and faults at the same times. When they take effect is up to the cluster, so that
// the verdict counts and compares states; the only times in it are deadlines, and the waits of one run among each other.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"inpod.dev/inpod/e2e/stress/internal/plan"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	var o options
	flag.BoolVar(&o.faults, "faults", true, "kill the controller, restart the API server, refuse a workload, undo rollouts, copy workloads, slow admission down")
	flag.DurationVar(&o.duration, "duration", 4*time.Minute, "how long changes are made")
	flag.Uint64Var(&o.seed, "seed", 1, "what changes and faults are made from: the same seed gives the same ones")
	flag.StringVar(&o.without, "without", "key", "faults to leave out, separated by commas: "+strings.Join(slices.Sorted(maps.Keys(plan.Names())), ", ")+"; none leaves out nothing")
	flag.StringVar(&o.strategy, "strategy", "env-vars", "how rollouts are written: env-vars or annotations")
	flag.Parse()
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stress: FAIL:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	faults   bool
	duration time.Duration
	seed     uint64
	strategy string
	without  string
}

func (o options) String() string {
	return fmt.Sprintf("FAULTS=%t DURATION=%s SEED=%d STRATEGY=%s WITHOUT=%s", o.faults, o.duration, o.seed, o.strategy, o.without)
}

// leftOut are the faults that the flag leaves out.
func (o options) leftOut() ([]plan.What, error) {
	var all []plan.What
	for name := range strings.SplitSeq(o.without, ",") {
		what, known := plan.Names()[name]
		if !known && name != "" && name != "none" {
			return nil, fmt.Errorf("-without: %q is none of %s", name, strings.Join(slices.Sorted(maps.Keys(plan.Names())), ", "))
		}
		if known {
			all = append(all, what)
		}
	}
	return all, nil
}

func run(ctx context.Context, o options) (result error) {
	fmt.Printf("stress: once more: make stress %s\n", o)
	without, err := o.leftOut()
	if err != nil {
		return err
	}
	s, err := set(ctx, plan.New(o.seed, o.duration, o.faults, without...), o.strategy)
	if s == nil {
		return err
	}
	defer func() {
		fmt.Println("stress: cleaning up")
		ctx := context.WithoutCancel(ctx)
		result = errors.Join(result, s.clear(ctx), s.hollow.Stop(ctx))
	}()
	if err != nil {
		return err
	}
	s.begun = time.Now().Add(time.Second) // until then all look
	watching, enough := context.WithCancel(ctx)
	defer enough()
	var followers sync.WaitGroup
	followers.Go(func() { s.follow(watching) })
	followers.Go(func() { s.templates(watching) })
	followers.Go(func() { s.weigh(watching) })
	broken := make(chan error, 1)
	go func() { broken <- s.breakThings(ctx) }()
	if err := errors.Join(s.change(ctx), <-broken); err != nil {
		return err
	}
	problems := s.judge(ctx)
	enough()
	followers.Wait()
	s.print(os.Stdout)
	s.memory.print(os.Stdout)
	if !o.faults { // else the processes are not those of the start
		problems = append(problems, s.memory.growth()...)
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	fmt.Printf("stress: PASS after %s: %s\n", time.Since(s.begun).Round(time.Second), o)
	return ctx.Err()
}
