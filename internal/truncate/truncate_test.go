package truncate_test

import (
	"testing"

	"inpod.dev/inpod/internal/truncate"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		most int
		want string
	}{
		{"", 0, ""},
		{"abc", 3, "abc"},
		{"abcd", 3, "abc…"},
		{"aéé", 3, "aé…"},
		{"aéé", 2, "a…"},
		{"a\xffbc", 4, "a\xffbc"},
	} {
		if got := truncate.Text(tc.text, tc.most); got != tc.want {
			t.Errorf("%q to %d bytes: %q, want %q", tc.text, tc.most, got, tc.want)
		}
	}
}
