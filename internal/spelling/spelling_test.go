package spelling_test

import (
	"testing"

	"inpod.dev/inpod/internal/spelling"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"settle", "settle", 0}, {"setle", "settle", 1}, {"settel", "settle", 2}, {"pauze", "pause", 1}, {"enabled", "auto", 6},
	} {
		if got := spelling.Distance(tc.a, tc.b); got != tc.want {
			t.Errorf("%q to %q: %d, want %d", tc.a, tc.b, got, tc.want)
		}
		if got := spelling.Distance(tc.b, tc.a); got != tc.want {
			t.Errorf("%q to %q: %d, want %d", tc.b, tc.a, got, tc.want)
		}
		if !spelling.Within(tc.a, tc.b, tc.want) || tc.want > 0 && spelling.Within(tc.a, tc.b, tc.want-1) {
			t.Errorf("%q is within another distance of %q", tc.a, tc.b)
		}
	}
}

func TestAThirdOfTheLettersMayBeWrong(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		distance int
		name     string
		want     bool
	}{{1, "ab", true}, {2, "abcde", false}, {2, "settle", true}, {3, "settle", false}} {
		if got := spelling.Near(tc.distance, tc.name); got != tc.want {
			t.Errorf("%d of %s: %v", tc.distance, tc.name, got)
		}
	}
}
