package watch

import (
	"context"
	"errors"
	"fmt"

	"github.com/fsnotify/fsnotify"
)

func (w *Watcher) openEvents(ctx context.Context) {
	w.added = map[string]bool{}
	if w.NoEvents {
		w.silent = true
		w.mode.Store(&Mode{Polling: true, Reason: "asked for"})
		return
	}
	events, err := fsnotify.NewWatcher()
	if err != nil {
		w.errors.Add(1)
		reason := fmt.Sprintf("no inotify instance to be had (fs.inotify.max_user_instances counts per user): %v", err)
		w.mode.Store(&Mode{Polling: true, Reason: reason})
		w.Log.WarnContext(ctx, "polling", "reason", reason)
		return
	}
	w.fs = events
}

func (w *Watcher) closeEvents(reason string) {
	if w.fs != nil {
		_ = w.fs.Close()
	}
	w.fs, w.added = nil, nil
	w.mode.Store(&Mode{Polling: true, Reason: reason})
}

// follow asks for events of exactly the directories that the last look went through. It says whether one was added.
func (w *Watcher) follow(ctx context.Context) bool {
	if w.fs == nil {
		return false
	}
	wanted, added := map[string]bool{}, false
	for _, l := range w.looks {
		for _, dir := range l.dirs {
			wanted[dir] = true
		}
	}
	for _, dir := range w.fs.WatchList() {
		if !wanted[dir] {
			_ = w.fs.Remove(dir)
		}
	}
	for dir := range wanted {
		fresh := !w.added[dir]
		// Adding again is cheap, and follows a directory that was replaced by another of the same name.
		if err := w.fs.Add(dir); err != nil {
			if errors.Is(err, fsnotify.ErrClosed) {
				return false
			}
			w.errors.Add(1)
			w.closeEvents(fmt.Sprintf("cannot watch %s (fs.inotify.max_user_watches?): %v", dir, err))
			w.Log.WarnContext(ctx, "polling", "reason", w.Mode().Reason)
			return false
		}
		added = added || fresh
	}
	w.added = wanted
	w.mode.Store(&Mode{Watches: len(wanted)})
	return added
}
