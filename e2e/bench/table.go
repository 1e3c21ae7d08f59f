//go:build e2e

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// row is the result of one scenario.
type row struct {
	name     string
	used     usage
	latency  time.Duration // from the last edit to the last patch; from the start to ready for starts
	bare     time.Duration // the same patches in a loop; 0 for none
	budgets  []budget
	measured string // what latency is of
}

// budget is a figure that has to hold.
type budget struct {
	what string
	held bool
}

func (r *row) broken() []string {
	var broken []string
	for _, b := range r.budgets {
		if !b.held {
			broken = append(broken, b.what)
		}
	}
	return broken
}

func printTable(out io.Writer, rows []row) {
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "scenario\tGET\tPATCH\tPOST\tlatency\tbare loop\tCPU\tRSS\tpeak\tbudgets")
	for _, r := range rows {
		bare := "-"
		if r.bare > 0 {
			bare = round(r.bare)
		}
		verdict := "held"
		if broken := r.broken(); len(broken) > 0 {
			verdict = "NOT HELD: " + strings.Join(broken, ", ")
		}
		fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%.0f\t%s\t%s\t%s\t%d MB\t%d MB\t%s\n", r.name,
			r.used.requests["GET"], r.used.requests["PATCH"], r.used.requests["POST"],
			round(r.latency), bare, round(r.used.cpu), r.used.rss>>20, r.used.max>>20, verdict)
	}
	_ = table.Flush()
	fmt.Fprintf(out, "\nlatency: %s of settle time included where something was edited. GET are lists and watches; POST are events, at a start also the questions for the rights.\n", settle)
}

func round(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
