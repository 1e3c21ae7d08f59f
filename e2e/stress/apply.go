//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/e2e/stress/internal/plan"
	"inpod.dev/inpod/internal/patience"
)

// change makes the changes of the plan, each at its time or as soon as the API server allows.
func (s *stage) change(ctx context.Context) error {
	done, printed := 0, time.Now()
	for _, burst := range s.plan.Bursts {
		if !s.sleepUntil(ctx, burst.At) {
			return ctx.Err()
		}
		for i, c := range burst.Changes {
			if i > 0 {
				sleep(ctx, c.Pause)
			}
			if err := s.apply(ctx, c); err != nil {
				return err
			}
			done++
		}
		if time.Since(printed) > 10*time.Second {
			printed = time.Now()
			s.mu.Lock()
			pending, taken := len(s.pending), len(s.waits)
			s.mu.Unlock()
			s.say("%d changes made, %d taken up, %d workloads wait", done, taken, pending)
		}
	}
	s.say("all %d changes are made", done)
	return nil
}

// apply makes one change, and tries until the API server has accepted it.
func (s *stage) apply(ctx context.Context, c plan.Change) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	ctx, cancel := patience.Context(ctx, time.Minute)
	defer cancel()
	if c.Op == plan.Template {
		return s.edit(ctx, c)
	}
	object := manifest(c.Source, c.Content)
	begin := time.Now()
	users := s.plan.Users(c)
	s.mu.Lock()
	s.content[c.Source] = c.Content
	s.mu.Unlock()
	if c.Op == plan.Replace {
		if err := persist(ctx, func() error { return s.Delete(ctx, space, object) }); err != nil {
			return err
		}
	}
	if err := persist(ctx, func() error { return s.Apply(ctx, space, object) }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	end := time.Now()
	for _, w := range users {
		s.applied[w.Name] = append(s.applied[w.Name], plan.Applied{Begin: begin, End: end})
		s.pending[w.Name] = end
	}
	return nil
}

// edit edits the template of a workload as its user would.
func (s *stage) edit(ctx context.Context, c plan.Change) error {
	for _, w := range s.plan.Workloads {
		if w.Name != c.Workload {
			continue
		}
		k := kinds()[w.Kind]
		var patch any = map[string]any{"metadata": map[string]any{"annotations": map[string]string{domain + "/edit": c.Key}}}
		for _, field := range slices.Backward(k.template) {
			patch = map[string]any{field: patch}
		}
		body, err := json.Marshal(patch)
		if err != nil {
			return err
		}
		err = persist(ctx, func() error {
			_, err := s.Custom(k.resource, space).Patch(ctx, w.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: framework.FieldManager})
			return err
		})
		if err != nil {
			return fmt.Errorf("edit %s %s: %w", w.Kind, w.Name, err)
		}
		s.mu.Lock()
		s.edited[w.Name]++
		s.mu.Unlock()
	}
	return nil
}

func (s *stage) sleepUntil(ctx context.Context, at time.Duration) bool {
	return sleep(ctx, time.Until(s.begun.Add(at)))
}

// sleep returns false when the context ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// say prints a line with the time since the start.
func (s *stage) say(format string, args ...any) {
	fmt.Printf("  %4.0fs %s\n", time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...))
}
