package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSummary(t *testing.T) {
	const pkg = `"Package":"inpod.dev/inpod/internal/source"`
	cases := map[string]struct {
		lines   []string
		failure error

		wantOK     bool
		wantLine   string
		wantScreen string
	}{
		"passing tests are counted, their output is not shown, the package line is": {
			lines: []string{
				`{"Action":"run",` + pkg + `,"Test":"TestA"}`,
				`{"Action":"output",` + pkg + `,"Test":"TestA","Output":"noise\n"}`,
				`{"Action":"pass",` + pkg + `,"Test":"TestA"}`,
				`{"Action":"output",` + pkg + `,"Output":"PASS\n"}`,
				`{"Action":"output",` + pkg + `,"Output":"ok  \tinpod.dev/inpod/internal/source\t0.1s\n"}`,
				`{"Action":"pass",` + pkg + `}`,
			},
			wantOK:     true,
			wantLine:   "unit: ok 1 tests in 3 s",
			wantScreen: "ok  \tinpod.dev/inpod/internal/source\t0.1s\n",
		},
		"a failing subtest is shown and named once": {
			lines: []string{
				`{"Action":"output",` + pkg + `,"Test":"TestA/x","Output":"boom\n"}`,
				`{"Action":"fail",` + pkg + `,"Test":"TestA/x"}`,
				`{"Action":"fail",` + pkg + `,"Test":"TestA"}`,
				`{"Action":"fail",` + pkg + `}`,
			},
			failure:    errors.New("exit status 1"),
			wantLine:   "unit: FAILED in 3 s: 1 of 1 tests: internal/source.TestA/x (log: the.log)",
			wantScreen: "boom\n",
		},
		"a package that dies is named and what its unfinished test said is shown": {
			lines: []string{
				`{"Action":"output",` + pkg + `,"Test":"TestA","Output":"panic: oh\n"}`,
				`{"Action":"output",` + pkg + `,"Output":"FAIL\tinpod.dev/inpod/internal/source\t0.1s\n"}`,
				`{"Action":"fail",` + pkg + `}`,
			},
			failure:    errors.New("exit status 1"),
			wantLine:   "unit: FAILED in 3 s: packages that did not build or died: internal/source (log: the.log)",
			wantScreen: "panic: oh\nFAIL\tinpod.dev/inpod/internal/source\t0.1s\n",
		},
		"nothing that ran is a failure": {
			wantLine: "unit: FAILED in 3 s: no test ran (log: the.log)",
		},
		"a command that fails without a failing test is a failure": {
			lines:    []string{`{"Action":"pass",` + pkg + `,"Test":"TestA"}`},
			failure:  errors.New("exit status 7"),
			wantLine: "unit: FAILED in 3 s: exit status 7 (log: the.log)",
		},
		"a skipped test is named": {
			lines: []string{
				`{"Action":"pass",` + pkg + `,"Test":"TestA"}`,
				`{"Action":"skip",` + pkg + `,"Test":"TestB"}`,
			},
			wantOK:   true,
			wantLine: "unit: ok 1 tests in 3 s, 1 skipped: internal/source.TestB",
		},
		"a line that is no event is passed on": {
			lines:      []string{`go: something`, `{"Action":"pass",` + pkg + `,"Test":"TestA"}`},
			wantOK:     true,
			wantLine:   "unit: ok 1 tests in 3 s",
			wantScreen: "go: something\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var screen strings.Builder
			sum := newSummary(&screen, io.Discard, false)
			for _, line := range tc.lines {
				sum.add([]byte(line + "\n"))
			}

			line, ok := sum.closing("unit", "the.log", 3*time.Second, tc.failure)

			if ok != tc.wantOK || line != tc.wantLine {
				t.Errorf("closing line %v %q, want %v %q", ok, line, tc.wantOK, tc.wantLine)
			}
			if screen.String() != tc.wantScreen {
				t.Errorf("on screen %q, want %q", screen.String(), tc.wantScreen)
			}
		})
	}
}

func TestTestsOfAPartHaveALineOfTheirOwn(t *testing.T) {
	pass := func(test string) string { return `{"Action":"pass","Package":"p","Test":"` + test + `"}` }
	fail := func(test string) string { return `{"Action":"fail","Package":"p","Test":"` + test + `"}` }
	const packageFails = `{"Action":"fail","Package":"p"}`
	failure := errors.New("exit status 1")
	cases := map[string]struct {
		lines   []string
		failure error

		wantLine, wantPart string
	}{
		"each is counted once": {
			lines:    []string{pass("TestA"), pass("FuzzA/seed#0"), pass("FuzzA")},
			wantLine: "unit: ok 1 tests in 3 s", wantPart: "fuzz-seeds: ok 2 tests in 3 s",
		},
		"a seed that fails is a failure of its part": {
			lines: []string{pass("TestA"), fail("FuzzA/seed#0"), fail("FuzzA"), packageFails}, failure: failure,
			wantLine: "unit: ok 1 tests in 3 s", wantPart: "fuzz-seeds: FAILED in 3 s: 1 of 1 tests: p.FuzzA/seed#0 (log: the.log)",
		},
		"a test that fails is none of its part": {
			lines: []string{fail("TestA"), pass("FuzzA"), packageFails}, failure: failure,
			wantLine: "unit: FAILED in 3 s: 1 of 1 tests: p.TestA (log: the.log)", wantPart: "fuzz-seeds: ok 1 tests in 3 s",
		},
		"a package that does not build may have had both": {
			lines: []string{pass("TestA"), pass("FuzzA"), `{"Action":"fail","Package":"q"}`}, failure: failure,
			wantLine: "unit: FAILED in 3 s: packages that did not build or died: q (log: the.log)",
			wantPart: "fuzz-seeds: FAILED in 3 s: packages that did not build or died are named above (log: the.log)",
		},
		"without seeds nothing was proven": {
			lines:    []string{pass("TestA")},
			wantLine: "unit: ok 1 tests in 3 s", wantPart: "fuzz-seeds: FAILED in 3 s: no test ran (log: the.log)",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			sum := newSummary(io.Discard, io.Discard, false)
			sum.part = &part{suite: "fuzz-seeds", prefix: "Fuzz"}
			for _, line := range tc.lines {
				sum.add([]byte(line + "\n"))
			}
			line, _ := sum.closing("unit", "the.log", 3*time.Second, tc.failure)
			partLine, _ := sum.closingPart("the.log", 3*time.Second)
			if line != tc.wantLine || partLine != tc.wantPart {
				t.Errorf("closing lines %q and %q, want %q and %q", line, partLine, tc.wantLine, tc.wantPart)
			}
		})
	}
}

func TestRun(t *testing.T) {
	log := filepath.Join(t.TempDir(), "sub", "suite.log")
	event := `{"Action":"pass","Package":"p","Test":"TestA"}`

	var out strings.Builder
	if code := run([]string{"-suite", "s", "-log", log, "--", "echo", event}, &out, io.Discard); code != 0 {
		t.Errorf("exit code %d, want 0; said %q", code, out.String())
	}
	line, err := os.ReadFile(log + ".line")
	if err != nil || !strings.HasPrefix(string(line), "s: ok 1 tests in ") {
		t.Errorf("line file has %q, %v", line, err)
	}

	if code := run([]string{"-suite", "s", "-log", log, "--", "false"}, io.Discard, io.Discard); code != 1 {
		t.Errorf("exit code %d for a failing command, want 1", code)
	}
	if code := run([]string{"-suite", "s"}, io.Discard, io.Discard); code != 2 {
		t.Errorf("exit code %d for wrong use, want 2", code)
	}
}
