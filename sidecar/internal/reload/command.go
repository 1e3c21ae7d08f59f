package reload

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"inpod.dev/inpod/internal/truncate"
	"inpod.dev/inpod/sidecar/internal/command"
)

// ran is what came of a command.
type ran struct {
	argv   []string
	output string
	err    error
	// exited is true when it ran to its own end, and said no.
	exited bool
}

func (c ran) String() string {
	if c.output == "" {
		return fmt.Sprintf("%s: %v", c.argv[0], c.err)
	}
	return fmt.Sprintf("%s: %v: %s", c.argv[0], c.err, quote(c.output))
}

// run runs a command, and adds its own words to an error for which they may be the reason.
func run(ctx context.Context, argv []string, dir string, timeout time.Duration) ran {
	return runAs(ctx, command.Command{Argv: argv, Dir: dir, Timeout: timeout})
}

func runAs(ctx context.Context, c command.Command) ran {
	argv, done := c.Argv, command.Run(ctx, c)
	result := ran{argv: argv, output: done.Output, err: done.Err, exited: done.Exited}
	if result.err == nil || result.exited {
		return result
	}
	if said := quote(result.output); said != "" {
		result.err = fmt.Errorf("%w: %s", result.err, said)
	}
	return result
}

// clip makes a short line out of an output. Where it is too long, the lines that speak of a failure are kept.
func clip(text string) string {
	const limit = 400
	lines := strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return r < ' ' || r == 0x7f })
	joined := strings.TrimSpace(strings.Join(lines, "; "))
	if len(joined) <= limit {
		return joined
	}
	if useful := slices.DeleteFunc(lines, quiet); len(useful) > 0 {
		joined = strings.TrimSpace(strings.Join(useful, "; "))
	}
	return truncate.Text(joined, limit)
}

// quiet reports whether a line does not speak of a failure.
func quiet(line string) bool {
	line = strings.ToLower(line)
	for _, word := range []string{"error", "fatal", "fail", "emerg", "alert", "invalid", "unknown", "unrecognized"} {
		if strings.Contains(line, word) {
			return false
		}
	}
	return true
}
