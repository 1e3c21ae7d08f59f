//go:build e2e

// Command chaos makes 300 random changes to what 40 workloads of all kinds use, while the controller is killed again and
// again, the API server is restarted, and admission refuses one workload. Then it looks whether every workload has the
// final content, whether any was rolled more often than its settled changes ask for, and whether the refused workload
// held up another one.
//
// The same seed makes the same changes and faults at the same times. When they take effect is up to the cluster, so that
// the verdict counts and compares states; the only times in it are deadlines, and the waits of one run among each other.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"inpod.dev/inpod/e2e/chaos/internal/plan"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	seed := flag.Uint64("seed", 1, "what changes and faults are made from: the same seed gives the same ones")
	strategy := flag.String("strategy", "env-vars", "how rollouts are written: env-vars or annotations")
	flag.Parse()
	err := run(ctx, *seed, *strategy)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos: FAIL:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, seed uint64, strategy string) (err error) {
	fmt.Printf("chaos: seed %d, strategy %s; once more: make chaos SEED=%d STRATEGY=%s\n", seed, strategy, seed, strategy)
	s, err := set(ctx, plan.New(seed), strategy)
	if s == nil {
		return err
	}
	defer func() {
		fmt.Println("chaos: cleaning up")
		err = errors.Join(err, s.clear(context.WithoutCancel(ctx)))
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
	broken := make(chan error, 1)
	go func() { broken <- s.breakThings(ctx) }()
	if err := errors.Join(s.change(ctx), <-broken); err != nil {
		return err
	}
	problems := s.judge(ctx)
	enough()
	followers.Wait()
	s.print(os.Stdout)
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	fmt.Printf("chaos: PASS after %s: seed %d, strategy %s\n", time.Since(s.begun).Round(time.Second), seed, strategy)
	return ctx.Err()
}
