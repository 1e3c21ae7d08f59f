package voice_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/e2e/demo/internal/voice"
)

// tell writes one of everything.
func tell(v *voice.Voice) {
	v.Title("A walkthrough")
	v.Chapter(1, "Edit")
	v.Say("Somebody edits\na file.")
	v.Command("kubectl edit\n--now")
	v.Block(" events\n-# v1.0\n+# v2.0\n")
	v.Quote("Normal Reloaded " + "a long message that names a ConfigMap and its keys, which takes more than one line here")
	v.At(2100*time.Millisecond, "pod %s ready", "a")
	v.Done("it is there")
	v.Failed("it is gone")
	v.Detail("expected", "one\ntwo")
	v.Gap()
	v.Gap()
	v.Plain("the end")
}

func TestLogFile(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	tell(voice.New(&out, false))
	want := `
A walkthrough
=============

1. Edit
-------

  Somebody edits a file.

  $ kubectl edit
    --now
       events
      -# v1.0
      +# v2.0
      Normal Reloaded a long message that names a ConfigMap and its keys, which takes more
        than one line here
    +2.1s  pod a ready
  ok  it is there

  FAILED  it is gone
      expected: one
                two

  the end
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("a log file reads differently (-want +got):\n%s", diff)
	}
}

func TestTerminalShowsTheSameTextInColor(t *testing.T) {
	t.Parallel()
	var plain, colored strings.Builder
	tell(voice.New(&plain, false))
	tell(voice.New(&colored, true))
	if !strings.Contains(colored.String(), "\x1b[32m+# v2.0\x1b[0m") {
		t.Errorf("what an edit adds is not green:\n%q", colored.String())
	}
	stripped := colored.String()
	for _, code := range []string{"0", "1", "2", "31", "32", "33", "36"} {
		stripped = strings.ReplaceAll(stripped, "\x1b["+code+"m", "")
	}
	if diff := cmp.Diff(plain.String(), stripped); diff != "" {
		t.Errorf("colors change the text (-plain +stripped):\n%s", diff)
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text string
		want []string
	}{
		"nothing":                  {"", []string{"* "}},
		"one line":                 {"a b", []string{"* a b"}},
		"breaks before the width":  {"aaa bbb ccc", []string{"* aaa bbb", "  ccc"}},
		"a long word stays whole":  {"aaaaaaaaaaaaaaa b", []string{"* aaaaaaaaaaaaaaa", "  b"}},
		"white space is one space": {" a \n\t b ", []string{"* a b"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, voice.Wrap(c.text, 9, "* ", "  ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTableLinesUpColumns(t *testing.T) {
	t.Parallel()
	got := voice.Table([][]string{{"what", "did"}, {"a", "rolled"}, {"longer", ""}})
	want := []string{"what     did", "a        rolled", "longer   "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
