//go:build e2e

// Command bench puts a load on the controller and prints what it cost: requests by verb, time from the edit to the
// patch, processor time and memory, and beside them the bare cost of the same patches in a loop.
//
// The controller runs as a process of this machine against a real API server; pods are on a Node object
// without a kubelet, and run nothing. Every figure of a scenario is of one run on one machine: compare the rows,
// and the ratios, not the seconds with those of another machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	only := flag.String("only", "", "names of scenarios, separated by commas; all without it")
	controller := flag.String("controller", "", "the controller's binary")
	flag.Parse()
	err := run(ctx, *controller, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, controller, only string) error {
	b, err := newBench(ctx, controller)
	if err != nil {
		return err
	}
	defer b.cleanUp(ctx)
	var rows []row
	failed := false
	for _, s := range scenarios() {
		if only != "" && !strings.Contains(","+only+",", ","+s.name+",") {
			continue
		}
		fmt.Printf("%s: %s\n", s.name, s.about)
		r, err := s.run(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		r.name = s.name
		failed = failed || len(r.broken()) > 0
		rows = append(rows, r)
	}
	printTable(os.Stdout, rows)
	if failed {
		return errors.New("a budget was exceeded; see the last column")
	}
	return nil
}
