package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"inpod.dev/inpod/e2e/cluster/internal/daemon"
)

// Stop ends components and leaves them so, until Up or Restart: an outage that lasts as long as a test wants.
func (c *Cluster) Stop(ctx context.Context, components ...string) error {
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return c.stopAll(components)
}

// Restart ends components, starts them again, and waits until the cluster works.
func (c *Cluster) Restart(ctx context.Context, components ...string) error {
	if _, err := os.Stat(c.place.State); err != nil {
		return ErrNotRunning
	}
	built, err := c.buildPrograms(ctx)
	if err != nil {
		return err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.stopAll(components); err != nil {
		return err
	}
	return c.bringUp(ctx, built)
}

func (c *Cluster) stopAll(components []string) error {
	if _, err := os.Stat(c.place.State); err != nil {
		return ErrNotRunning
	}
	for _, name := range components {
		record, running := c.table.Running(name)
		if !running {
			c.print.Step("%s: does not run", name)
			continue
		}
		if err := c.stopOne(record); err != nil {
			return err
		}
		c.print.Step("%s: stopped", name)
	}
	return nil
}

// stopOne ends a component. They are all made to survive a crash, so one that takes its time, as the API server does with
// open watches, is killed.
func (c *Cluster) stopOne(record daemon.Record) error {
	for _, end := range []struct {
		signal syscall.Signal
		within time.Duration
	}{{syscall.SIGTERM, 2 * time.Second}, {syscall.SIGKILL, patience}} {
		if err := syscall.Kill(record.PID, end.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		if within(end.within, func() bool { _, running := c.table.Running(record.Name); return !running }) {
			return nil
		}
	}
	return fmt.Errorf("%s does not end (process %d)", record.Name, record.PID)
}

// endStrays ends what runs with a daemon's command line although no record says so: a starter that was killed between
// the start of a process and the writing of its record leaves that, and it would hold the daemon's port.
func (c *Cluster) endStrays(process daemon.Daemon) error {
	strays := c.table.Find(process.Args)
	if len(strays) == 0 {
		return nil
	}
	c.print.Step("%s: ending process %v, which an interrupted start left", process.Name, strays)
	for _, pid := range strays {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	if !within(patience, func() bool { return len(c.table.Find(process.Args)) == 0 }) {
		return fmt.Errorf("%s: process %v of an interrupted start does not end", process.Name, strays)
	}
	return nil
}

// within checks again and again until something is so, or the time is over.
func within(limit time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return done()
}
