// Package progress prints what the program is doing, one line per step, for people and for logs alike.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Printer writes steps with the time since the start. It may be used by several goroutines at once.
type Printer struct {
	mu       sync.Mutex
	out      io.Writer
	started  time.Time
	terminal bool
	moving   bool // the cursor stands on a line that the next one replaces
}

// New returns a printer on a file, normally the standard error.
func New(out *os.File) *Printer {
	info, err := out.Stat()
	return &Printer{out: out, started: time.Now(), terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// Step prints a line.
func (p *Printer) Step(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, "%6.1fs  %s\n", time.Since(p.started).Seconds(), fmt.Sprintf(format, args...))
}

// Progress prints a line that the next line replaces on a terminal, and a line like any other elsewhere.
func (p *Printer) Progress(format string, args ...any) {
	if !p.terminal {
		p.Step(format, args...)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, "%6.1fs  %s", time.Since(p.started).Seconds(), fmt.Sprintf(format, args...))
	p.moving = true
}

// Every is how often progress is worth a line: people watch a terminal, but scroll through a log.
func (p *Printer) Every() time.Duration {
	if p.terminal {
		return 500 * time.Millisecond
	}
	return 10 * time.Second
}

func (p *Printer) clear() {
	if p.moving {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.moving = false
	}
}
