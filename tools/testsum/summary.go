package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// event is one line of "go test -json"; see "go doc test2json".
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build output
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string
}

// tally counts the tests of a suite.
type tally struct {
	passed  int
	failed  []string // package.Test, leaves only: a parent fails because of its child
	skipped []string
}

// part is a suite whose tests run with those of another one, since they are in the same test binaries.
type part struct {
	suite, prefix string // the names of its tests begin with prefix
	tally
}

// summary reads events and remembers what the closing lines need.
type summary struct {
	screen, log io.Writer
	each        bool

	// output holds what a test or a package (no test name) printed and is not yet known to have passed.
	output map[string][]string
	tally
	part   *part    // nil for none
	broken []string // packages that failed without a failing test: build errors, panics, timeouts
}

func newSummary(screen, log io.Writer, each bool) *summary {
	return &summary{screen: screen, log: log, each: each, output: map[string][]string{}}
}

// add takes one line of output. A line that is no event is shown as it is: the shell around go test speaks too.
func (s *summary) add(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil || e.Action == "" {
		_, _ = s.screen.Write(line)
		_, _ = s.log.Write(line)
		return
	}
	switch e.Action {
	case "output":
		_, _ = io.WriteString(s.log, e.Output)
		key := e.Package + " " + e.Test
		s.output[key] = append(s.output[key], e.Output)
	case "build-output":
		_, _ = io.WriteString(s.log, e.Output)
		_, _ = io.WriteString(s.screen, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
		} else {
			s.endTest(e)
		}
	}
}

// of is where a test counts.
func (s *summary) of(test string) *tally {
	if s.part != nil && strings.HasPrefix(test, s.part.prefix) {
		return &s.part.tally
	}
	return &s.tally
}

func (s *summary) endTest(e event) {
	t := s.of(e.Test)
	key := e.Package + " " + e.Test
	name := short(e.Package) + "." + e.Test
	switch e.Action {
	case "pass":
		t.passed++
	case "skip":
		t.skipped = append(t.skipped, name)
	case "fail":
		if !slices.ContainsFunc(t.failed, func(other string) bool { return strings.HasPrefix(other, name+"/") }) {
			t.failed = append(t.failed, name)
		}
		for _, text := range s.output[key] {
			_, _ = io.WriteString(s.screen, text)
		}
	}
	delete(s.output, key)
	if s.each && !strings.Contains(e.Test, "/") {
		fmt.Fprintf(s.screen, "  %s %s (%.1f s)\n", e.Action, e.Test, e.Elapsed)
	}
}

// endPackage prints the package's closing line, which is the last thing go test said about it, and all of what it
// said when it failed.
func (s *summary) endPackage(e event) {
	key := e.Package + " "
	said := s.output[key]
	if e.Action == "fail" {
		if !slices.ContainsFunc(s.allFailed(), func(name string) bool { return strings.HasPrefix(name, short(e.Package)+".") }) {
			s.broken = append(s.broken, short(e.Package))
		}
		// A panic or a timeout belongs to a test that never ended.
		for other, text := range s.output {
			if other != key && strings.HasPrefix(other, key) {
				said = append(slices.Clone(text), said...)
				delete(s.output, other)
			}
		}
	} else if len(said) > 1 {
		said = said[len(said)-1:]
	}
	for _, text := range said {
		if text != "PASS\n" && text != "FAIL\n" {
			_, _ = io.WriteString(s.screen, text)
		}
	}
	delete(s.output, key)
}

// closing is the suite's one line and whether all is well.
func (s *summary) closing(suite, logFile string, took time.Duration, failure error) (string, bool) {
	if failure != nil && len(s.allFailed()) > len(s.failed) {
		failure = nil // the tests of the part explain it, and have a line of their own
	}
	var wrong []string
	if len(s.broken) > 0 {
		wrong = append(wrong, "packages that did not build or died: "+strings.Join(s.broken, ", "))
	}
	return s.tally.closing(suite, logFile, took, wrong, failure)
}

// closingPart is the line of the suite that ran along.
func (s *summary) closingPart(logFile string, took time.Duration) (string, bool) {
	var wrong []string
	if len(s.broken) > 0 {
		wrong = append(wrong, "packages that did not build or died are named above")
	}
	return s.part.closing(s.part.suite, logFile, took, wrong, nil)
}

// closing is a suite's line. wrong is what went wrong beside tests, failure what matters only if nothing else did.
func (t *tally) closing(suite, logFile string, took time.Duration, wrong []string, failure error) (string, bool) {
	seconds := int(took.Round(time.Second).Seconds())
	if len(t.failed) > 0 {
		tests := fmt.Sprintf("%d of %d tests: %s", len(t.failed), t.passed+len(t.failed), strings.Join(t.failed, ", "))
		wrong = append([]string{tests}, wrong...)
	}
	if len(wrong) == 0 && failure != nil {
		wrong = append(wrong, failure.Error())
	}
	if len(wrong) == 0 && t.passed == 0 {
		wrong = append(wrong, "no test ran")
	}
	if len(wrong) > 0 {
		return fmt.Sprintf("%s: FAILED in %d s: %s (log: %s)", suite, seconds, strings.Join(wrong, "; "), logFile), false
	}
	line := fmt.Sprintf("%s: ok %d tests in %d s", suite, t.passed, seconds)
	if len(t.skipped) > 0 {
		line += fmt.Sprintf(", %d skipped: %s", len(t.skipped), strings.Join(t.skipped, ", "))
	}
	return line, true
}

// allFailed are the tests that failed, those of the part included.
func (s *summary) allFailed() []string {
	if s.part == nil {
		return s.failed
	}
	return slices.Concat(s.failed, s.part.failed)
}

// short drops the module's path from a package's.
func short(pkg string) string {
	if trimmed, ok := strings.CutPrefix(pkg, "inpod.dev/inpod/"); ok {
		return trimmed
	}
	return pkg
}
