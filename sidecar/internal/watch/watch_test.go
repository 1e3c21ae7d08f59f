package watch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"inpod.dev/inpod/internal/patience"
	"inpod.dev/inpod/sidecar/internal/digest"
	"inpod.dev/inpod/sidecar/internal/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// volume is a directory written the way the kubelet writes it.
type volume struct {
	dir        string
	generation int
}

func newVolume(t *testing.T, files map[string]string) *volume {
	t.Helper()
	v := &volume{dir: t.TempDir()}
	v.swap(t, files)
	return v
}

// swap makes a new generation visible in one step, as pkg/volume/util/atomic_writer.go does.
func (v *volume) swap(t *testing.T, files map[string]string) {
	t.Helper()
	v.generation++
	old, _ := os.Readlink(filepath.Join(v.dir, "..data"))
	name := fmt.Sprintf("..2026_01_01_00_00_00.%d", v.generation)
	must(t, os.Mkdir(filepath.Join(v.dir, name), 0o755))
	for file, text := range files {
		write(t, filepath.Join(v.dir, name, file), text)
	}
	must(t, os.Symlink(name, filepath.Join(v.dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(v.dir, "..data_tmp"), filepath.Join(v.dir, "..data")))
	for file := range files {
		link := filepath.Join(v.dir, file)
		if _, err := os.Lstat(link); err != nil {
			must(t, os.Symlink(filepath.Join("..data", file), link))
		}
	}
	if old != "" {
		must(t, os.RemoveAll(filepath.Join(v.dir, old)))
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

func makePipe(t *testing.T, path string) {
	t.Helper()
	must(t, syscall.Mkfifo(path, 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a watcher and returns it with its mailbox, the first state already taken.
func start(t *testing.T, w *watch.Watcher) <-chan digest.State {
	t.Helper()
	out := run(t, w)
	next(t, out)
	return out
}

// run is start without waiting for the first state.
func run(t *testing.T, w *watch.Watcher) <-chan digest.State {
	t.Helper()
	w.Log = slog.New(slog.DiscardHandler)
	if w.Poll == 0 {
		w.Poll = 10 * time.Millisecond
	}
	if w.Recheck == 0 {
		w.Recheck = time.Hour
	}
	out := make(chan digest.State, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx, out) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return out
}

func next(t *testing.T, out <-chan digest.State) digest.State {
	t.Helper()
	return patience.Receive(t, "a state", out)
}

func silent(t *testing.T, out <-chan digest.State) {
	t.Helper()
	select {
	case state := <-out:
		t.Fatalf("a state was reported: %+v", state.Volumes)
	case <-time.After(150 * time.Millisecond):
	}
}

func TestSwapOfVolume(t *testing.T) {
	t.Parallel()
	for name, noEvents := range map[string]bool{"with inotify": false, "polling": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVolume(t, map[string]string{"a": "1", "b": "1"})
			out := start(t, &watch.Watcher{
				Targets:  []watch.Target{{Path: v.dir, Keys: []string{"a"}}},
				NoEvents: noEvents,
			})
			for i := range 3 { // a second swap is what a watch on the file itself never sees
				v.swap(t, map[string]string{"a": fmt.Sprint("new", i), "b": "1"})
				state := next(t, out)
				if got := state.Volumes[0].Kind; got != digest.KindVolume {
					t.Errorf("kind = %q, want volume", got)
				}
				if since := time.Since(state.Changed); since < 0 || since > time.Minute {
					t.Errorf("changed %v ago", since)
				}
			}
			v.swap(t, map[string]string{"a": "new2", "b": "2"})
			silent(t, out)
		})
	}
}

// The files of the downward API change with each annotation that anybody puts on the pod.
func TestIgnoredFilesAreNoChange(t *testing.T) {
	t.Parallel()
	for name, noEvents := range map[string]bool{"with inotify": false, "polling": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVolume(t, map[string]string{"a": "1", "annotations": "1"})
			folder := t.TempDir()
			write(t, filepath.Join(folder, "x"), "1")
			out := start(t, &watch.Watcher{NoEvents: noEvents, Targets: []watch.Target{
				{Path: v.dir, Ignored: []string{"annotations"}}, {Path: folder, Ignored: []string{"sub"}},
			}})
			v.swap(t, map[string]string{"a": "1", "annotations": "2"})
			must(t, os.Mkdir(filepath.Join(folder, "sub"), 0o755))
			write(t, filepath.Join(folder, "sub", "y"), "1")
			silent(t, out)
			v.swap(t, map[string]string{"a": "2", "annotations": "2"})
			if state := next(t, out); state.Volumes[0].Files != 1 {
				t.Errorf("%d files count, want 1", state.Volumes[0].Files)
			}
		})
	}
}

func TestFileInsideVolume(t *testing.T) {
	t.Parallel()
	v := newVolume(t, map[string]string{"a": "1", "b": "1"})
	out := start(t, &watch.Watcher{Targets: []watch.Target{{Path: filepath.Join(v.dir, "a")}}})
	v.swap(t, map[string]string{"a": "1", "b": "2"})
	silent(t, out)
	v.swap(t, map[string]string{"a": "2", "b": "2"})
	next(t, out)
}

func TestEditsOfFolder(t *testing.T) {
	t.Parallel()
	edits := map[string]func(t *testing.T, dir string){
		"in place": func(t *testing.T, dir string) { write(t, filepath.Join(dir, "a"), "2") },
		"by rename of a new file, as mv and many editors do": func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "a.tmp"), "2")
			must(t, os.Rename(filepath.Join(dir, "a.tmp"), filepath.Join(dir, "a")))
		},
		"with a backup, as vim does": func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "a~")))
			write(t, filepath.Join(dir, "a"), "2")
			must(t, os.Remove(filepath.Join(dir, "a~")))
		},
		"in a folder below": func(t *testing.T, dir string) { write(t, filepath.Join(dir, "sub", "b"), "2") },
		"in a new folder": func(t *testing.T, dir string) {
			must(t, os.Mkdir(filepath.Join(dir, "new"), 0o755))
			write(t, filepath.Join(dir, "new", "c"), "1")
		},
		"removal": func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "a"))) },
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a"), "1")
			must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
			write(t, filepath.Join(dir, "sub", "b"), "1")
			w := &watch.Watcher{Targets: []watch.Target{{Path: dir}}}
			out := start(t, w)
			before, err := (&watch.Watcher{Targets: w.Targets}).Scan(t.Context())
			must(t, err)
			edit(t, dir)
			for { // an edit of several steps may be reported in several steps
				state := next(t, out)
				want, err := (&watch.Watcher{Targets: w.Targets}).Scan(t.Context())
				must(t, err)
				if state.Sum == want.Sum && state.Sum != before.Sum {
					return
				}
			}
		})
	}
}

func TestTouchIsNoChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "1")
	out := start(t, &watch.Watcher{Targets: []watch.Target{{Path: dir}}})
	now := time.Now()
	must(t, os.Chtimes(filepath.Join(dir, "a"), now, now))
	silent(t, out)
	other := filepath.Join(t.TempDir(), "a")
	write(t, other, "1")
	must(t, os.Rename(other, filepath.Join(dir, "a")))
	silent(t, out)
}

func TestFileAmongOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "1")
	out := start(t, &watch.Watcher{Targets: []watch.Target{{Path: filepath.Join(dir, "a")}}})
	write(t, filepath.Join(dir, "b"), "1")
	silent(t, out)
	must(t, os.Remove(filepath.Join(dir, "a")))
	if state := next(t, out); len(state.Missing()) != 1 {
		t.Errorf("missing = %v, want the removed file", state.Missing())
	}
	write(t, filepath.Join(dir, "a"), "2")
	if state := next(t, out); len(state.Missing()) != 0 {
		t.Errorf("missing = %v, want none", state.Missing())
	}
}

func TestDirectoryThatComesLater(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "later")
	w := &watch.Watcher{Targets: []watch.Target{{Path: dir}}}
	out := start(t, w)
	must(t, os.Mkdir(dir, 0o755))
	write(t, filepath.Join(dir, "a"), "1")
	for len(next(t, out).Volumes[0].Missing) != 0 {
		continue
	}
	write(t, filepath.Join(dir, "a"), "2")
	next(t, out)
	if w.Mode().Polling {
		t.Errorf("mode = %+v, want inotify", w.Mode())
	}
}

// A sidecar that ends makes its pod unready, so it waits until there is something to scan.
func TestTroubleAtTheStartHeals(t *testing.T) {
	t.Parallel()
	parent := filepath.Join(t.TempDir(), "parent")
	write(t, parent, "not a directory")
	w := &watch.Watcher{Targets: []watch.Target{{Path: filepath.Join(parent, "conf")}}}
	out := run(t, w)
	patience.Await(t, "something says that there is trouble", func() bool { return w.Errors() > 0 })
	silent(t, out)
	must(t, os.Remove(parent))
	must(t, os.MkdirAll(filepath.Join(parent, "conf"), 0o755))
	write(t, filepath.Join(parent, "conf", "a"), "1")
	for len(next(t, out).Missing()) != 0 {
		continue
	}
	write(t, filepath.Join(parent, "conf", "a"), "2")
	next(t, out)
	if w.Mode().Polling {
		t.Errorf("mode = %+v: trouble at the start was taken for a silent inotify", w.Mode())
	}
}

func TestTooLargeIsAMistake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", 40)), 0o755))
	w := &watch.Watcher{Targets: []watch.Target{{Path: dir}}, Log: slog.New(slog.DiscardHandler), Poll: time.Hour, Recheck: time.Hour}
	if err := w.Run(t.Context(), make(chan digest.State, 1)); !errors.Is(err, digest.ErrTooLarge) {
		t.Errorf("error = %v, want ErrTooLarge", err)
	}
}

func TestDirectoryReplacedByAnother(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir := filepath.Join(parent, "conf")
	must(t, os.Mkdir(dir, 0o755))
	write(t, filepath.Join(dir, "a"), "1")
	out := start(t, &watch.Watcher{Targets: []watch.Target{{Path: dir}}, Recheck: 100 * time.Millisecond})
	must(t, os.Mkdir(dir+".new", 0o755))
	write(t, filepath.Join(dir+".new", "a"), "2")
	must(t, os.Rename(dir, dir+".old"))
	must(t, os.Rename(dir+".new", dir))
	for state := next(t, out); len(state.Missing()) > 0; {
		state = next(t, out)
	}
	write(t, filepath.Join(dir, "a"), "3")
	next(t, out)
}

func TestLatestStateWins(t *testing.T) {
	t.Parallel()
	v := newVolume(t, map[string]string{"a": "0"})
	w := &watch.Watcher{Targets: []watch.Target{{Path: v.dir}}}
	out := start(t, w)
	for i := range 5 {
		v.swap(t, map[string]string{"a": fmt.Sprint("x", i)})
		time.Sleep(60 * time.Millisecond)
	}
	want, err := (&watch.Watcher{Targets: w.Targets}).Scan(t.Context())
	must(t, err)
	for got := next(t, out); got.Sum != want.Sum; { // on a slow machine the last swap may still be on its way
		got = next(t, out)
	}
	silent(t, out)
}

// A write through another name of the same file announces itself in the other directory only, as one from another node
// does on a network file system.
func TestSilentInotifyLeadsToPolling(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir, other := filepath.Join(parent, "watched"), filepath.Join(parent, "other")
	must(t, os.Mkdir(dir, 0o755))
	write(t, other, "1")
	must(t, os.Link(other, filepath.Join(dir, "a")))
	w := &watch.Watcher{Targets: []watch.Target{{Path: dir}}, Recheck: 100 * time.Millisecond}
	out := start(t, w)
	write(t, other, "2")
	next(t, out)
	patience.Await(t, "polling", func() bool { return w.Mode().Polling })
	write(t, other, "3")
	next(t, out)
}
