package watch

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"inpod.dev/inpod/sidecar/internal/digest"
)

func opened(t *testing.T, targets ...Target) *Watcher {
	t.Helper()
	w := &Watcher{Targets: targets, Log: slog.New(slog.DiscardHandler), Poll: time.Second, Recheck: time.Hour}
	w.openEvents(t.Context())
	t.Cleanup(w.closeEvents)
	t.Cleanup(w.endScans)
	if err := w.scanAll(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	return w
}

// A directory that goes between the scan and the watch says nothing about inotify.
func TestDirectoryThatGoesMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone")
	if err := os.Mkdir(gone, 0o755); err != nil {
		t.Fatal(err)
	}
	w := opened(t, Target{Path: dir})
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if !w.follow(t.Context()) {
		t.Error("no other look is asked for")
	}
	if mode := w.Mode(); mode.Polling || mode.Watches != 1 || w.Errors() != 0 {
		t.Errorf("mode = %+v with %d errors, want inotify with the directory that is left", mode, w.Errors())
	}
	if w.interval() != w.Poll {
		t.Errorf("the next scan is in %s, want soon", w.interval())
	}
	t.Cleanup(w.endScans)
	if err := w.report(t.Context(), make(chan digest.State, 1), true); err != nil {
		t.Fatal(err)
	}
	if w.gone || w.interval() != w.Recheck {
		t.Error("it is still missed after another scan")
	}
}

func TestReasonsAreNamed(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ got, want string }{
		"no watch left":         {noWatch("/a", syscall.ENOSPC), "fs.inotify.max_user_watches"},
		"no memory for a watch": {noWatch("/a", syscall.ENOMEM), "cannot watch /a: cannot allocate memory"},
		"no instance left":      {noInstance(syscall.EMFILE), "fs.inotify.max_user_instances"},
		"no file left":          {noInstance(syscall.ENFILE), "fs.file-max"},
		"no inotify at all":     {noInstance(syscall.ENOSYS), "inotify cannot be used: function not implemented"},
	}
	for name, tc := range cases {
		if !strings.Contains(tc.got, tc.want) {
			t.Errorf("%s: %q, want %q", name, tc.got, tc.want)
		}
	}
	if text := noWatch("/a", syscall.EIO); strings.Contains(text, "max_user") {
		t.Errorf("%q blames a limit", text)
	}
}

// A link may lie in a directory where much happens that is no change of what is watched.
func TestNeighborsOfALinkDoNotCount(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "worktrees", "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("worktrees/a", filepath.Join(dir, "current")); err != nil {
		t.Fatal(err)
	}
	w := opened(t, Target{Path: filepath.Join(dir, "current")})
	w.follow(t.Context())
	for name, want := range map[string]bool{
		"current": true, "worktrees/a": true, "worktrees/a/file": true, "log": false, "": true,
	} {
		if got := w.concerns(fsnotify.Event{Name: filepath.Join(dir, name)}); got != want {
			t.Errorf("an event of %q concerns what is watched: %v, want %v", name, got, want)
		}
	}
}

// Inotify that stays silent is tried less and less often, and never given up for good.
func TestTriesBecomeRare(t *testing.T) {
	t.Parallel()
	w := &Watcher{Log: slog.New(slog.DiscardHandler)}
	var waits []int
	for range 10 {
		w.giveUp(t.Context(), "silent")
		waits = append(waits, w.trouble.left)
	}
	if waits[0] != retryFirst || waits[1] != 2*retryFirst || waits[9] != retryMax {
		t.Errorf("waits = %v, want them to double from %d to %d", waits, retryFirst, retryMax)
	}
	w.trust(t.Context())
	if w.giveUp(t.Context(), "silent"); w.trouble.left != retryFirst {
		t.Errorf("after a change was announced it is tried again after %d polls, want %d", w.trouble.left, retryFirst)
	}
}

func TestScanReturnsWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := &Watcher{Targets: []Target{{Path: t.TempDir()}}}
	if _, err := w.Scan(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that it was canceled", err)
	}
}
