// Command cluster runs a complete single-node Kubernetes on the local machine, one per checkout, for the tests and the
// walkthrough.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"inpod.dev/inpod/e2e/cluster/internal/cluster"
)

func main() {
	// Files that are made here end up in images, where other users have to read them.
	syscall.Umask(0o022)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := exitCode(run(ctx, os.Args[1:]))
	stop()
	os.Exit(code)
}

// usageError is a command line that makes no sense.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "cluster:", err)
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return 2
	case errors.Is(err, cluster.ErrNotRunning), errors.Is(err, cluster.ErrUnhealthy):
		return 3
	}
	return 1
}
