package memtrim

import (
	"slices"
	"strings"
	"testing"
)

func TestGiveBack(t *testing.T) {
	t.Parallel()
	for range 3 { // and the program still runs
		if err := GiveBack(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatIsGivenBack(t *testing.T) {
	t.Parallel()
	const clean, written = "Rss: 100 kB\nAnonymous:             0 kB\nVmFlags: rd\n", "Rss: 100 kB\nAnonymous:             4 kB\nVmFlags: rd\n"
	for name, tc := range map[string]struct {
		smaps string
		want  []mapping
	}{
		"code and constants": {
			"00400000-00401000 r-xp 00000000 fe:01 12 /sidecar\n" + clean + "00401000-00789000 r--p 00001000 fe:01 12 /sidecar\n" + clean,
			[]mapping{{0x400000, 0x401000}, {0x401000, 0x789000}},
		},
		"nothing of another file":       {smaps: "7f0000000000-7f0000001000 r-xp 00000000 fe:01 13 /lib/other\n" + clean},
		"nothing that can be written":   {smaps: "00b39000-00b96000 rw-p 00739000 fe:01 12 /sidecar\n" + clean},
		"nothing that was written once": {smaps: "00401000-00789000 r--p 00001000 fe:01 12 /sidecar\n" + written},
		"nothing without a file":        {smaps: "7f0000000000-7f0000001000 r--p 00000000 00:00 0\n" + clean},
		"no addresses":                  {smaps: "x-y r-xp 00000000 fe:01 12 /sidecar\n" + clean},
		"an end before a begin":         {smaps: "2000-1000 r-xp 00000000 fe:01 12 /sidecar\n" + clean},
		"nothing":                       {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := constant(strings.NewReader(tc.smaps), "/sidecar")
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("%x, %v, want %x", got, err, tc.want)
			}
		})
	}
}
