// Package watch reports the content of directories whenever it may have changed.
//
// Events are hints, content is the truth: any event leads to a fresh look, no event type is trusted, and a slow
// re-check looks even when nothing was heard.
//
//	inotify ──┐
//	poll   ───┼─► short pause ─► look at every target ─► differs from the last report? ─► mailbox of one (latest wins)
//	re-check ─┘
//
// There is one inotify instance for everything, since the node has only 128 per user. When there is none left, or it
// stays silent about a change that the re-check finds (network and FUSE file systems), the package polls.
//
// It does not settle, and does not know what is done with a change.
package watch

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"inpod.dev/inpod/sidecar/internal/digest"
)

// gather is how long events are collected before a look: one swap by the kubelet makes five events, and the first
// of them come before the new content is visible. It doubles up to gatherMax while looks find nothing new, so that a
// log file written into a watched folder does not cost a look per line.
const (
	gather    = 20 * time.Millisecond
	gatherMax = time.Second
)

// reopenAfter is the number of polls after which an inotify instance is asked for again.
const reopenAfter = 100

// Watcher watches targets. The zero value of the optional fields is usable.
type Watcher struct {
	Targets []Target
	Log     *slog.Logger
	// Poll is the time between looks without inotify, Recheck the time between looks with it.
	Poll, Recheck time.Duration
	// NoEvents is for tests and hopeless file systems: poll always.
	NoEvents bool

	mode   atomic.Pointer[Mode]
	errors atomic.Int64
	looks  []look
	fs     *fsnotify.Watcher
	added  map[string]bool
	last   digest.State
	failed string
	pause  time.Duration
	polls  int
	silent bool
}

// Mode says how changes are noticed.
type Mode struct {
	// Polling is true without working inotify.
	Polling bool `json:"polling"`
	// Reason is why, empty when not polling.
	Reason string `json:"reason,omitempty"`
	// Watches is the number of directories with an inotify watch.
	Watches int `json:"watches"`
}

// Mode is how changes are noticed now. It may be called at any time.
func (w *Watcher) Mode() Mode {
	if m := w.mode.Load(); m != nil {
		return *m
	}
	return Mode{}
}

// Errors is the number of looks and watches that failed. It may be called at any time.
func (w *Watcher) Errors() int64 { return w.errors.Load() }

// Look looks once at everything, without watching.
func (w *Watcher) Look() (digest.State, error) {
	if err := w.lookAll(false); err != nil {
		return digest.State{}, err
	}
	return w.state(), nil
}

// Run reports the first state and each one that differs, until the context ends. out must have capacity one; a state
// that was not taken yet is replaced by the newer one.
func (w *Watcher) Run(ctx context.Context, out chan digest.State) error {
	w.openEvents(ctx)
	defer w.closeEvents("stopped")
	// What cannot be looked at is reported and looked at again: a sidecar that ends makes its pod unready. Only a mistake
	// that no time heals ends it.
	if err := w.check(ctx, out, false); errors.Is(err, digest.ErrTooLarge) {
		return err
	}
	timer := time.NewTimer(w.interval())
	defer timer.Stop()
	for {
		var events chan fsnotify.Event
		var failures chan error
		if w.fs != nil {
			events, failures = w.fs.Events, w.fs.Errors
		}
		select {
		case <-ctx.Done():
			return nil
		case event := <-events:
			w.Log.DebugContext(ctx, "file event", "path", event.Name, "op", event.Op.String())
			w.drain(ctx, events)
			_ = w.check(ctx, out, false)
		case err := <-failures:
			// An overflow loses events; a look finds what they would have said.
			w.errors.Add(1)
			w.Log.WarnContext(ctx, "inotify failed", "error", err)
			_ = w.check(ctx, out, false)
		case <-timer.C:
			w.tick(ctx, out)
		}
		timer.Reset(w.interval())
	}
}

// tick is the look that no event asked for.
func (w *Watcher) tick(ctx context.Context, out chan digest.State) {
	before := w.last
	_ = w.check(ctx, out, true)
	if w.fs == nil {
		if w.polls++; w.polls%reopenAfter == 0 && !w.silent {
			w.openEvents(ctx)
			w.follow(ctx)
		}
		return
	}
	if w.last.Sum != before.Sum && before.Volumes != nil && len(before.Missing()) == 0 && !w.pending() {
		w.silent = true
		w.closeEvents("inotify said nothing about a change that a re-check found")
		w.Log.WarnContext(ctx, "polling from now on", "reason", w.Mode().Reason)
	}
}

// pending says whether an event is waiting: then the timer was only faster than the event.
func (w *Watcher) pending() bool {
	grace := time.NewTimer(gather)
	defer grace.Stop()
	select {
	case <-w.fs.Events:
		return true
	case <-grace.C:
		return false
	}
}

// drain takes all events of the moment, so that one swap leads to one look.
func (w *Watcher) drain(ctx context.Context, events <-chan fsnotify.Event) {
	w.pause = min(max(gather, 2*w.pause), gatherMax)
	timer := time.NewTimer(w.pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-events:
		}
	}
}

func (w *Watcher) check(ctx context.Context, out chan digest.State, quick bool) error {
	err := w.report(ctx, out, quick)
	text := ""
	if err != nil {
		w.errors.Add(1)
		text = err.Error()
	}
	if text != "" && text != w.failed {
		w.Log.ErrorContext(ctx, "cannot look at a watched path; what it held before counts", "error", err)
	}
	w.failed = text
	return err
}

func (w *Watcher) report(ctx context.Context, out chan digest.State, quick bool) error {
	first := w.looks == nil
	if err := w.lookAll(quick); err != nil {
		return err
	}
	if first {
		w.warnOutside(ctx)
	}
	added := w.follow(ctx)
	if added && !first {
		// Files may have come to a new directory before its watch did.
		if err := w.lookAll(false); err != nil {
			return err
		}
	}
	state := w.state()
	if !first && state.Sum == w.last.Sum && len(state.Missing()) == len(w.last.Missing()) {
		return nil
	}
	w.last, w.pause = state, 0
	select { // the newest state replaces one that nobody took
	case <-out:
	default:
	}
	select {
	case out <- state:
	case <-ctx.Done():
	}
	return nil
}

func (w *Watcher) warnOutside(ctx context.Context) {
	for _, l := range w.looks {
		if l.volume.Outside > 0 {
			w.Log.WarnContext(ctx, "a watched link leads out of its directory, so only a change of the link itself is seen; "+
				"watch what it points to as well", "path", l.volume.Path)
		}
	}
}

func (w *Watcher) lookAll(quick bool) error {
	looks := make([]look, len(w.Targets))
	for i, target := range w.Targets {
		var prev look
		if w.looks != nil {
			prev = w.looks[i]
		}
		found, err := target.at(prev, quick)
		if err != nil {
			return err
		}
		if prev.volume.Sum == found.volume.Sum && !prev.volume.Changed.IsZero() {
			found.volume.Changed = prev.volume.Changed // touched, not changed
		}
		looks[i] = found
	}
	w.looks = looks
	return nil
}

func (w *Watcher) state() digest.State {
	volumes := make([]digest.Volume, len(w.looks))
	for i, l := range w.looks {
		volumes[i] = l.volume
	}
	return digest.Combine(volumes)
}

func (w *Watcher) interval() time.Duration {
	if w.fs == nil || w.looks == nil {
		return w.Poll
	}
	for _, l := range w.looks {
		if len(l.volume.Missing) > 0 {
			return w.Poll // what is not there cannot be watched
		}
	}
	return w.Recheck
}
