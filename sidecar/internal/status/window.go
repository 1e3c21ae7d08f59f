package status

import "time"

// The limits of a window. The controller asks a sidecar about once a second while it waits. One address cannot use up
// what another is due; the number of addresses bounds the memory.
const (
	callsPerAddress = 10
	maxAddresses    = 256
)

// window counts calls by address during the present second.
type window struct {
	begin time.Time
	calls map[string]int
}

// admit reports whether address may call now, and counts the call.
func (w *window) admit(address string, now time.Time) bool {
	if w.calls == nil || now.Sub(w.begin) >= time.Second || now.Before(w.begin) {
		w.begin, w.calls = now, map[string]int{}
	}
	calls, known := w.calls[address]
	if calls >= callsPerAddress || !known && len(w.calls) >= maxAddresses {
		return false
	}
	w.calls[address] = calls + 1
	return true
}
