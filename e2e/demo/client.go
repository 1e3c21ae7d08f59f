//go:build e2e

package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// client reads the log of the pod that uses the service all the time, and counts.
type client struct {
	stop context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	answers  int
	failures []string
	// first and last are the times of the first and of the latest answer with a text.
	first, last map[string]time.Time
	// latest is the text of the latest answer, inRow how many answers in a row had it.
	latest string
	inRow  int
	// changed is closed and made anew with each line.
	changed chan struct{}
}

// ok ends the line of an answer that is as it should be.
const ok = " 200"

// listen begins to read the log.
func (s *stage) listen(ctx context.Context, pod string) (*client, error) {
	ctx, stop := context.WithCancel(ctx)
	options := &corev1.PodLogOptions{Follow: true, TailLines: new(int64(0))}
	stream, err := s.cluster.Client.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
	if err != nil {
		stop()
		return nil, fmt.Errorf("log of pod %s: %w", pod, err)
	}
	c := &client{
		stop: stop, done: make(chan struct{}), first: map[string]time.Time{}, last: map[string]time.Time{},
		changed: make(chan struct{}),
	}
	go func() {
		defer close(c.done)
		defer stream.Close()
		for lines := bufio.NewScanner(stream); lines.Scan(); {
			c.take(lines.Text(), time.Now())
		}
	}()
	return c, nil
}

func (c *client) close() {
	c.stop()
	<-c.done
}

func (c *client) take(line string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, good := strings.CutSuffix(line, ok)
	if good {
		c.answers++
		if c.first[answer].IsZero() {
			c.first[answer] = now
		}
		c.last[answer] = now
		if answer != c.latest {
			c.latest, c.inRow = answer, 0
		}
		c.inRow++
	} else {
		c.failures = append(c.failures, line)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// until waits until the client has seen what the condition asks for.
func (c *client) until(ctx context.Context, condition func() bool) error {
	for {
		c.mu.Lock()
		met, changed := condition(), c.changed
		c.mu.Unlock()
		if met {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.done:
			return fmt.Errorf("the log of the client ended; it had %d answers and the failures %q", c.answers, c.failures)
		case <-changed:
		}
	}
}

// switched waits until no pod has given the old answer for a while, and returns when the first new one and the last
// old one came.
func (c *client) switched(ctx context.Context, before, after string) (first, last time.Time, err error) {
	// With three pods behind the service, so many answers without one of an old pod have a chance of 0.2 %.
	const enough = 15
	err = c.until(ctx, func() bool { return c.latest == after && c.inRow >= enough })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first[after], c.last[before], err
}

// verdict fails if a request failed.
func (c *client) verdict() (answers int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) > 0 {
		return c.answers, &failure{
			"no failed request", fmt.Sprintf("%d of %d, such as %q", len(c.failures), c.answers+len(c.failures), c.failures[0]),
			[]string{"kubectl -n " + namespace + " logs client"},
		}
	}
	return c.answers, nil
}
