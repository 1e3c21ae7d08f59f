package agent

import (
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
	// Ask and AskMax bound the back-off of asking when the application read its configuration, while nothing tells.
	Ask, AskMax time.Duration
}

// DefaultTiming is the timing for a quiet time.
func DefaultTiming(settle time.Duration) Timing {
	const settleMaxFactor = 10
	return Timing{
		Settle: settle, SettleMax: settleMaxFactor * settle,
		Retry: time.Second, RetryMax: 15 * time.Second,
		RejectedRetry: 30 * time.Second, RejectedMax: 10 * time.Minute,
		Ask: time.Second, AskMax: time.Minute,
	}
}

// machine decides when to reload. It has no clock: the time is an argument, and due says when to ask again.
//
//	settled ──new content──► settling ──quiet──► due ──begin──► (trigger runs) ──end──► settled or waiting to retry
//	                            ▲                                                          │
//	                            └───────────────── new content ────────────────────────────┘
type machine struct {
	timing Timing
	latest digest.State
	// inUse is the sum that the application has, applying the one that it is being told about.
	inUse, applying digest.Sum
	// tried is the sum that the last attempt was about, the zero sum before the first.
	tried digest.Sum
	// first and last are when the unapplied content began to change and changed last.
	first, last time.Time
	// retryAt is when to try the same content again, zero when there is no attempt yet. never means no retry.
	retryAt time.Time
	never   bool
	wait    time.Duration
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
	m.retryAt, m.never, m.wait = time.Time{}, false, 0
	if state.Sum == m.inUse {
		m.first, m.last = time.Time{}, time.Time{} // changed back before anybody was told
		return false
	}
	if m.first.IsZero() {
		m.first = now
	}
	m.last = now
	return true
}

// pending says whether the application lacks the latest content.
func (m *machine) pending() bool { return m.latest.Sum != m.inUse }

// held says whether the latest content is not fit to be applied: a wanted file is not there. Telling the application
// now would break it, and the file is likely on its way.
func (m *machine) held() bool { return m.pending() && len(m.latest.Missing()) > 0 }

// due is when the next reload should begin. Without one, ok is false.
func (m *machine) due() (at time.Time, ok bool) {
	switch {
	case !m.pending() || m.held() || m.never:
		return time.Time{}, false
	case !m.retryAt.IsZero():
		return m.retryAt, true
	}
	at = m.last.Add(m.timing.Settle)
	if limit := m.first.Add(m.timing.SettleMax); limit.Before(at) {
		at = limit
	}
	return at, true
}

// begin starts an attempt with the latest content.
func (m *machine) begin() digest.State {
	m.applying = m.latest.Sum
	return m.latest
}

// end takes the attempt's outcome. New content that came meanwhile is seen afterwards, and settles as usual.
func (m *machine) end(outcome Outcome, now time.Time) {
	m.tried = m.applying
	if outcome.Result == Applied {
		m.inUse = m.applying
		m.first, m.last, m.retryAt, m.wait = time.Time{}, time.Time{}, time.Time{}, 0
		return
	}
	if outcome.Told {
		// Nobody knows what it has now: going back to the old content must be told as well. It also lets servers
		// that report a failed reload take that back.
		m.inUse = digest.Sum{}
	}
	m.first = time.Time{}
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
