//go:build e2e

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// print writes lines, unless the chapter has failed.
func (d *demo) print(format string, args ...any) {
	if d.err == nil {
		fmt.Printf(format+"\n", args...)
	}
}

func (d *demo) heading(text string) { d.print("\n%s\n%s", text, strings.Repeat("-", len(text))) }

// say writes a paragraph, in the lines in which it stands in the source.
func (d *demo) say(format string, args ...any) {
	d.print("")
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		d.print("  %s", strings.TrimSpace(line))
	}
	d.print("")
}

// command shows what somebody would type to do the same by hand.
func (d *demo) command(format string, args ...any) { d.print("  $ "+format, args...) }

// at prints what happened some time after an edit.
func (d *demo) at(since time.Duration, format string, args ...any) {
	d.print("  %+6.1fs  %s", since.Seconds(), fmt.Sprintf(format, args...))
}

// quote shows what inpod said.
func (d *demo) quote(event *corev1.Event) {
	if event != nil {
		d.print("      %s  %s  %s", event.Type, event.Reason, event.Message)
	}
}

// ok states what was checked and found true.
func (d *demo) ok(format string, args ...any) { d.print("  ok  "+format, args...) }

// report prints why a chapter failed, and where to look.
func (d *demo) report(err error) {
	shell := ""
	if onLocalCluster(d.Env) {
		shell = "\n            make cluster-shell (a shell in which kubectl works)"
	}
	fmt.Printf("\n  FAILED: %v\n  look at:  kubectl -n %[2]s get pods,events\n            kubectl -n %[3]s logs deployment/%[4]s%[5]s\n",
		err, namespace, release().Namespace, release().Controller().Name, shell)
}

// row is a line of the summary.
type row struct {
	changed, did string
	// decided and done are the times from the change to inpod's edit and to the last new pod; zero where there is none.
	decided, done time.Duration
	failed        bool
}

// addRow adds a line to the summary.
func (d *demo) addRow(r row) {
	if d.err == nil {
		d.rows = append(d.rows, r)
	}
}

func (d *demo) table() {
	d.print("")
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(out, "  what changed\twhat inpod did\tdecided\tdone")
	for _, r := range d.rows {
		fmt.Fprintf(out, "  %s\t%s\t%s\t%s\n", r.changed, r.did, seconds(r.decided), seconds(r.done))
	}
	_ = out.Flush()
	d.print("")
}

func seconds(t time.Duration) string {
	if t == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s", t.Seconds())
}

// changedLines shows the lines that differ between two texts with the same number of lines.
func changedLines(key, before, after string) string {
	lines := []string{"        " + key + ":"}
	now := strings.Split(after, "\n")
	for i, line := range strings.Split(before, "\n") {
		if i < len(now) && now[i] != line {
			lines = append(lines, "      -   "+line, "      +   "+now[i])
		}
	}
	return strings.Join(lines, "\n")
}

// templateDiff lists the variables and annotations of a pod template that are new or have a new value.
func templateDiff(before, after corev1.PodTemplateSpec) []string {
	had := map[string]bool{}
	for _, line := range valuesOf(before) {
		had[line] = true
	}
	var lines []string
	for _, line := range valuesOf(after) {
		if !had[line] {
			lines = append(lines, line)
		}
	}
	return lines
}

func valuesOf(template corev1.PodTemplateSpec) []string {
	var lines []string
	for key, value := range template.Annotations {
		lines = append(lines, "annotation "+key+": "+value)
	}
	for _, c := range template.Spec.Containers {
		for _, e := range c.Env {
			lines = append(lines, "container "+c.Name+", env "+e.Name+"="+e.Value)
		}
	}
	slices.Sort(lines)
	return lines
}
