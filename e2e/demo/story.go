//go:build e2e

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"inpod.dev/inpod/e2e/internal/kit"
)

// chapter is a part of the story that can fail without taking the others with it.
type chapter struct {
	title string
	// vital tells that nothing can be told after this chapter if it fails.
	vital bool
	tell  func(context.Context, *stage) error
}

// act is a part of the story.
type act struct {
	title    string
	chapters []chapter
}

// story is everything that is told, in order.
func story() []act {
	return []act{
		{"Act one: rolling upgrades", []chapter{
			{title: "Install inpod", vital: true, tell: install},
			{title: "nginx, with its configuration in a ConfigMap", tell: startNginx},
			{title: "Edit the ConfigMap, watch nginx roll", tell: editNginx},
			{title: "search and match: only what lets itself be found", tell: searchAndMatch},
			{title: "A list of names, and two edits at once", tell: namedList},
			{title: "Edits that nobody needs", tell: nothingToDo},
			{title: "Another strategy, by an upgrade that rolls nothing", tell: otherStrategy},
		}},
		{"Act two: reloads in the pod", []chapter{
			{title: "The same edit, and no pod is replaced", tell: reloadInPlace},
			{title: "A broken edit", tell: brokenEdit},
			{title: "Both kinds of use in one workload", tell: bothKinds},
			{title: "Told by HTTP: prometheus", tell: reloadByURL},
		}},
	}
}

// tell tells the story and returns the exit code.
func tell(ctx context.Context, s *stage) int {
	begun := time.Now()
	v := s.voice
	v.Title("inpod: edit a ConfigMap, and the pods that use it follow")
	v.Say("A ConfigMap is edited, and nothing happens: pods were started with the old content, and many of them will " +
		"never see the new one. inpod watches ConfigMaps, Secrets and what uses them, and makes running workloads use the " +
		"current content. This walkthrough shows it on a real cluster with real nginx. Lines with a $ are what you would " +
		"type to do the same; times count from the edit.")
	number := 0
	for _, a := range story() {
		v.Act(a.title)
		for _, c := range a.chapters {
			number++
			v.Chapter(number, c.title)
			err := c.tell(ctx, s)
			if err == nil {
				continue
			}
			s.report(ctx, c.title, err)
			s.rows = append(s.rows, row{changed: fmt.Sprintf("chapter %d: %s", number, c.title), did: "FAILED", failed: true})
			if c.vital || ctx.Err() != nil {
				return end(s, begun)
			}
		}
	}
	if err := s.nothingElse(ctx); err != nil {
		s.report(ctx, "Nothing but this", err)
		s.rows = append(s.rows, row{changed: "nothing", did: "FAILED: see above", failed: true})
	}
	return end(s, begun)
}

// nothingElse checks that no workload has been rolled once more than was told.
func (s *stage) nothingElse(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(s.revisions)) {
		state, err := s.cluster.State(ctx, kit.Deployment(namespace, name))
		if err != nil {
			return err
		}
		if err := s.check(state); err != nil {
			return err
		}
	}
	return nil
}

// end closes the story with the table and with what one would try next.
func end(s *stage, begun time.Time) int {
	v := s.voice
	v.Act("Summary")
	v.Gap()
	if !summarize(v, s.rows, time.Since(begun)) {
		return 1
	}
	v.Say("The cluster and inpod keep running. inpod works in the namespace %s only, so try it there. %s Three things to do next:",
		namespace, s.whereKubectl())
	v.Command("kubectl -n %s get pods --watch", namespace)
	v.Command("kubectl -n %s edit configmap cm-live      # or cm-nginx", namespace)
	v.Command("kubectl -n %s events --for deployment/deploy-live", namespace)
	return 0
}
