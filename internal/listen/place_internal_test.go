package listen

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

// connections reads them from a text: a letter for the address, then + for a request under way, . for none now, and - for none
// ever.
func connections(text string) (open []*conn) {
	for i := 0; i < len(text); i += 2 {
		c := &conn{address: text[i : i+1], served: 1}
		switch text[i+1] {
		case '+':
			c.requests = 1
		case '-':
			c.served = 0
		}
		open = append(open, c)
	}
	return open
}

func TestWhoGivesUpAPlace(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		open, address string
		want          string // its position, "none" when there is room, "refused"
	}{
		"there is room": {"a+a+b+", "c", "none"},
		"the address has its part, and one waits":                {"a+a.a+b-", "a", "1"},
		"one of its own that had a request goes first":           {"a-a+a.", "a", "2"},
		"one that never had a request goes first":                {"a.a+a-b.c.d.", "e", "2"},
		"the address has its part, and all are under way":        {"a+a+a+b-", "a", "refused"},
		"all is taken, and the fullest address has one waiting":  {"b.a+a.a+c.c.", "d", "2"},
		"all is taken, and the fullest address has none waiting": {"b.a+a+a+c.c.", "d", "1"},
		"an address with as many keeps what it has under way":    {"a+a+b+b+c+c+", "a", "refused"},
		"one more is no reason to close what is under way":       {"a+a+b+b+c+d+", "d", "refused"},
		"one more is reason enough to close what waits":          {"a+a.b+b+c+d+", "d", "1"},
		"each address has one, and one waits":                    {"a+b+c.d+e+f-", "g", "5"},
		"each address has one, and all are under way":            {"a+b+c+d+e+f+", "g", "refused"},
		"an address that has many closes its own":                {"b.c.d.a.a+e+", "a", "3"},
		"an address that has many takes from none that has few":  {"b.c.d.a+a+e+", "a", "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			open := connections(tc.open)
			victim, ok := place(open, Bounds{Total: 6, PerAddress: 3}, tc.address)
			got := "refused"
			if ok {
				got = "none"
			}
			for i, c := range open {
				if c == victim {
					got = strconv.Itoa(i)
				}
			}
			if got != tc.want {
				t.Errorf("%s for one more of %s: %s, want %s", tc.open, tc.address, got, tc.want)
			}
		})
	}
}

// Whatever others hold: an address that has less than its even part gets a place.
func TestAnAddressGetsItsEvenPart(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 5_000 {
		bounds := Bounds{Total: 1 + random.IntN(12), PerAddress: 1 + random.IntN(5)}
		var open []*conn
		has := map[string]int{}
		for range random.IntN(200) {
			c := &conn{address: string(rune('a' + random.IntN(6))), requests: random.IntN(3)}
			c.served = min(c.requests, 1)
			before := len(open)
			victim, ok := place(open, bounds, c.address)
			even := has[c.address] < bounds.PerAddress && has[c.address] < bounds.Total/(len(has)+1)
			if !ok {
				if even {
					t.Fatalf("%+v: one more of %s is refused, while %v are open", bounds, c.address, has)
				}
				continue
			}
			if victim != nil {
				if victim.requests > 0 && has[victim.address] < has[c.address]+2 {
					t.Fatalf("%+v: a request of %s is interrupted for %s, while %v are open", bounds, victim.address, c.address, has)
				}
				b := &Bounded{open: open}
				b.remove(victim)
				open = b.open
				if has[victim.address]--; has[victim.address] == 0 {
					delete(has, victim.address)
				}
			}
			open = append(open, c)
			has[c.address]++
			if len(open) > bounds.Total || has[c.address] > bounds.PerAddress || len(open) > before+1 {
				t.Fatalf("%+v: %v are open", bounds, has)
			}
		}
	}
}
