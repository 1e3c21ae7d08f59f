//go:build e2e

package main

import (
	"fmt"
	"time"

	"inpod.dev/inpod/e2e/demo/internal/voice"
)

// row is a line of the summary.
type row struct {
	changed, did string
	// decided and done are the times from the change to inpod's edit and to the last new pod; zero where there is none.
	decided, done time.Duration
	failed        bool
}

// summarize prints the table and reports whether everything happened.
func summarize(v *voice.Voice, rows []row, took time.Duration) bool {
	ok := true
	table := [][]string{{"what changed", "what inpod did", "decided", "done"}}
	for _, r := range rows {
		table = append(table, []string{r.changed, r.did, seconds(r.decided), seconds(r.done)})
		ok = ok && !r.failed
	}
	for i, line := range voice.Table(table) {
		switch {
		case i == 0:
			line = v.Paint(voice.Bold, line)
		case rows[i-1].failed:
			line = v.Paint(voice.Red, line)
		}
		v.Plain(line)
	}
	v.Gap()
	if ok {
		v.Done("everything happened as told, in %.0f s", took.Seconds())
	} else {
		v.Failed("not everything happened, in %.0f s; the failed chapters above say what was missing", took.Seconds())
	}
	return ok
}

func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
