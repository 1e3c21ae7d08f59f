package command

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		stat   string
		want   proc
		wantOK bool
	}{
		"a name with parentheses": {
			stat:   "7 (a) Z 9 (b) S 1 5 5 0 -1 4194560 86 0 0 0 0 0 0 0 20 0 1 0 1234 8000 200",
			want:   proc{pid: 7, parent: 1, group: 5, state: 'S', start: 1234},
			wantOK: true,
		},
		"a line that is cut": {stat: "7 (a) S 1 5 5"},
		"no line":            {},
		"no numbers":         {stat: "7 (a) S x 5 5 0 -1 4194560 86 0 0 0 0 0 0 0 20 0 1 0 1234 8000", want: proc{pid: 7, group: 5, state: 'S', start: 1234}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := parse(7, []byte(tc.stat))
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(proc{})); diff != "" || ok != tc.wantOK {
				t.Errorf("ok = %v, want %v; -want +got:\n%s", ok, tc.wantOK, diff)
			}
		})
	}
}
