//go:build e2e

package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/patience"
)

// client reads the log of the pod that uses the service all the time: a line for each answer.
type client struct {
	close context.CancelFunc

	mu       sync.Mutex
	answers  []answer
	failures []string
	ended    bool
}

// answer is an answer that is as it should be.
type answer struct {
	text string
	at   time.Time
}

// listen begins to read the log, from now on.
func (d *demo) listen(ctx context.Context) *client {
	ctx, stop := context.WithCancel(ctx)
	c := &client{close: stop}
	if d.err == nil {
		d.clientRuns(ctx)
	}
	if d.err != nil {
		return c
	}
	options := &corev1.PodLogOptions{Follow: true, TailLines: new(int64(0))}
	stream, err := d.Client.CoreV1().Pods(namespace).GetLogs("client", options).Stream(ctx)
	if !d.try(err) {
		return c
	}
	go func() {
		defer stream.Close()
		for lines := bufio.NewScanner(stream); lines.Scan(); {
			c.take(lines.Text(), time.Now())
		}
		c.mu.Lock()
		c.ended = true
		c.mu.Unlock()
	}()
	return c
}

func (c *client) take(line string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text, ok := strings.CutSuffix(line, " 200"); ok {
		c.answers = append(c.answers, answer{text, now})
	} else {
		c.failures = append(c.failures, line)
	}
}

// all are the answers so far.
func (c *client) all() []answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.answers)
}

// count is how many answers had a text.
func (c *client) count(text string) int {
	count := 0
	for _, a := range c.all() {
		if a.text == text {
			count++
		}
	}
	return count
}

// time is when the first or the last answer with a text came.
func (c *client) time(text string, last bool) time.Time {
	var at time.Time
	for _, a := range c.all() {
		if a.text == text && (last || at.IsZero()) {
			at = a.at
		}
	}
	return at
}

// await waits until the client has seen what the condition asks for.
func (d *demo) await(ctx context.Context, c *client, what string, holds func() bool) {
	if d.err != nil {
		return
	}
	ctx, cancel := patience.Context(ctx, rolloutPatience)
	defer cancel()
	ended := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.ended
	}
	patience.Until(ctx, func() bool { return holds() || ended() })
	if !holds() {
		d.fail("that %s, saw %s", what, c)
	}
	d.ok("%s", what)
}

// noneFailed checks that no request failed.
func (d *demo) noneFailed(c *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) > 0 {
		d.fail("no failed request of the client, saw %d, such as %q", len(c.failures), c.failures[0])
	}
}

func (c *client) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d answers, the latest %v, failures %q", len(c.answers), c.answers[max(0, len(c.answers)-3):], c.failures)
}
