package settings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"inpod.dev/inpod/internal/spelling"
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

// unknown is the problem of a name that is not in the table. Origin is where it was written, such as "flag --x"; render
// turns the name of a setting into the form of that place.
func (p Program) unknown(origin, name string, render func(name string) string) error {
	if known := closest(name, p.Table); known != "" {
		return fmt.Errorf("%s is unknown; did you mean %s?", origin, render(known))
	}
	return fmt.Errorf("%s is unknown", origin)
}

// closest returns the name of the setting that is most like the given one, or "" when none is like it.
func closest(name string, table []Setting) string {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	type candidate struct {
		name     string
		distance int
	}
	candidates := make([]candidate, 0, len(table)+1)
	for _, s := range append(slices.Clip(table), Setting{Name: "config"}) {
		candidates = append(candidates, candidate{s.Name, spelling.Distance(name, s.Name)})
	}
	best := slices.MinFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	if !spelling.Near(best.distance, best.name) {
		return ""
	}
	return best.name
}
