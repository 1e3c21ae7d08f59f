package agent

import (
	"fmt"
	"time"

	"inpod.dev/inpod/sidecar/internal/digest"
)

// Timing is how long things take. All fields must be set.
type Timing struct {
	// Settle is the quiet time after the last change before a reload, SettleMax its limit while changes go on.
	Settle, SettleMax time.Duration
	// Retry and RetryMax bound the back-off after Failed and Died, RejectedRetry and RejectedMax after Rejected: what
	// an application rejects may become right by itself (a name that resolves later), but seldom soon. One that is not
	// there yet may come at any moment, and looking for it costs little.
	Retry, RetryMax, RejectedRetry, RejectedMax time.Duration
	// Ask and AskMax bound the back-off of asking when the application read its configuration, while nothing shows it.
	Ask, AskMax time.Duration
	// Late and LateMax bound the back-off of asking for the answer to an attempt that is late. After LateEnd without one
	// the attempt counts as failed. Newer content waits LateNew for it, and then gets an attempt of its own.
	Late, LateMax, LateEnd, LateNew time.Duration
}

// DefaultTiming is the timing for a quiet time.
func DefaultTiming(settle time.Duration) Timing {
	const settleMaxFactor = 10
	return Timing{
		Settle: settle, SettleMax: settleMaxFactor * settle,
		Retry: time.Second, RetryMax: 15 * time.Second,
		RejectedRetry: 30 * time.Second, RejectedMax: 10 * time.Minute,
		Ask: time.Second, AskMax: time.Minute,
		Late: time.Second, LateMax: 15 * time.Second, LateEnd: LateEnd, LateNew: 30 * time.Second,
	}
}

// LateEnd is how long the answer to an attempt is waited for.
const LateEnd = 10 * time.Minute

// machine decides when to reload. It has no clock: the time is an argument, and due says when to ask again.
//
//	settled ──new content──► settling ──quiet──► due ──begin──► (trigger runs) ──end──► settled or waiting to retry
//	                            ▲                                                          │
//	                            └───────────────── new content ────────────────────────────┘
//
// An attempt that is late is not repeated: its answer is asked for, until there is one, time is up, or newer content has
// waited long enough.
type machine struct {
	timing Timing
	latest digest.State
	// inUse is the sum that the application has, applying the one that is being triggered.
	inUse, applying digest.Sum
	// tried is the sum that the last attempt was about, the zero sum before the first.
	tried digest.Sum
	// first and last are when the unapplied content began to change and changed last.
	first, last time.Time
	// retryAt is when to try the same content again, zero when there is no attempt yet. never means no retry.
	retryAt time.Time
	never   bool
	wait    time.Duration
	// lateSince is when the last attempt ended late, zero when it did not; askAt is when to ask for its answer.
	lateSince, askAt time.Time
	askWait          time.Duration
	// restart says that only a new process takes up the content of the last attempt. It is asked whether there is one.
	restart bool
}

// start takes the first state. pending says that the application does not have it yet.
func (m *machine) start(state digest.State, pending bool, now time.Time) {
	m.latest = state
	if pending {
		m.first, m.last = now, now
		return
	}
	m.inUse = state.Sum
}

// doubt says that the application does not have the latest content after all.
func (m *machine) doubt(now time.Time) {
	m.inUse, m.first, m.last = digest.Sum{}, now, now
}

// see takes a newer state. It says whether that is a change still to be applied.
func (m *machine) see(state digest.State, now time.Time) bool {
	changed := state.Sum != m.latest.Sum
	m.latest = state
	if !changed {
		return false
	}
	m.retryAt, m.never, m.wait, m.restart = time.Time{}, false, 0, false
	if state.Sum == m.inUse {
		m.first, m.last = time.Time{}, time.Time{} // changed back before anything was triggered
		return false
	}
	if m.first.IsZero() {
		m.first = now
	}
	m.last = now
	return true
}

// pending reports whether the application lacks the latest content.
func (m *machine) pending() bool { return m.latest.Sum != m.inUse }

// held reports whether the latest content is not fit to be applied: a wanted file is not there. Triggering the
// application now would break it, and the file is likely on its way.
func (m *machine) held() bool { return m.pending() && len(m.latest.Missing()) > 0 }

// due is when the next reload should begin. Without one, ok is false.
func (m *machine) due() (at time.Time, ok bool) {
	switch {
	case !m.pending() || m.held() || m.never || m.late() && m.latest.Sum == m.applying:
		return time.Time{}, false
	case !m.retryAt.IsZero():
		return m.retryAt, true
	}
	at = m.last.Add(m.timing.Settle)
	if limit := m.first.Add(m.timing.SettleMax); limit.Before(at) {
		at = limit
	}
	if patience := m.first.Add(m.timing.LateNew); m.late() && patience.After(at) {
		at = patience
	}
	return at, true
}

// late reports whether the answer to the last attempt has not come yet.
func (m *machine) late() bool { return !m.lateSince.IsZero() }

// askDue is when to ask for the answer to the last attempt, or for a new process. Without a reason to, ok is false.
func (m *machine) askDue() (at time.Time, ok bool) { return m.askAt, m.late() || m.restart }

// askLater says when to ask again.
func (m *machine) askLater(now time.Time) {
	m.askWait = min(max(m.timing.Late, 2*m.askWait), m.timing.LateMax)
	m.askAt = now.Add(m.askWait)
}

// bound turns late into failed when the answer has been waited for long enough.
func (m *machine) bound(outcome Outcome, now time.Time) Outcome {
	if outcome.Result != Late || !m.late() || now.Sub(m.lateSince) < m.timing.LateEnd {
		return outcome
	}
	outcome.Result, outcome.Final = Failed, true
	outcome.Message = fmt.Sprintf("no answer within %s, and nothing is sent again for the same content: %s", m.timing.LateEnd, outcome.Message)
	return outcome
}

// begin starts an attempt with the latest content.
func (m *machine) begin() digest.State {
	m.applying, m.lateSince, m.restart = m.latest.Sum, time.Time{}, false
	return m.latest
}

// end takes the attempt's outcome. New content that came meanwhile is seen afterwards, and settles as usual.
func (m *machine) end(outcome Outcome, now time.Time) {
	m.tried = m.applying
	newer := m.latest.Sum != m.applying // only while the answer was waited for
	if outcome.Result == Late {
		m.inUse = digest.Sum{}
		if !m.late() {
			m.lateSince, m.askWait = now, 0
			m.first = time.Time{}
		}
		m.askLater(now)
		return
	}
	m.lateSince, m.restart = time.Time{}, false
	if outcome.Result == Applied {
		m.inUse = m.applying
		m.retryAt, m.wait = time.Time{}, 0
		if !newer {
			m.first, m.last = time.Time{}, time.Time{}
		}
		return
	}
	if outcome.Triggered {
		// Nobody knows what it has now: going back to the old content must be triggered as well. It also lets servers
		// that report a failed reload take that back.
		m.inUse = digest.Sum{}
	}
	if newer {
		return // which settles as usual
	}
	m.first = time.Time{}
	if outcome.Result == NeedsRestart {
		m.never, m.restart, m.askWait = true, true, 0
		m.askLater(now)
		return
	}
	if m.never = outcome.Final; m.never {
		return
	}
	first, limit := m.timing.Retry, m.timing.RetryMax
	if outcome.Result == Rejected {
		first, limit = m.timing.RejectedRetry, m.timing.RejectedMax
	}
	m.wait = min(max(first, 2*m.wait), limit)
	m.retryAt = now.Add(m.wait)
}
