package decide

import (
	"time"

	"inpod.dev/inpod/internal/window"
)

// aheadAtMost is how far the clock of whoever wrote the time of a rollout may be ahead of ours. A time that is further
// ahead is none: it would hold the workload up for as long as somebody likes.
const aheadAtMost = time.Minute

// pausedByReloader: Reloader has paused the Deployment and is not there any more to resume it. What somebody else has paused
// stays so.
func pausedByReloader(a *evaluation) (Decision, bool) {
	if at, ok := a.resumes(); !ok || at.After(a.Now) {
		return Decision{}, false
	}
	return Decision{Action: Resume, Reason: PausedByReloader, Message: pausedByReloaderMessage(a.Policy.Pacing.PausedAt, a.Policy.Pacing.Pause())}, true
}

// resumes returns when a pause of Reloader ends, which starts a rollout; ok is false if there is none or it does not end.
func (a *evaluation) resumes() (at time.Time, ok bool) {
	if !a.pausedByReloader() || a.notifyOnly() {
		return time.Time{}, false
	}
	if at = a.pausedUntil(); at.Before(a.Now) {
		at = a.Now
	}
	at = a.windows().Next(at)
	return at, !at.IsZero()
}

func (a *evaluation) pausedByReloader() bool {
	return a.Workload.Paused && a.Policy.Pacing.PausedByReloader
}

// pausedUntil is when the pause after the last rollout is over; zero if there is none.
func (a *evaluation) pausedUntil() time.Time {
	p := a.Policy.Pacing
	if p.Pause() == 0 || p.PausedAt.IsZero() || p.PausedAt.After(a.Now.Add(aheadAtMost)) {
		return time.Time{}
	}
	return p.PausedAt.Add(p.Pause())
}

// nextDecision is when a workload must be decided on again whatever was decided: Reloader's pause ends then.
func (a *evaluation) nextDecision(after time.Duration) time.Duration {
	at, ok := a.resumes()
	if left := at.Sub(a.Now); ok && left > 0 && (after == 0 || left < after) {
		return left
	}
	return after
}

// notifyOnly reports whether the workload is watched and never touched. What it says itself goes before the global
// setting.
func (a *evaluation) notifyOnly() bool {
	if own := a.Policy.Pacing.NotifyOnly; own != nil {
		return *own
	}
	return a.Options.NotifyOnly
}

// notifyOnlyRule: somebody wants to know and to act himself. What changed stays what is to be done, for the day on which that is
// switched off.
func notifyOnlyRule(a *evaluation) (Decision, bool) {
	if !a.notifyOnly() || a.staysInPlace() {
		return Decision{}, false
	}
	return a.hold(NotifyOnly, 0, notifyOnlyMessage), true
}

// pausePeriod: a rollout is delayed until the pause-period after the last one has passed. All changes until then are
// one rollout.
func pausePeriod(a *evaluation) (Decision, bool) {
	until := a.pausedUntil()
	if !until.After(a.Now) || a.staysInPlace() {
		return Decision{}, false
	}
	message := func(causes []Cause) string { return pausePeriodMessage(until, a.Policy.Pacing.Pause(), causes) }
	return a.hold(PausePeriod, until.Sub(a.Now), message), true
}

// windows are when it may be rolled. What it says itself goes before the global setting.
func (a *evaluation) windows() window.Windows {
	if own := a.Policy.Pacing.Windows; own != nil {
		return *own
	}
	return a.Options.Windows
}

// windowClosed: a rollout is delayed until the maintenance window opens. All changes until then are one rollout.
func windowClosed(a *evaluation) (Decision, bool) {
	windows := a.windows()
	if windows.Open(a.Now) || a.staysInPlace() {
		return Decision{}, false
	}
	opens := windows.Next(a.Now)
	if opens.IsZero() {
		return a.hold(WindowClosed, 0, windowNeverOpensMessage), true
	}
	return a.hold(WindowClosed, opens.Sub(a.Now), func(causes []Cause) string { return windowClosedMessage(opens, causes) }), true
}

// Deferred reports whether a reason is a wish of the user to have things done later, or by himself.
func (r Reason) Deferred() bool {
	return r == NotifyOnly || r == PausePeriod || r == WindowClosed || r == ConcurrencyForbidden
}
