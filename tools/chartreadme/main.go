// Command chartreadme writes the table of values in a chart's README.md from the comments in its values.yaml, and with
// -check says whether the table there is current.
//
//	chartreadme [-check] CHART_FOLDER
//
// A comment directly above a key describes it and everything below it down to the next key with a comment. A key that
// nothing describes is an error: a value that nobody explained is not ready to be used.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	begin = "<!-- values: written by make generate from values.yaml -->\n"
	end   = "<!-- end of values -->\n"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stderr))
}

func run(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("chartreadme", flag.ContinueOnError)
	flags.SetOutput(stderr)
	check := flags.Bool("check", false, "change nothing, fail when README.md is not current")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		fmt.Fprintln(stderr, "usage: chartreadme [-check] CHART_FOLDER")
		return 2
	}
	if err := update(flags.Arg(0), *check); err != nil {
		fmt.Fprintf(stderr, "chartreadme: %v\n", err)
		return 1
	}
	return 0
}

func update(chart string, check bool) error {
	values, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return err
	}
	file := filepath.Join(chart, "README.md")
	readme, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	table, err := table(values)
	if err != nil {
		return err
	}

	before, rest, found := strings.Cut(string(readme), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s: no table to replace, it needs the two lines\n%s%s", file, begin, end)
	}
	want := before + begin + "\n" + table + "\n" + end + after
	switch {
	case want == string(readme):
		return nil
	case check:
		return fmt.Errorf("%s does not match values.yaml; run make generate", file)
	default:
		return os.WriteFile(file, []byte(want), 0o644)
	}
}
