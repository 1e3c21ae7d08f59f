package watch_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"inpod.dev/inpod/sidecar/internal/digest"
	"inpod.dev/inpod/sidecar/internal/watch"
)

// flip points a link to another place in one step, as git-sync and "ln -sfn" through a rename do.
func flip(t *testing.T, link, target string) {
	t.Helper()
	must(t, os.Symlink(target, link+".tmp"))
	must(t, os.Rename(link+".tmp", link))
}

// checkout makes a worktree with one file, as git-sync does.
func checkout(t *testing.T, git, name, text string) {
	t.Helper()
	dir := filepath.Join(git, "worktrees", name, "conf")
	must(t, os.MkdirAll(dir, 0o755))
	write(t, filepath.Join(dir, "app.conf"), text)
}

// Nothing but inotify can see these: the re-check is an hour away.
func TestLinkThatIsReplaced(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		watch string
		keys  []string
		// setUp is called with the directory before the watch begins.
		setUp func(t *testing.T, git string)
	}{
		"the watched path is a link":               {watch: "current"},
		"the watched path goes through a link":     {watch: "current/conf"},
		"a wanted key goes through a link":         {watch: ".", keys: []string{"current/conf/app.conf"}},
		"a key of a path that goes through a link": {watch: "current/conf", keys: []string{"app.conf"}},
		"a file behind a link":                     {watch: "current/conf/app.conf"},
		"a file that is a link behind a link": {watch: "app.conf", setUp: func(t *testing.T, git string) {
			t.Helper()
			must(t, os.Symlink("current/conf/app.conf", filepath.Join(git, "app.conf")))
		}},
		"a link to a link": {watch: "outer/conf", setUp: func(t *testing.T, git string) {
			t.Helper()
			must(t, os.Symlink(filepath.Join(git, "inner"), filepath.Join(git, "outer")))
			must(t, os.Symlink("./worktrees/../current", filepath.Join(git, "inner")))
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			git, err := filepath.EvalSymlinks(t.TempDir())
			must(t, err)
			checkout(t, git, "a", "1")
			must(t, os.Symlink("worktrees/a", filepath.Join(git, "current")))
			if tc.setUp != nil {
				tc.setUp(t, git)
			}
			w := &watch.Watcher{Targets: []watch.Target{{Path: filepath.Join(git, tc.watch), Keys: tc.keys}}, Poll: time.Hour}
			out := start(t, w)
			settle(t, w, out)
			for _, generation := range []string{"b", "c", "d"} {
				old, err := os.Readlink(filepath.Join(git, "current"))
				must(t, err)
				checkout(t, git, generation, generation)
				flip(t, filepath.Join(git, "current"), filepath.Join("worktrees", generation))
				reaches(t, w, out)
				must(t, os.RemoveAll(filepath.Join(git, old))) // its removal is no hint that would be needed
			}
			write(t, filepath.Join(git, "worktrees", "d", "conf", "app.conf"), "in place")
			reaches(t, w, out)
			if mode := w.Mode(); mode.Polling {
				t.Errorf("mode = %+v, want inotify", mode)
			}
		})
	}
}

// settle takes what was reported while the watch began.
func settle(t *testing.T, w *watch.Watcher, out <-chan digest.State) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); w.Mode().Watches == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is watched")
		}
	}
	select {
	case <-out:
	default:
	}
}

// reaches waits until what is there now is reported.
func reaches(t *testing.T, w *watch.Watcher, out <-chan digest.State) {
	t.Helper()
	want, err := (&watch.Watcher{Targets: w.Targets}).Scan(t.Context())
	must(t, err)
	if len(want.Missing()) > 0 {
		t.Fatalf("missing: %v", want.Missing())
	}
	for deadline := time.After(30 * time.Second); ; {
		select {
		case got := <-out:
			if got.Sum == want.Sum {
				return
			}
		case <-deadline:
			t.Fatal("the content was not reported")
		}
	}
}

func TestWhatIsMissingAnnouncesItself(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	w := &watch.Watcher{Targets: []watch.Target{{Path: filepath.Join(dir, "a", "link", "conf")}}, Poll: time.Hour}
	out := start(t, w)
	settle(t, w, out)
	must(t, os.MkdirAll(filepath.Join(dir, "real", "conf"), 0o755))
	write(t, filepath.Join(dir, "real", "conf", "f"), "1")
	must(t, os.Mkdir(filepath.Join(dir, "new"), 0o755))
	must(t, os.Symlink("../real", filepath.Join(dir, "new", "link")))
	must(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "a")))
	reaches(t, w, out)
}

func TestFileSystemsOfTheKernel(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/proc", "/proc/self", "/sys/kernel", "/proc/version"} {
		w := &watch.Watcher{Targets: []watch.Target{{Path: path}}, Log: slog.New(slog.DiscardHandler), Poll: time.Hour, Recheck: time.Hour}
		err := w.Run(t.Context(), make(chan digest.State, 1))
		if err == nil || !strings.Contains(err.Error(), "file system of the kernel") {
			t.Errorf("%s: error = %v, want that it is refused", path, err)
		}
	}
	state, err := (&watch.Watcher{Targets: []watch.Target{{Path: "/", Keys: []string{"proc/self/status", "proc/kmsg", "sys"}}}}).Scan(t.Context())
	must(t, err)
	if v := state.Volumes[0]; v.Files != 0 {
		t.Errorf("%d files of the kernel were read", v.Files)
	}
}

// A pipe blocks whoever opens it until somebody writes.
func TestPipesDoNotBlock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "1")
	makePipe(t, filepath.Join(dir, "pipe"))
	must(t, os.Symlink("pipe", filepath.Join(dir, "link")))
	for _, target := range []watch.Target{{Path: dir}, {Path: dir, Keys: []string{"pipe", "link"}}, {Path: filepath.Join(dir, "link")}} {
		if _, err := (&watch.Watcher{Targets: []watch.Target{target}}).Scan(t.Context()); err != nil {
			t.Errorf("%v: %v", target, err)
		}
	}
}

// Inotify that said nothing about one change is trusted again when it has announced another.
func TestSilentInotifyIsTriedAgain(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir, other := filepath.Join(parent, "watched"), filepath.Join(parent, "other")
	must(t, os.Mkdir(dir, 0o755))
	write(t, other, "1")
	must(t, os.Link(other, filepath.Join(dir, "a")))
	w := &watch.Watcher{Targets: []watch.Target{{Path: dir}}, Recheck: 50 * time.Millisecond, Poll: 5 * time.Millisecond}
	out := start(t, w)
	write(t, other, "2")
	reaches(t, w, out)
	until(t, w, "polling", func(m watch.Mode) bool { return m.Polling && m.Watches == 0 })
	until(t, w, "a trial", func(m watch.Mode) bool { return m.Polling && m.Watches > 0 })
	for i := 0; w.Mode().Polling; i++ { // a poll may be faster than the event for once
		write(t, filepath.Join(dir, "b"), strings.Repeat("x", i))
		reaches(t, w, out)
		if i == 200 {
			t.Fatalf("mode = %+v, want inotify", w.Mode())
		}
	}
	if mode := w.Mode(); mode.Reason != "" {
		t.Errorf("mode = %+v, want no reason", mode)
	}
}

func until(t *testing.T, w *watch.Watcher, what string, is func(watch.Mode) bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(w.Mode()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("mode = %+v, want %s", w.Mode(), what)
		}
	}
}
