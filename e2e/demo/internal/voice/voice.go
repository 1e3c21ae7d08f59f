// Package voice tells a story in a terminal or in a log file. It decides how things look and nothing about what they
// mean: prose is wrapped, commands and excerpts are indented, what happens carries the time since it began.
//
// A terminal gets colors, everything else plain text. All of it is ASCII, so that no terminal and no log viewer
// garbles it, and every line stands for itself: nothing is overwritten later.
package voice

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// width of prose: a line that is read without effort, also in a narrow window.
const width = 92

// margin in front of everything but headings.
const margin = "  "

// Style is a way to make text stand out.
type Style string

// The styles. Each is the number of a terminal's escape sequence.
const (
	Bold   Style = "1"
	Faint  Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Cyan   Style = "36"
)

// Voice writes the story. It may be used by several goroutines at once.
type Voice struct {
	mu    sync.Mutex
	out   io.Writer
	color bool
	blank bool // the last line is empty
}

// New returns a voice that writes to out, in color or plain.
func New(out io.Writer, color bool) *Voice {
	return &Voice{out: out, color: color, blank: true}
}

// Paint returns text in a style, or as it is where there are no colors.
func (v *Voice) Paint(style Style, text string) string {
	if !v.color || text == "" {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}

// Title opens the story.
func (v *Voice) Title(text string) {
	v.lines("", v.Paint(Bold, text), v.Paint(Bold, strings.Repeat("=", len(text))))
	v.Gap()
}

// Act opens a part of the story that has several chapters.
func (v *Voice) Act(text string) {
	v.Gap()
	v.lines("", v.Paint(Bold, strings.ToUpper(text)))
}

// Chapter opens a chapter.
func (v *Voice) Chapter(number int, text string) {
	heading := fmt.Sprintf("%d. %s", number, text)
	v.Gap()
	v.lines(v.Paint(Bold, heading), v.Paint(Faint, strings.Repeat("-", len(heading))))
	v.Gap()
}

// Say writes a paragraph of prose.
func (v *Voice) Say(format string, args ...any) {
	v.Gap()
	v.lines(Wrap(fmt.Sprintf(format, args...), width, margin, margin)...)
	v.Gap()
}

// Command shows what somebody would type to do the same by hand.
func (v *Voice) Command(format string, args ...any) {
	text := strings.Split(fmt.Sprintf(format, args...), "\n")
	for i, line := range text {
		prompt := "$ "
		if i > 0 {
			prompt = "  "
		}
		text[i] = margin + v.Paint(Faint, prompt) + v.Paint(Cyan, line)
	}
	v.lines(text...)
}

// Block shows a piece of a file or of an object. Lines that begin with "-" or "+" are what an edit took away and put
// there.
func (v *Voice) Block(text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		style := Faint
		switch {
		case strings.HasPrefix(line, "-"):
			style = Red
		case strings.HasPrefix(line, "+"):
			style = Green
		}
		v.lines(margin + "    " + v.Paint(style, line))
	}
}

// Quote shows what somebody said, in as many lines as it takes.
func (v *Voice) Quote(text string) {
	indent := margin + "    "
	for _, line := range Wrap(text, width, indent, indent+"  ") {
		v.lines(v.Paint(Faint, line))
	}
}

// At tells what happened some time after the beginning of a chapter's action.
func (v *Voice) At(since time.Duration, format string, args ...any) {
	stamp := fmt.Sprintf("%+6.1fs", since.Seconds())
	v.lines(margin + v.Paint(Faint, stamp) + "  " + fmt.Sprintf(format, args...))
}

// Done states what was checked and found true.
func (v *Voice) Done(format string, args ...any) {
	v.mark(v.Paint(Green, "ok"), fmt.Sprintf(format, args...))
}

// Failed states what should have been and was not.
func (v *Voice) Failed(format string, args ...any) {
	v.Gap()
	v.mark(v.Paint(Red, "FAILED"), fmt.Sprintf(format, args...))
}

// Detail adds a named line or two to a failure.
func (v *Voice) Detail(name, text string) {
	indent := margin + "    "
	label := fmt.Sprintf("%-10s", name+":")
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if i > 0 {
			label = strings.Repeat(" ", len(label))
		}
		v.lines(indent + v.Paint(Faint, label) + line)
	}
}

// Plain writes lines as they are, behind the margin.
func (v *Voice) Plain(lines ...string) {
	for _, line := range lines {
		v.lines(margin + line)
	}
}

// Gap writes an empty line unless there is one.
func (v *Voice) Gap() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.blank {
		fmt.Fprintln(v.out)
		v.blank = true
	}
}

func (v *Voice) mark(mark, text string) {
	indent := margin + "    "
	for i, line := range Wrap(text, width, "", "") {
		if i == 0 {
			v.lines(margin + mark + "  " + line)
		} else {
			v.lines(indent + line)
		}
	}
}

func (v *Voice) lines(lines ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, line := range lines {
		fmt.Fprintln(v.out, strings.TrimRight(line, " "))
		v.blank = line == ""
	}
}
