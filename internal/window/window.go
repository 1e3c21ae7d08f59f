// Package window decides whether a maintenance window is open, and when the
// next one opens.
//
// It is pure: text and time come in. A window is open as long as the clock on
// the wall of its time zone says so. A change to or from summer time thus
// makes one longer or shorter, as people who work in it see it as well; one
// whose hours do not exist on that day is skipped.
//
//	"Mon-Fri 22:00-04:00 Europe/Berlin; Sat,Sun 00:00-24:00" ──► Parse ──► Windows.Open(now), Windows.Next(now)
package window

import "time"

// Windows are the times at which something may be done. The zero value is open always.
type Windows struct {
	text   string
	ranges []weekly
	closed bool
}

// Equal reports whether two were written in the same way.
func (w Windows) Equal(other Windows) bool { return w.text == other.text && w.closed == other.closed }

// Closed never opens.
func Closed() Windows { return Windows{closed: true} }

// Said reports whether there are any limits.
func (w Windows) Said() bool { return w.closed || len(w.ranges) > 0 }

const day = 24 * 60 // in minutes

// weekly is a range of the clock on some days of the week.
type weekly struct {
	days [7]bool // those on which it opens, from Sunday
	// from and to are minutes since midnight. A range whose end is not after its beginning ends on the next day.
	from, to int
	zone     *time.Location
}

// Open reports whether now is in a window.
func (w Windows) Open(now time.Time) bool {
	if !w.Said() {
		return true
	}
	for _, r := range w.ranges {
		if r.open(now) {
			return true
		}
	}
	return false
}

func (r weekly) open(now time.Time) bool {
	now = now.In(r.zone)
	today, yesterday := now.Weekday(), (now.Weekday()+6)%7
	minute := now.Hour()*60 + now.Minute()
	if r.from < r.to {
		return r.days[today] && r.from <= minute && minute < r.to
	}
	return (r.days[today] && r.from <= minute) || (r.days[yesterday] && minute < r.to)
}

// horizon is how many days ahead an opening is looked for: a week, and another one for a window that is skipped.
const horizon = 15

// Next returns when a window opens: now if one is open, and zero if none ever does.
func (w Windows) Next(now time.Time) time.Time {
	if w.Open(now) {
		return now
	}
	var next time.Time
	for _, r := range w.ranges {
		if at := r.next(now); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// next returns when the range, which is not open now, opens. That is at its beginning, or where the clock is set forward
// into it.
func (r weekly) next(now time.Time) time.Time {
	now = now.In(r.zone)
	var next time.Time
	for ahead := -1; ahead < horizon; ahead++ { // the range of yesterday may open again where the clock is set back
		for _, at := range r.candidates(now, ahead) {
			if at.After(now) && r.open(at) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	return next
}

// candidates are the moments at which the range may open on a day that begins so many days ahead.
func (r weekly) candidates(now time.Time, ahead int) []time.Time {
	beginning := time.Date(now.Year(), now.Month(), now.Day()+ahead, r.from/60, r.from%60, 0, 0, r.zone)
	candidates := []time.Time{beginning}
	// Where the clock is set back, the same time of the day comes twice, and [time.Date] does not say which one it means.
	for _, around := range []time.Time{beginning.Add(-12 * time.Hour), beginning.Add(12 * time.Hour)} {
		_, was := beginning.Zone()
		_, offset := around.Zone()
		candidates = append(candidates, beginning.Add(time.Duration(was-offset)*time.Second))
		_, end := around.ZoneBounds()
		candidates = append(candidates, end)
	}
	return candidates
}
