// Command testsum runs a command that prints "go test -json" and turns it into what a person reads: the closing
// line of each package as go test prints it, everything a failing test said, and one line for the whole suite.
//
//	testsum -suite unit -log dist/test/unit.log -- go test -json ./...
//
// With -part fuzz-seeds=Fuzz the tests whose names begin with Fuzz are a suite of their own that runs along: they have
// their own closing line, here dist/test/fuzz-seeds.log.line.
//
// Its exit code is 0 when the command succeeded, at least one test ran and none failed; else 1. It is 2 for wrong use.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its world as arguments. Its result is the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("testsum", flag.ContinueOnError)
	flags.SetOutput(stderr)
	suite := flags.String("suite", "", "name that begins the closing line")
	logFile := flags.String("log", "", "file that gets the whole output of the tests as text")
	each := flags.Bool("each", false, "print a line for each finished top-level test, for suites that take minutes")
	partOf := flags.String("part", "", "SUITE=PREFIX: tests that are counted in a suite of their own")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	partSuite, prefix, hasPart := strings.Cut(*partOf, "=")
	if *suite == "" || *logFile == "" || flags.NArg() == 0 || *partOf != "" && (!hasPart || partSuite == "" || prefix == "") {
		fmt.Fprintln(stderr, "usage: testsum -suite NAME -log FILE [-each] [-part NAME=PREFIX] -- COMMAND [ARGUMENT]...")
		return 2
	}

	log, err := create(*logFile)
	if err != nil {
		fmt.Fprintf(stderr, "testsum: %v\n", err)
		return 1
	}
	defer log.Close()

	start := time.Now()
	sum := newSummary(stdout, log, *each)
	if hasPart {
		sum.part = &part{suite: partSuite, prefix: prefix}
	}
	failure := execute(flags.Args(), sum, stderr, log)
	line, ok := sum.closing(*suite, *logFile, time.Since(start), failure)
	err = say(stdout, *logFile+".line", line)
	if hasPart {
		line, good := sum.closingPart(*logFile, time.Since(start))
		err = errors.Join(err, say(stdout, filepath.Join(filepath.Dir(*logFile), partSuite+".log.line"), line))
		ok = ok && good
	}
	if err != nil {
		fmt.Fprintf(stderr, "testsum: %v\n", err)
		return 1
	}
	if !ok {
		return 1
	}
	return 0
}

// say prints a closing line and keeps it in a file.
func say(stdout io.Writer, file, line string) error {
	fmt.Fprintln(stdout, line)
	return os.WriteFile(file, []byte(line+"\n"), 0o644)
}

func create(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	return os.Create(name)
}

// execute runs the command, feeds its standard output to sum and copies its standard error to the screen and the
// log. The error says that the command could not be run or failed.
func execute(command []string, sum *summary, stderr, log io.Writer) error {
	cmd := exec.Command(command[0], command[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	// The two streams arrive concurrently and meet in the log.
	var mu sync.Mutex
	cmd.Stderr = io.MultiWriter(stderr, &lockedWriter{mu: &mu, w: log})
	if err := cmd.Start(); err != nil {
		return err
	}

	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			mu.Lock()
			sum.add(line)
			mu.Unlock()
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, cmd.Wait())
		}
	}
	return cmd.Wait()
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
