// Package watch reports the content of directories whenever it may have changed.
//
// Only content counts: any event leads to a scan, no event type is trusted, and a slow re-check scans without any
// event.
//
//	inotify ──┐
//	poll   ───┼─► short pause ─► scan every target ─► differs from the last report? ─► mailbox of one (latest wins)
//	re-check ─┘
//
// There is one inotify instance for everything, since the node has only 128 per user. When there is none left, or it
// stays silent about a change that the re-check finds (network and FUSE file systems), the package polls, and tries again
// now and then: inotify that was silent is trusted again when it has announced a change.
//
// A path may go through links. They are watched where they lie, since a link that is replaced (git-sync) says nothing
// where it leads.
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

// gather is how long events are collected before a scan: one swap by the kubelet makes five events, and the first of
// them come before the new content is visible. It doubles up to gatherMax while scans find nothing new, so that a log
// file written into a watched folder does not cost a scan per line.
const (
	gather    = 20 * time.Millisecond
	gatherMax = time.Second
)

// Watcher watches targets. The zero value of the optional fields is usable.
type Watcher struct {
	Targets []Target
	Log     *slog.Logger
	// Poll is the time between scans without inotify, Recheck the time between scans with it.
	Poll, Recheck time.Duration
	// NoEvents makes the watcher poll always: for tests, and for file systems without events.
	NoEvents bool

	mode    atomic.Pointer[Mode]
	errors  atomic.Int64
	steps   atomic.Int64
	scans   []scan
	jobs    chan scanJob
	results chan scanResult
	fs      *fsnotify.Watcher
	trouble trouble
	// wanted are the directories to watch, added those that are watched. links are the paths that count in directories
	// that are only watched for them, and these directories.
	wanted, added, links map[string]bool
	// gone is true when a directory was not there any more when it should be watched, unreadable one that may not be
	// watched.
	gone       bool
	unreadable string
	last       digest.State
	failed     string
	pause      time.Duration
}

// Mode says how changes are noticed.
type Mode struct {
	// Polling is true while inotify alone is not enough.
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

// Errors is the number of scans and watches that failed. It may be called at any time.
func (w *Watcher) Errors() int64 { return w.errors.Load() }

// endScans ends the goroutine that scans, at once or after a scan that hangs.
func (w *Watcher) endScans() {
	if w.jobs != nil {
		close(w.jobs)
		w.jobs = nil
	}
}

// Scan scans every target once, without watching.
func (w *Watcher) Scan(ctx context.Context) (digest.State, error) {
	defer w.endScans()
	if err := w.scanAll(ctx, false); err != nil {
		return digest.State{}, err
	}
	return w.state(), nil
}

// hopeless reports whether an error comes from a mistake that does not go away by itself.
func hopeless(err error) bool {
	_, pseudo := errors.AsType[pseudoError](err)
	return pseudo || errors.Is(err, digest.ErrTooLarge)
}

// Run reports the first state and each one that differs, until the context ends. out must have capacity one; a state
// that was not taken yet is replaced by the newer one.
func (w *Watcher) Run(ctx context.Context, out chan digest.State) error {
	w.openEvents(ctx)
	defer func() {
		w.endScans()
		w.closeEvents()
		w.mode.Store(&Mode{Polling: true, Reason: "stopped"})
	}()
	// What cannot be read is reported and scanned again: a sidecar that ends makes its pod unready. Only a mistake that
	// no time heals ends it.
	if err := w.check(ctx, out, false); hopeless(err) {
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
			if !w.concerns(event) {
				continue
			}
			if w.Log.Enabled(ctx, slog.LevelDebug) {
				w.Log.DebugContext(ctx, "file event", "path", event.Name, "op", event.Op.String())
			}
			w.heard(ctx, out, events)
		case err := <-failures:
			// An overflow loses events; a scan finds what they would have said.
			w.errors.Add(1)
			w.Log.WarnContext(ctx, "inotify failed", "error", err)
			_ = w.check(ctx, out, false)
		case <-timer.C:
			w.tick(ctx, out)
		}
		timer.Reset(w.interval())
	}
}

// heard is the scan that an event asked for.
func (w *Watcher) heard(ctx context.Context, out chan digest.State, events <-chan fsnotify.Event) {
	w.drain(ctx, events)
	before := w.last.Sum
	_ = w.check(ctx, out, false)
	if w.last.Sum != before && w.fs != nil {
		w.trust(ctx)
	}
}

// tick is the scan that no event asked for.
func (w *Watcher) tick(ctx context.Context, out chan digest.State) {
	if w.fs == nil {
		w.retry(ctx)
		_ = w.check(ctx, out, true)
		return
	}
	before, known := w.last, !w.gone && w.unreadable == ""
	_ = w.check(ctx, out, true)
	if w.fs == nil || w.last.Sum == before.Sum || before.Volumes == nil || len(before.Missing()) > 0 {
		return
	}
	switch {
	case w.pending():
		w.trust(ctx)
		_ = w.check(ctx, out, false) // the event may be of something that came after the scan
	case known:
		w.giveUp(ctx, "inotify said nothing about a change that a re-check found")
		w.trouble.trial = true
	}
}

// pending reports whether an event is waiting: then the timer was only faster than the event.
func (w *Watcher) pending() bool {
	grace := time.NewTimer(gather)
	defer grace.Stop()
	for {
		select {
		case event := <-w.fs.Events:
			if w.concerns(event) {
				return true
			}
		case <-grace.C:
			return false
		}
	}
}

// drain takes all events of the moment, so that one swap leads to one scan.
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
	if ctx.Err() != nil {
		return nil //nolint:nilerr // stopped, which is no trouble
	}
	text := ""
	if err != nil {
		w.errors.Add(1)
		text = err.Error()
	}
	if text != "" && text != w.failed {
		w.Log.ErrorContext(ctx, "reading watched path failed, keeping its last content", "error", err)
	}
	w.failed = text
	return err
}

func (w *Watcher) report(ctx context.Context, out chan digest.State, quick bool) error {
	const rounds = 3
	first := w.scans == nil
	for range rounds {
		if err := w.scanAll(ctx, quick); err != nil {
			return err
		}
		if !w.follow(ctx) {
			break
		}
		quick = true
	}
	if first {
		w.warn(ctx)
	}
	state := w.state()
	if !first && state.Sum == w.last.Sum && len(state.Missing()) == len(w.last.Missing()) {
		return nil
	}
	w.last, w.pause = state, 0
	select { // the newest state replaces one that was not received
	case <-out:
	default:
	}
	select {
	case out <- state:
	case <-ctx.Done():
	}
	return nil
}

// warn says of what is watched that it is not compared by its content.
func (w *Watcher) warn(ctx context.Context) {
	for _, l := range w.scans {
		if l.volume.Outside > 0 {
			w.Log.WarnContext(ctx, "link leads out of the watched directory, watching only the link",
				"path", l.volume.Path, "hint", "watch its target as well")
		}
		if l.volume.Large > 0 {
			w.Log.WarnContext(ctx, "files over 64 MiB not read, counting each write as a change",
				"path", l.volume.Path, "files", l.volume.Large, "hint", "name the wanted keys to leave these files out")
		}
		if len(l.pseudo) > 0 {
			w.Log.WarnContext(ctx, "skipping file systems of the kernel", "path", l.volume.Path, "below", l.pseudo)
		}
	}
}

// Steps counts the starts and the ends of scans: it is odd during a scan, which opens watched files. It may be called
// at any time.
func (w *Watcher) Steps() int64 { return w.steps.Load() }

// scanAll scans every target. When the context ends it returns at once, even where a file system hangs.
func (w *Watcher) scanAll(ctx context.Context, quick bool) error {
	if w.jobs == nil {
		w.jobs, w.results = make(chan scanJob), make(chan scanResult, 1)
		go w.scan(w.jobs, w.results)
	}
	job := scanJob{ctx: ctx, before: w.scans, quick: quick}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case w.jobs <- job:
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case found := <-w.results:
		if found.err == nil {
			w.scans = found.scans
		}
		return found.err
	}
}

// scanJob is one scan.
type scanJob struct {
	ctx    context.Context //nolint:containedctx // it is a part of what is asked for
	before []scan
	quick  bool
}

type scanResult struct {
	scans []scan
	err   error
}

// scan runs scans one after the other. A goroutine for each would grow its stack each time, a tenth of the cost of a scan.
// The result of a scan that nobody waits for stays in results: a watcher whose context has ended scans no more.
func (w *Watcher) scan(jobs <-chan scanJob, results chan<- scanResult) {
	for job := range jobs {
		w.steps.Add(1)
		scans, err := scanOne(job.ctx, w.Targets, job.before, job.quick)
		w.steps.Add(1)
		results <- scanResult{scans, err}
	}
}

func scanOne(ctx context.Context, targets []Target, before []scan, quick bool) ([]scan, error) {
	scans := make([]scan, len(targets))
	for i, target := range targets {
		var prev scan
		if before != nil {
			prev = before[i]
		}
		found, err := target.at(ctx, prev, quick)
		if err != nil {
			return nil, err
		}
		if prev.volume.Sum == found.volume.Sum && !prev.volume.Changed.IsZero() {
			found.volume.Changed = prev.volume.Changed // touched, not changed
		}
		scans[i] = found
	}
	return scans, nil
}

func (w *Watcher) state() digest.State {
	volumes := make([]digest.Volume, len(w.scans))
	for i, l := range w.scans {
		volumes[i] = l.volume
	}
	return digest.Combine(volumes)
}

func (w *Watcher) interval() time.Duration {
	if w.fs == nil || w.scans == nil || w.trouble.trial || w.gone || w.unreadable != "" {
		return w.Poll
	}
	for _, l := range w.scans {
		if len(l.volume.Missing) > 0 {
			return w.Poll // what is not there cannot be watched
		}
	}
	return w.Recheck
}
