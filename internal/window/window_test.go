package window_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // as the controller has it

	"inpod.dev/inpod/internal/window"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	moment, err := time.ParseInLocation("2006-01-02 15:04:05", text, zone)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

func TestOpenAndNext(t *testing.T) {
	t.Parallel()
	const berlin = "Mon-Fri 22:00-04:00 Europe/Berlin; Sat,Sun 00:00-24:00"
	for name, c := range map[string]struct {
		text, now string
		next      string // "" for open now
	}{
		"always":                        {"always", "2026-03-02 12:00:00", ""},
		"before the hours":              {berlin, "2026-03-02 21:59:59", "2026-03-02 22:00:00"}, // a Monday
		"as they begin":                 {berlin, "2026-03-02 22:00:00", ""},
		"beyond midnight":               {berlin, "2026-03-03 03:59:59", ""},
		"as they end":                   {berlin, "2026-03-03 04:00:00", "2026-03-03 22:00:00"},
		"before a Monday's":             {berlin, "2026-03-02 03:00:00", "2026-03-02 22:00:00"},
		"the night after a Friday":      {berlin, "2026-03-07 02:00:00", ""},
		"the zone of the range before":  {berlin, "2026-03-07 00:00:00", ""},
		"all Sunday":                    {berlin, "2026-03-08 23:59:59", ""},
		"every day":                     {"02:00-03:00 Europe/Berlin", "2026-03-04 03:00:00", "2026-03-05 02:00:00"},
		"UTC unless a zone is there":    {"02:00-03:00", "2026-03-04 03:30:00", ""},
		"days across the weekend":       {"Fri-Mon 10:00-11:00 Europe/Berlin", "2026-03-03 10:30:00", "2026-03-06 10:00:00"},
		"a day in any case":             {"sat 9:00-10:00 Europe/Berlin;", "2026-03-02 10:30:00", "2026-03-07 09:00:00"},
		"a week ahead":                  {"Mon 10:00-11:00 Europe/Berlin", "2026-03-02 11:00:00", "2026-03-09 10:00:00"},
		"hours that the clock leaves":   {"Sun 02:10-02:50 Europe/Berlin", "2026-03-29 01:00:00", "2026-04-05 02:10:00"},
		"a beginning that it leaves":    {"Sun 02:10-03:50 Europe/Berlin", "2026-03-29 01:00:00", "2026-03-29 03:00:00"},
		"an end that it leaves":         {"Sun 01:10-02:50 Europe/Berlin", "2026-03-29 01:30:00", ""},
		"after an end that it leaves":   {"Sun 01:10-02:50 Europe/Berlin", "2026-03-29 03:00:00", "2026-04-05 01:10:00"},
		"a day before the clock is set": {"22:00-23:00 Europe/Berlin", "2026-03-28 23:30:00", "2026-03-29 22:00:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := window.Parse(c.text)
			if err != nil {
				t.Fatal(err)
			}
			now := at(t, c.now)
			want := now
			if c.next != "" {
				want = at(t, c.next)
			}
			if open := w.Open(now); open != (c.next == "") {
				t.Errorf("open %t", open)
			}
			if got := w.Next(now); !got.Equal(want) {
				t.Errorf("opens %s, want %s", got, want)
			}
		})
	}
}

// The next opening is the first minute that is open, also around the days on which clocks are set. Lord Howe Island sets
// them by half an hour.
func TestNextIsTheFirstMinuteThatIsOpen(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"Sun 02:10-02:50 Europe/Berlin", "Sun 02:30-03:30 Europe/Berlin; Wed 12:00-12:30", "Sat 23:30-02:15 Europe/Berlin", "01:30-01:45 Australia/Lord_Howe",
		"Sun 01:50-02:10 Australia/Lord_Howe", "00:00-00:01 America/Havana", "Mon-Sat 00:15-00:45 America/Havana",
	} {
		w, err := window.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, around := range []string{"2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"} {
			day := at(t, around+" 12:00:00").UTC()
			var open time.Time // the first minute that is, from here on
			for moment := day.AddDate(0, 0, 9); moment.After(day.AddDate(0, 0, -2)); moment = moment.Add(-time.Minute) {
				before := open
				if w.Open(moment) {
					open = moment
				}
				if open.IsZero() || (open.Equal(before) && !open.Equal(moment.Add(time.Minute)) && moment.Minute()%20 != 0) {
					continue // nothing special
				}
				if got := w.Next(moment); !got.Equal(open) {
					t.Fatalf("%s at %s: opens %s, want %s", text, moment, got, open)
				}
			}
		}
	}
}

func TestClosedNeverOpens(t *testing.T) {
	t.Parallel()
	w := window.Closed()
	if now := at(t, "2026-03-02 12:00:00"); w.Open(now) || !w.Next(now).IsZero() || !w.Said() {
		t.Error("it is open")
	}
	if (window.Windows{}).Said() {
		t.Error("no window limits something")
	}
}

func TestWhatCannotBeReadIsExplained(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                               "no range of hours",
		" ; ":                            "no range of hours",
		"Mon":                            "days without hours",
		"Mon 22:00":                      `"22:00" is not a range of hours`,
		"22:00-25:00":                    `"25:00" is not a time of the day`,
		"22:00-24:01":                    `"24:01" is not a time of the day`,
		"2200-2300":                      `"2200" is not a day`,
		"22:0-23:00":                     `"22:0" is not a time of the day`,
		"-1:00-23:00":                    `is not a time of the day`,
		"24:00-01:00":                    "24:00 is the end of a day",
		"10:00-10:00":                    "ends where it begins",
		"Moon 10:00-11:00":               `"Moon" is not a day`,
		"Mon-Fry 10:00-11:00":            `"Fry" is not a day`,
		"Mon, Tue 10:00-11:00":           `"" is not a day`,
		"10:00-11:00 Europe/Atlantis":    `"Europe/Atlantis" is not a time zone`,
		"10:00-11:00 Local":              `"Local" is not a time zone`,
		"10:00-11:00 ../../etc/passwd":   "is not a time zone",
		"10:00-11:00 UTC Mon":            `"UTC Mon" is too much`,
		strings.Repeat("1:00-2:00;", 51): "more than 50 ranges",
	} {
		if _, err := window.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"always", "Mon-Fri 22:00-04:00 Europe/Berlin; Sat,Sun 00:00-24:00", "02:00-03:00", "Sun,Mon-Tue 1:05-1:06 UTC;;"} {
		f.Add(text, int64(1772000000))
	}
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		w, err := window.Parse(text)
		if err != nil {
			return
		}
		now := time.Unix(seconds%4_000_000_000, 0)
		next := w.Next(now)
		if next.IsZero() || next.Before(now) || !w.Open(next) {
			t.Fatalf("%q at %s: next %s", text, now, next)
		}
		if w.Open(now) != next.Equal(now) {
			t.Fatalf("%q at %s: open %t, next %s", text, now, w.Open(now), next)
		}
	})
}

func TestWindowsShareTheirTimeZones(t *testing.T) {
	first, err := window.Parse("22:00-04:00 Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	allocated := testing.AllocsPerRun(100, func() {
		if _, err := window.Parse("22:00-04:00 Europe/Berlin"); err != nil {
			t.Error(err)
		}
	})
	inUTC := testing.AllocsPerRun(100, func() {
		if _, err := window.Parse("22:00-04:00"); err != nil {
			t.Error(err)
		}
	})
	if allocated > inUTC+2 {
		t.Errorf("a window with a zone that is known allocates %v times, one without %v", allocated, inUTC)
	}
	if !first.Next(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)).Equal(time.Date(2026, 3, 1, 21, 0, 0, 0, time.UTC)) {
		t.Error("the zone is another one")
	}
}
