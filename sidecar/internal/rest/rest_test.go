package rest

import "testing"

func TestGiveBack(t *testing.T) {
	t.Parallel()
	for range 3 { // and the program still runs
		if err := GiveBack(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	const maps = "00400000-00401000 r--p 00000000 fe:01 12 /sidecar\n" +
		"7f0000000000-7f0000001000 r-xp 00000000 fe:01 13 /lib/other\n" +
		"00401000-00789000 r-xp 00001000 fe:01 12 /sidecar\n" +
		"00b39000-00b96000 rw-p 00739000 fe:01 12 /sidecar\n"
	cases := map[string]struct {
		maps       string
		wantBegin  uintptr
		wantLength uintptr
		wantOK     bool
	}{
		"the program's code":    {maps: maps, wantBegin: 0x401000, wantLength: 0x388000, wantOK: true},
		"no code of it":         {maps: "00400000-00401000 rw-p 00000000 fe:01 12 /sidecar\n"},
		"no addresses":          {maps: "x-y r-xp 00000000 fe:01 12 /sidecar\n"},
		"an end before a begin": {maps: "2000-1000 r-xp 00000000 fe:01 12 /sidecar\n"},
		"nothing":               {},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin, end, ok := code([]byte(tc.maps), "/sidecar")
			if ok != tc.wantOK || begin != tc.wantBegin || end-begin != tc.wantLength {
				t.Errorf("got %x-%x, %v", begin, end, ok)
			}
		})
	}
}
