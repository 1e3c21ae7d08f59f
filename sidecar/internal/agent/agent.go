// Package agent decides when the application is reloaded with new content, and keeps what came of it.
//
// It sees a channel of states and a Trigger, nothing else: no file, no process, no network.
//
//	states ─► settle (0.5 s quiet) ─► Trigger.Reload ─► applied: done
//	                ▲                        │
//	                └─ newer content ◄───────┴─ failed, died, rejected: again after a back-off
package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"inpod.dev/inpod/sidecar/internal/digest"
)

// Agent reloads one application. Trigger, Log, Now and Timing must be set.
type Agent struct {
	Trigger Trigger
	// Memory may be nil.
	Memory Memory
	// Certain asks for a reload where nothing reports whether the application has the first content. Otherwise it is
	// taken to have it, and asked again.
	Certain bool
	Log     *slog.Logger
	Now     func() time.Time
	Timing  Timing
	// OwnClock reports whether the times in a state are of the clock that Now shows; nil for one that always are.
	OwnClock func(digest.State) bool

	machine machine
	// has is the content that the application was last known to have; hasKnown is false as long as nothing ever was.
	has      digest.State
	hasKnown bool
	// suspect are the files of attempts since then that were sent and not applied: it is unknown what the application has
	// of those.
	suspect map[string]bool
	// restart is the latest content that only a new process takes up, the zero sum for none since something was applied.
	restart digest.Sum
	// seen is when the latest content was first seen. attempted and begun are the last attempt's content and begin.
	seen, begun time.Time
	attempted   Change
	// askAt is when to ask again whether the application has the first content, zero when that is known.
	askAt   time.Time
	askWait time.Duration
	mu      sync.Mutex
	status  Status
}

// Status describes one moment. All of it but the digests in State is public.
type Status struct {
	// Phase is Starting, "idle", "settling", "reloading", "retrying", "late" (the answer to the last attempt is asked for),
	// "held" (wanted files are missing), or, until the content changes, "given up" or "dry run".
	Phase string
	// Pending is true while the application does not have the latest content.
	Pending bool
	State   digest.State
	// Changes counts new contents seen since the start.
	Changes int64
	// Attempts counts attempts since the start, Counts their results: one that was late counts once more when its answer
	// has come. Unproven are those of Applied that nothing proved.
	Attempts, Unproven int64
	Counts             map[Result]int64
	// Last is the last attempt, LastAt its end, LastTook its duration; zero before the first.
	Last     Outcome
	LastAt   time.Time
	LastTook time.Duration
	// Tried is true when Last is about the content in State, and not about an older one.
	Tried bool
	// Assumed is true when the application is only taken to have the content, since nothing has shown so yet.
	Assumed bool
	// AppliedAt is the end of the last attempt that was applied.
	AppliedAt time.Time
	// RetryAt is when the next attempt for the same content begins.
	RetryAt time.Time
}

// Starting is the phase before the first state.
const Starting = "starting"

// Status is a copy of the present status. It may be called at any time.
func (a *Agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	s.Counts = make(map[Result]int64, len(a.status.Counts))
	for _, r := range Results() {
		s.Counts[r] = a.status.Counts[r]
	}
	if s.Phase == "" {
		s.Phase = Starting
	}
	return s
}

// Run acts on states until the context ends.
func (a *Agent) Run(ctx context.Context, states <-chan digest.State) {
	a.machine = machine{timing: a.Timing}
	select {
	case <-ctx.Done():
		return
	case first := <-states:
		a.Start(ctx, first)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		a.publish()
		var due <-chan time.Time
		if at, ok := a.due(); ok {
			timer.Reset(at.Sub(a.Now()))
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case state := <-states:
			a.see(ctx, state)
		case <-due:
			select { // what came at the same moment belongs to this change
			case state := <-states:
				a.see(ctx, state)
			default:
				a.act(ctx)
			}
		}
	}
}

// due is when there is something to do without a new state.
func (a *Agent) due() (at time.Time, ok bool) {
	at, ok = a.machine.due()
	if ask, late := a.machine.askDue(); late && (!ok || ask.Before(at)) {
		return ask, true
	}
	if ok {
		return at, true
	}
	return a.askAt, !a.askAt.IsZero() && !a.machine.pending()
}

func (a *Agent) act(ctx context.Context) {
	at, ok := a.machine.due()
	ask, late := a.machine.askDue()
	switch {
	case late && (!ok || ask.Before(at)):
		a.askAnswer(ctx)
	case ok:
		a.attempt(ctx)
	default:
		a.ask(ctx)
	}
}

// whyAssumed is how it is in every new pod: the sidecar starts before the application, which then reads what is there.
const whyAssumed = "nothing shows it, so it is taken to have it"

// Start takes the first state and finds out whether the application has it: by what was recorded, else by comparing
// when the content changed with when the application read its configuration. Nothing is triggered yet.
func (a *Agent) Start(ctx context.Context, first digest.State) (pending bool) {
	a.machine.timing = a.Timing
	a.seen = a.Now()
	if a.Memory != nil && a.Memory.NeedsRestart(first.Sum) {
		return a.startInVain(ctx, first)
	}
	why := whyAssumed
	if recorded, same := a.recall(first.Sum); same {
		why = "recorded"
	} else if at, known := a.Trigger.LoadedAt(ctx); known {
		pending = !a.surelyRead(first, at)
		why = "compared with when the application read its configuration"
	} else if recorded {
		pending, why = true, "another content is recorded"
	}
	if why == whyAssumed && a.Certain {
		pending, why = true, "nothing reports whether the application has it"
	}
	a.machine.start(first, pending, a.Now())
	a.has, a.hasKnown = first, !pending
	if why == whyAssumed {
		a.askWait = a.Timing.Ask
		a.askAt = a.Now().Add(a.askWait)
	}
	if !pending && len(first.Missing()) == 0 {
		a.record(ctx, first.Sum) // else a change before the next start would have nothing to be compared with
	}
	a.began(ctx, first, pending, why)
	return pending
}

func (a *Agent) began(ctx context.Context, first digest.State, pending bool, why string) {
	a.Log.InfoContext(ctx, "watching", "pending", pending, "why", why, "volumes", len(first.Volumes),
		"changedAt", first.Changed)
	a.publish()
}

// startInVain starts with content that a reload is recorded not to make the application read. Its workers may be younger
// than the content without having it: only the age of the process counts.
func (a *Agent) startInVain(ctx context.Context, first digest.State) (pending bool) {
	if at, known := a.Trigger.StartedAt(ctx); known && a.surelyRead(first, at) {
		a.machine.start(first, false, a.Now())
		a.has, a.hasKnown = first, true
		a.record(ctx, first.Sum)
		a.began(ctx, first, false, "a process that started later has read it")
		return false
	}
	a.restart = first.Sum
	a.machine.start(first, true, a.Now())
	a.machine.begin()
	a.attempted = Change{State: first, Seen: a.seen, FilesUnknown: true}
	outcome := Outcome{
		Result: NeedsRestart, Final: true,
		Message: "a reload does not make the application read this content, as was found before the sidecar started; restart its container",
	}
	a.machine.end(outcome, a.Now())
	a.mu.Lock()
	a.status.Last, a.status.LastAt = outcome, a.Now()
	a.mu.Unlock()
	a.began(ctx, first, true, "recorded as needing a restart")
	return true
}

// ask asks again what was not known at the start: an application that has started since then can be compared with the
// content. That matters when it was there all the time and could not be seen, and to who wants it confirmed.
func (a *Agent) ask(ctx context.Context) {
	at, known := a.Trigger.LoadedAt(ctx)
	if !known {
		a.askWait = min(2*a.askWait, a.Timing.AskMax)
		a.askAt = a.Now().Add(a.askWait)
		return
	}
	a.askAt = time.Time{}
	if !a.surelyRead(a.machine.latest, at) {
		a.machine.doubt(a.Now())
		a.hasKnown = false
	}
	a.Log.InfoContext(ctx, "determined when the application loaded its configuration", "at", at, "pending", a.machine.pending())
}

// loadMargin is by how much the application must have started after the content came to be: the times of files lag behind
// by up to a tick of the kernel.
const loadMargin = 10 * time.Millisecond

// surelyRead reports whether an application that read its configuration at that time, or later, certainly has the content
// of state. A needless reload is harmless, a missed one is not: when clocks cannot be compared, it is false.
func (a *Agent) surelyRead(state digest.State, at time.Time) bool {
	if at.After(a.seen) { // by the monotonic clock, where at has it
		return true
	}
	if a.OwnClock != nil && !a.OwnClock(state) || state.Changed.After(a.Now()) {
		return false
	}
	// The wall clock may have been set since the content was seen: the earlier of the two readings is the safe one.
	at = at.Round(0)
	if before := a.seen.Round(0).Add(-a.seen.Sub(at)); before.Before(at) {
		at = before
	}
	return at.After(state.Changed.Add(loadMargin))
}

func (a *Agent) recall(sum digest.Sum) (recorded, same bool) {
	if a.Memory == nil {
		return false, false
	}
	return a.Memory.Applied(sum)
}

func (a *Agent) record(ctx context.Context, sum digest.Sum) {
	if a.Memory == nil {
		return
	}
	if err := a.Memory.Record(sum, a.restart); err != nil {
		a.Log.WarnContext(ctx, "recording the applied content failed", "error", err, "effect", "one more reload after a restart of the sidecar")
	}
}

func (a *Agent) see(ctx context.Context, state digest.State) {
	if now := a.Now(); state.Sum != a.machine.latest.Sum {
		a.seen = now
	}
	changed := a.machine.see(state, a.Now())
	a.mu.Lock()
	if changed {
		a.status.Changes++
	}
	a.note()
	a.mu.Unlock()
	if changed {
		a.Log.InfoContext(ctx, "content changed", "changedAt", state.Changed)
	}
	if a.machine.held() {
		a.Log.WarnContext(ctx, "waiting for missing files", "missing", state.Missing())
	}
}

// Attempt makes one attempt with the latest state, waits for its answer, and returns its outcome. It sends nothing for
// content that is recorded as needing a restart.
func (a *Agent) Attempt(ctx context.Context) Outcome {
	if a.machine.restart { // nothing that is sent helps
		return a.Status().Last
	}
	outcome := a.attempt(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for outcome.Result == Late {
		at, _ := a.machine.askDue()
		timer.Reset(at.Sub(a.Now()))
		select {
		case <-ctx.Done():
			return outcome
		case <-timer.C:
			outcome = a.askAnswer(ctx)
		}
	}
	return outcome
}

func (a *Agent) attempt(ctx context.Context) Outcome {
	state := a.machine.begin()
	a.askAt = time.Time{}
	a.mu.Lock()
	a.status.Phase = "reloading"
	a.mu.Unlock()
	a.begun = a.Now()
	a.attempted = changeFrom(a.has, state, a.hasKnown, a.suspect)
	a.attempted.Seen = a.seen
	outcome := a.Trigger.Reload(ctx, a.attempted)
	if ctx.Err() != nil && outcome.Result != Applied {
		return outcome // stopped in the middle: the next start finds out
	}
	a.mu.Lock()
	a.status.Attempts++
	a.mu.Unlock()
	a.conclude(ctx, outcome)
	return outcome
}

// askAnswer asks for the answer to the last attempt.
func (a *Agent) askAnswer(ctx context.Context) Outcome {
	outcome := a.Trigger.Ask(ctx, a.attempted)
	if ctx.Err() != nil && outcome.Result != Applied {
		return outcome
	}
	if a.machine.restart && outcome.Result != Applied {
		a.machine.askLater(a.Now())
		return a.status.Last
	}
	outcome = a.machine.bound(outcome, a.Now())
	if outcome.Result == Late {
		a.machine.end(outcome, a.Now())
		return outcome
	}
	a.conclude(ctx, outcome)
	return outcome
}

// conclude takes the outcome of the last attempt.
func (a *Agent) conclude(ctx context.Context, outcome Outcome) {
	end, state := a.Now(), a.attempted.State
	a.machine.end(outcome, end)
	if outcome.Result == NeedsRestart {
		a.restart = state.Sum
	}
	switch {
	case outcome.Result == Applied:
		a.has, a.hasKnown, a.suspect, a.restart = state, true, nil, digest.Sum{}
		a.record(ctx, state.Sum)
	case outcome.Triggered:
		a.doubt(a.attempted.Files)
		a.record(ctx, digest.Sum{})
	case outcome.Result == NeedsRestart:
		a.record(ctx, a.surelyHas())
	}
	took := end.Sub(a.begun)
	a.mu.Lock()
	again := a.status.Tried && a.status.Last == outcome
	if a.status.Counts == nil {
		a.status.Counts = map[Result]int64{}
	}
	a.status.Counts[outcome.Result]++
	a.status.Last, a.status.LastAt, a.status.LastTook = outcome, end, took
	if outcome.Result == Applied {
		a.status.AppliedAt = end
		if !outcome.Proven {
			a.status.Unproven++
		}
	}
	a.note()
	a.mu.Unlock()
	a.report(ctx, outcome, took, again)
}

// surelyHas is the sum of the content that the application has, the zero sum where that is not known.
func (a *Agent) surelyHas() digest.Sum {
	if !a.hasKnown || a.suspect != nil || len(a.has.Missing()) > 0 {
		return digest.Sum{}
	}
	return a.has.Sum
}

// doubt notes files that were sent to the application, and may be in use or not.
func (a *Agent) doubt(files []string) {
	if a.suspect == nil {
		a.suspect = map[string]bool{}
	}
	for _, file := range files {
		a.suspect[file] = true
	}
}

// report logs an outcome; one that only repeats what was said about the same content, in debug only.
func (a *Agent) report(ctx context.Context, outcome Outcome, took time.Duration, again bool) {
	level := slog.LevelInfo
	switch {
	case again:
		level = slog.LevelDebug
	case outcome.Result == Late:
		level = slog.LevelWarn
	case outcome.Result != Applied && outcome.Result != DryRun:
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("result", string(outcome.Result)), slog.String("message", outcome.Message),
		slog.Bool("proven", outcome.Proven), slog.String("trigger", outcome.Trigger), slog.String("proof", outcome.Proof),
		slog.Duration("took", took),
	}
	if at, ok := a.machine.due(); ok {
		attrs = append(attrs, slog.Time("retryAt", at))
	}
	a.Log.LogAttrs(ctx, level, "reload ended", attrs...)
}

func (a *Agent) publish() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.note()
}

// note brings the status up to date. What it says together is read together, so the caller holds the lock.
func (a *Agent) note() {
	m := &a.machine
	a.status.Assumed = !a.askAt.IsZero() && !m.pending()
	a.status.Tried = m.tried != digest.Sum{} && m.tried == m.latest.Sum
	a.status.State, a.status.Pending, a.status.RetryAt = m.latest, m.pending(), m.retryAt
	switch {
	case !m.pending():
		a.status.Phase = "idle"
	case m.held():
		a.status.Phase = "held"
	case m.late():
		a.status.Phase = "late"
	case m.never && a.status.Last.Result == DryRun:
		a.status.Phase = "dry run"
	case m.never:
		a.status.Phase = "given up"
	case !m.retryAt.IsZero():
		a.status.Phase = "retrying"
	default:
		a.status.Phase = "settling"
	}
}
