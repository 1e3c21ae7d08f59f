package window

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Form is how windows are written.
const Form = `[DAYS] HH:MM-HH:MM [ZONE]; …, such as "Mon-Fri 22:00-04:00 Europe/Berlin; Sat,Sun 00:00-24:00", or "always"`

// maxRanges bounds what one annotation costs.
const maxRanges = 50

// Parse reads windows. Days are those on which a window opens, all if there are none; a range may go beyond midnight. A
// range without a zone has that of the one before it, the first one UTC. The error completes a sentence: "text": …
func Parse(text string) (Windows, error) {
	if strings.EqualFold(strings.TrimSpace(text), "always") {
		return Windows{}, nil
	}
	w := Windows{text: text}
	zone := time.UTC
	for part := range strings.SplitSeq(text, ";") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue // a semicolon at the end
		}
		r, err := parseRange(words, zone)
		if err != nil {
			return Windows{}, err
		}
		zone = r.zone
		if w.ranges = append(w.ranges, r); len(w.ranges) > maxRanges {
			return Windows{}, fmt.Errorf("more than %d ranges", maxRanges)
		}
	}
	if len(w.ranges) == 0 {
		return Windows{}, errors.New("there is no range of hours; write " + Form)
	}
	return w, nil
}

// parseRange reads [DAYS] HOURS [ZONE].
func parseRange(words []string, zone *time.Location) (r weekly, err error) {
	r.zone = zone
	for i := range r.days {
		r.days[i] = true
	}
	if !strings.Contains(words[0], ":") {
		if r.days, err = parseDays(words[0]); err != nil {
			return r, err
		}
		words = words[1:]
	}
	if len(words) == 0 {
		return r, errors.New("there are days without hours; write " + Form)
	}
	if r.from, r.to, err = parseHours(words[0]); err != nil {
		return r, err
	}
	switch len(words) {
	case 1:
	case 2:
		// Local is where inpod happens to run.
		if r.zone, err = locationOf(words[1]); err != nil || strings.EqualFold(words[1], "local") {
			return r, fmt.Errorf("%q is not a time zone, such as Europe/Berlin or UTC", words[1])
		}
	default:
		return r, fmt.Errorf("%q is too much after the hours; separate ranges by semicolons", strings.Join(words[1:], " "))
	}
	return r, nil
}

// locations has the time zones by their names. Thousands of windows have a few of them, and each would be three kilobytes of its own.
var locations sync.Map //nolint:gochecknoglobals // what a name stands for is the same for everybody

func locationOf(name string) (*time.Location, error) {
	if known, ok := locations.Load(name); ok {
		if zone, ok := known.(*time.Location); ok {
			return zone, nil
		}
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	shared, _ := locations.LoadOrStore(name, zone)
	if first, ok := shared.(*time.Location); ok {
		zone = first
	}
	return zone, nil
}

func dayNames() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

func parseDay(text string) (int, error) {
	for i, name := range dayNames() {
		if strings.EqualFold(text, name) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%q is not a day; use Mon, Tue, Wed, Thu, Fri, Sat, Sun", text)
}

// parseDays reads a list of days and ranges of days.
func parseDays(text string) (days [7]bool, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := parseDay(first)
		if err != nil {
			return days, err
		}
		to, err := parseDay(last)
		if err != nil {
			return days, err
		}
		for d := from; ; d = (d + 1) % 7 {
			days[d] = true
			if d == to {
				break
			}
		}
	}
	return days, nil
}

func parseHours(text string) (from, to int, err error) {
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		return 0, 0, fmt.Errorf("%q is not a range of hours, such as 22:00-04:00", text)
	}
	if from, err = parseClock(first); err != nil {
		return 0, 0, err
	}
	if to, err = parseClock(last); err != nil {
		return 0, 0, err
	}
	if from == day {
		return 0, 0, errors.New("24:00 is the end of a day; a range begins at 00:00")
	}
	if from == to {
		return 0, 0, fmt.Errorf("%q ends where it begins; a whole day is 00:00-24:00", text)
	}
	return from, to, nil
}

// parseClock reads HH:MM as minutes since midnight; 24:00 is the end of the day.
func parseClock(text string) (int, error) {
	hours, minutes, ok := strings.Cut(text, ":")
	h, err1 := strconv.ParseUint(hours, 10, 8)
	m, err2 := strconv.ParseUint(minutes, 10, 8)
	at := int(h)*60 + int(m)
	if !ok || err1 != nil || err2 != nil || len(hours) > 2 || len(minutes) != 2 || m > 59 || at > day {
		return 0, fmt.Errorf("%q is not a time of the day; use 00:00 to 24:00", text)
	}
	return at, nil
}
