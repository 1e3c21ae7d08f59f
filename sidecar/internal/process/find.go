package process

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ErrNotFound means that no process matches, which is normal before the application has started.
var ErrNotFound = errors.New("no such process is visible (not started yet? is shareProcessNamespace set?)")

// ErrAmbiguous means that several unrelated processes match.
var ErrAmbiguous = errors.New("several processes match; name one by command line or container")

// Selector says which process is meant. Everything that is set must match.
type Selector struct {
	// Names are the names under which the executable is known, of any length. One of them must match.
	Names []string
	// Cmdline is matched against the arguments, joined by spaces.
	Cmdline *regexp.Regexp
	// Container is the name of the Kubernetes container.
	Container string
}

// IsZero is true for a selector that says nothing.
func (s Selector) IsZero() bool { return len(s.Names) == 0 && s.Cmdline == nil && s.Container == "" }

// String names the selector in messages.
func (s Selector) String() string {
	var parts []string
	if len(s.Names) > 0 {
		parts = append(parts, "named "+strings.Join(s.Names, " or "))
	}
	if s.Cmdline != nil {
		parts = append(parts, "with a command line like "+s.Cmdline.String())
	}
	if s.Container != "" {
		parts = append(parts, "in container "+s.Container)
	}
	return "process " + strings.Join(parts, ", ")
}

// Matches reports whether p is meant.
func (s Selector) Matches(p Process) bool {
	if s.Container != "" && p.Container != s.Container {
		return false
	}
	if s.Cmdline != nil && !s.Cmdline.MatchString(strings.Join(p.Args, " ")) {
		return false
	}
	if len(s.Names) == 0 {
		return true
	}
	// The kernel's name is compared whole, never as a prefix: "prometheus-aler" is the start of more than one program,
	// so for longer names the arguments must say it.
	return slices.ContainsFunc(p.names(), func(name string) bool { return slices.Contains(s.Names, name) })
}

// Find returns the one process that is meant: of the matches, the one whose parent does not match. That is the master
// among equals for every server that forks workers, and signaling a worker may kill it (gunicorn, php-fpm).
func Find(all []Process, s Selector) (Process, error) {
	if s.IsZero() {
		return Process{}, errors.New("nothing says which process is meant")
	}
	matching := map[int]bool{}
	for _, p := range all {
		if s.Matches(p) {
			matching[p.PID] = true
		}
	}
	var masters []Process
	for _, p := range all {
		if matching[p.PID] && !matching[p.Parent] {
			masters = append(masters, p)
		}
	}
	switch len(masters) {
	case 0:
		return Process{}, fmt.Errorf("%s: %w", s, ErrNotFound)
	case 1:
		return masters[0], nil
	}
	var names []string
	for _, p := range masters {
		names = append(names, p.String())
	}
	return Process{}, fmt.Errorf("%s: %s: %w", s, strings.Join(names, ", "), ErrAmbiguous)
}
