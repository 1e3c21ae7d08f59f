package preset_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/preset"
)

func TestNameServersReadTheirOwnArguments(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		preset  string
		args    []string
		option  string
		want    []string
		wantBad bool
	}{
		"a joined file of unbound":              {preset: "unbound", args: []string{"-c/etc/u.conf", "-dd"}, option: "-c", want: []string{"/etc/u.conf"}},
		"a separate file of unbound":            {preset: "unbound", args: []string{"-d", "-c", "/etc/u.conf"}, option: "-c", want: []string{"/etc/u.conf"}},
		"a file behind flags of unbound":        {preset: "unbound", args: []string{"-dpc/etc/u.conf"}, option: "-c", want: []string{"/etc/u.conf"}},
		"an option that unbound does not have":  {preset: "unbound", args: []string{"-x"}, wantBad: true},
		"the root of named":                     {preset: "bind9", args: []string{"-g", "-t/jail", "-u", "bind"}, option: "-t", want: []string{"/jail"}},
		"an option that named does not have":    {preset: "bind9", args: []string{"-y"}, wantBad: true},
		"a value in the form of another option": {preset: "bind9", args: []string{"-u", "-t", "-c", "f"}, option: "-t"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row, err := preset.ByName(tc.preset)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := row.Grammar.Parse(tc.args)
			if tc.wantBad != (err != nil) {
				t.Fatalf("%v, want bad %v", err, tc.wantBad)
			}
			if diff := cmp.Diff(tc.want, parsed.Values(tc.option)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
