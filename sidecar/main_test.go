package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"inpod.dev/inpod/internal/patience"
	"inpod.dev/inpod/internal/sidecarapi"
)

// A shell cannot trap a signal that it was started without, which is what nohup does with SIGHUP.
func TestMain(m *testing.M) {
	if os.Getenv(pidOne) != "" {
		main()
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
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
			"lines":  lines,
			"logged": logged,
			"swap":   swap,
			"pipe":   pipe,

			"publickey": publicKey,
			"port":      port,
			"confirmed": confirmed,
		},
	})
}

// lines FILE N waits until a file has N lines, and fails when it has more: "lines reloads 2".
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines file number")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	got := -1
	await(func() bool {
		text, _ := os.ReadFile(ts.MkAbs(args[0]))
		got = strings.Count(string(text), "\n")
		return got >= want
	})
	if got != want {
		ts.Fatalf("%s has %d lines, want %d", args[0], got, want)
	}
}

// logged FILE TEXT waits until a file contains a text: "logged log msg=listening".
func logged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: logged file text")
	}
	var got []byte
	if !await(func() bool {
		got, _ = os.ReadFile(ts.MkAbs(args[0]))
		return strings.Contains(string(got), args[1])
	}) {
		ts.Fatalf("%s does not contain %q:\n%s", args[0], args[1], got)
	}
}

// await reports whether a condition comes to hold.
func await(holds func() bool) bool {
	ctx, cancel := patience.Context(context.Background(), patience.Usual)
	defer cancel()
	return patience.Until(ctx, holds)
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

// pipe FILE makes a named pipe.
func pipe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: pipe file")
	}
	ts.Check(syscall.Mkfifo(ts.MkAbs(args[0]), 0o600))
}

// digestKey is the installation's key of the controller that the scripts play.
func digestKey() []byte { return bytes.Repeat([]byte{7}, 32) }

// publicKey sets CONTROLLER_KEY to what the injector gives a sidecar.
func publicKey(ts *testscript.TestScript, _ bool, _ []string) {
	key, err := sidecarapi.PublicKey(digestKey())
	ts.Check(err)
	ts.Setenv("CONTROLLER_KEY", key)
}

// port LOG sets PORT to where the sidecar with that log listens. It has chosen the port itself, since nobody can keep a
// free one for it.
func port(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: port log")
	}
	listening := regexp.MustCompile(`"msg":"listening","address":"127\.0\.0\.1:(\d+)"`)
	var found []string
	if !await(func() bool {
		text, _ := os.ReadFile(ts.MkAbs(args[0]))
		found = listening.FindStringSubmatch(string(text))
		return found != nil
	}) {
		ts.Fatalf("%s names no port", args[0])
	}
	ts.Setenv("PORT", found[1])
}

// confirmed RESULT FILE CONTENT waits until the sidecar confirms a result for a watched file with the content of another:
// "confirmed applied conf/app.conf two/app.conf".
func confirmed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: confirmed result file content")
	}
	content, err := os.ReadFile(ts.MkAbs(args[2]))
	ts.Check(err)
	sum := sha256.Sum256(content)
	file, last := ts.MkAbs(args[1]), ""
	if !await(func() bool {
		reply, err := ask("http://127.0.0.1:"+ts.Getenv("PORT")+sidecarapi.Path, file)
		last = fmt.Sprintf("%+v, %v", reply, err)
		return err == nil && string(reply.Result) == args[0] && reply.Files[file] == sidecarapi.Digest([16]byte(sum[:16]))
	}) {
		ts.Fatalf("not confirmed as %s: %s", args[0], last)
	}
}

func ask(url, file string) (sidecarapi.Response, error) {
	request, err := sidecarapi.NewRequest([]string{file})
	if err != nil {
		return sidecarapi.Response{}, err
	}
	text, err := json.Marshal(request)
	if err != nil {
		return sidecarapi.Response{}, err
	}
	response, err := http.Post(url, "application/json", bytes.NewReader(text))
	if err != nil {
		return sidecarapi.Response{}, err
	}
	defer response.Body.Close()
	encrypted, err := io.ReadAll(response.Body)
	if err != nil {
		return sidecarapi.Response{}, err
	}
	if response.StatusCode != http.StatusOK {
		return sidecarapi.Response{}, fmt.Errorf("%s: %s", response.Status, encrypted)
	}
	return sidecarapi.Open(digestKey(), request.Nonce, encrypted)
}
