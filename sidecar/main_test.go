package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sidecar": main})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each run under the race detector ends with a second of sleep
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"lines": lines,
			"swap":  swap,
		},
	})
}

// lines FILE N waits until a file has N lines, and fails when it has more: "lines told 2".
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines file number")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	got := -1
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, _ := os.ReadFile(ts.MkAbs(args[0]))
		if got = strings.Count(string(text), "\n"); got >= want {
			break
		}
	}
	if got != want {
		ts.Fatalf("%s has %d lines, want %d", args[0], got, want)
	}
}

// swap DIR FILE writes a file into a volume the way the kubelet does: a new generation, and "..data" moved to it.
func swap(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: swap dir file")
	}
	dir, name := ts.MkAbs(args[0]), filepath.Base(args[1])
	generation := "..generation-" + strconv.FormatInt(time.Now().UnixNano(), 10)
	text, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Check(os.MkdirAll(filepath.Join(dir, generation), 0o755))
	ts.Check(os.WriteFile(filepath.Join(dir, generation, name), text, 0o600))
	ts.Check(os.Symlink(generation, filepath.Join(dir, "..data_tmp")))
	ts.Check(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	_ = os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name))
}
