package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// The number of polls after which inotify is tried again. It doubles from time to time while that is of no use.
const (
	retryFirst = 20
	retryMax   = 640
)

// buffered is how many events wait without waking anybody: a swap by the kubelet makes five.
const buffered = 16

// trouble is why inotify alone does not do.
type trouble struct {
	// reason is "" without any trouble.
	reason string
	// wait is the number of polls before inotify is tried again, left what is left of it.
	wait, left int
	// trial is true while inotify is heard again but not trusted yet, since it was silent about a change before.
	trial bool
}

func (w *Watcher) openEvents(ctx context.Context) {
	w.added = map[string]bool{}
	if w.NoEvents {
		w.trouble.reason = "asked for"
		w.showMode()
		return
	}
	events, err := fsnotify.NewBufferedWatcher(buffered)
	if err != nil {
		w.errors.Add(1)
		w.giveUp(ctx, noInstance(err))
		return
	}
	w.fs = events
}

// noInstance says why there is no inotify instance.
func noInstance(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE) && noDescriptor():
		return fmt.Sprintf("no file descriptor is left to this process (ulimit -n): %v", err)
	case errors.Is(err, syscall.EMFILE):
		return fmt.Sprintf("no inotify instance is left to this user (fs.inotify.max_user_instances of the node): %v", err)
	case errors.Is(err, syscall.ENFILE):
		return fmt.Sprintf("the node has no open file left (fs.file-max): %v", err)
	}
	return fmt.Sprintf("inotify cannot be used: %v", err)
}

// noDescriptor reports whether not even a file can be opened.
func noDescriptor() bool {
	f, err := os.Open("/")
	if err != nil {
		return errors.Is(err, syscall.EMFILE)
	}
	_ = f.Close()
	return false
}

// noWatch says why a directory cannot be watched.
func noWatch(dir string, err error) string {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Sprintf("cannot watch %s: no inotify watch is left to this user (fs.inotify.max_user_watches of the node)", dir)
	}
	return fmt.Sprintf("cannot watch %s: %v", dir, err)
}

// giveUp polls without inotify, until it is tried again.
func (w *Watcher) giveUp(ctx context.Context, reason string) {
	again := w.trouble.reason != ""
	w.closeEvents()
	wait := min(max(retryFirst, 2*w.trouble.wait), retryMax)
	w.trouble = trouble{reason: reason, wait: wait, left: wait, trial: w.trouble.trial}
	w.showMode()
	if !again {
		w.Log.WarnContext(ctx, "polling", "reason", reason)
	}
}

// retry counts a poll, and tries inotify again when it is time.
func (w *Watcher) retry(ctx context.Context) {
	if w.trouble.left--; w.trouble.left <= 0 && !w.NoEvents {
		w.openEvents(ctx)
	}
}

// trust is called when inotify has announced a change.
func (w *Watcher) trust(ctx context.Context) {
	if w.trouble.reason == "" {
		return
	}
	w.trouble = trouble{}
	w.showMode()
	w.Log.InfoContext(ctx, "inotify recovered")
}

func (w *Watcher) closeEvents() {
	if w.fs != nil {
		_ = w.fs.Close()
	}
	w.fs, w.added, w.gone, w.unreadable = nil, nil, false, ""
}

// showMode publishes how changes are noticed.
func (w *Watcher) showMode() {
	m := Mode{Polling: w.trouble.reason != "", Reason: w.trouble.reason, Watches: len(w.added)}
	if m.Reason == "" && w.unreadable != "" {
		m.Polling, m.Reason = true, "may not read "+w.unreadable+", so its changes announce nothing"
	}
	w.mode.Store(&m)
}

// follow asks for events of exactly the directories that the last scan went through. It reports whether another scan is
// needed: files may have come to a directory before its watch did, and a directory may have gone.
func (w *Watcher) follow(ctx context.Context) (again bool) {
	if w.fs == nil {
		return false
	}
	w.want()
	for _, dir := range w.fs.WatchList() {
		if !w.wanted[dir] {
			_ = w.fs.Remove(dir)
		}
	}
	added := map[string]bool{}
	w.gone, w.unreadable = false, ""
	for dir := range w.wanted {
		// Adding again is cheap, and follows a directory that was replaced by another of the same name.
		err := w.fs.Add(dir)
		switch {
		case err == nil:
			again = again || !w.added[dir]
			added[dir] = true
		case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
			w.gone = true
		case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
			w.unreadable = dir
		default:
			w.errors.Add(1)
			w.giveUp(ctx, noWatch(dir, err))
			return false
		}
	}
	w.added = added
	if !w.trouble.trial && w.trouble.reason != "" { // it was exhausted, and is not any more
		w.trouble.reason = ""
		w.Log.InfoContext(ctx, "inotify recovered")
	}
	w.showMode()
	return again || w.gone
}

// want lists what to watch for the last scans.
func (w *Watcher) want() {
	w.wanted, w.links = map[string]bool{}, map[string]bool{}
	for _, l := range w.scans {
		for _, dir := range l.dirs {
			w.wanted[dir] = true // every event counts
		}
	}
	for _, l := range w.scans {
		for _, link := range l.links {
			w.links[link] = true
			if dir := filepath.Dir(link); !w.wanted[dir] {
				w.wanted[dir] = true
				w.links[dir] = true
			}
		}
	}
}

// concerns reports whether an event may be a change of what is watched: in a directory that is only watched for a link in
// it, all others are none.
func (w *Watcher) concerns(event fsnotify.Event) bool {
	dir := filepath.Dir(event.Name)
	return !w.links[dir] || w.links[event.Name] || w.wanted[event.Name]
}
