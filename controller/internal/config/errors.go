package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// InfoError means that the user asked for text in place of a run, with --help or --version: print Text to standard
// output and exit with 0.
type InfoError struct {
	Text string
}

func (e *InfoError) Error() string { return e.Text }

// UsageError means that the user has to write something else; exit with 2. It has every problem that was found, not
// just the first.
type UsageError struct {
	Problems []error
}

// Error has one line per problem.
func (e *UsageError) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, problem := range e.Problems {
		lines = append(lines, problem.Error())
	}
	return strings.Join(append(lines, "run with --help for all settings"), "\n")
}

// Unwrap makes the problems reachable for errors.Is and errors.As.
func (e *UsageError) Unwrap() []error { return e.Problems }

// isForeign tells settings that Reloader has and inpod does not. They deserve a better answer than "unknown": whoever
// moves from Reloader has to know that the setting has no effect here, and not that it is misspelled. Reloader's own
// spelling has capitals in one of them, and its documentation has none there.
func isForeign(name string) bool {
	switch strings.ToLower(name) {
	case "pause-deployment-annotation", "pause-deployment-time-annotation", "webhook-url", "resources-to-ignore",
		"ignored-workload-types", "namespaces-to-ignore", "namespace-selector", "resource-label-selector",
		"is-argo-rollouts", "sync-after-restart", "enable-csi-integration":
		return true
	default:
		return false
	}
}

// unknown is the problem of a name that is not in the table. Origin is where it was written, such as "flag --x"; render
// turns the name of a setting into the form of that place.
func unknown(origin, name string, table []setting, render func(name string) string) error {
	if isForeign(name) {
		return fmt.Errorf("%s: this is a setting of Reloader that inpod does not support yet; remove it", origin)
	}
	if known := closest(name, table); known != "" {
		return fmt.Errorf("%s is unknown; did you mean %s?", origin, render(known))
	}
	return fmt.Errorf("%s is unknown", origin)
}

// closest returns the name of the setting that is most like the given one, or "" when none is like it.
func closest(name string, table []setting) string {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	type candidate struct {
		name     string
		distance int
	}
	candidates := make([]candidate, 0, len(table)+1)
	for _, s := range append(slices.Clip(table), setting{name: "config"}) {
		candidates = append(candidates, candidate{s.name, editDistance(name, s.name)})
	}
	best := slices.MinFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	// A third of the letters may be wrong; more than that is a guess and not a suggestion.
	if best.distance > max(1, len(best.name)/3) {
		return ""
	}
	return best.name
}

// editDistance is the Levenshtein distance: the least number of letters to insert, delete or replace.
func editDistance(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		current := make([]int, len(b)+1)
		current[0] = i + 1
		for j := range len(b) {
			replace := previous[j]
			if a[i] != b[j] {
				replace++
			}
			current[j+1] = min(replace, previous[j+1]+1, current[j]+1)
		}
		previous = current
	}
	return previous[len(b)]
}
